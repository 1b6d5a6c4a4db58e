"""The network as torch trains it; the numpy step of `lstm.py` is what runs at the bedside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.features import INPUT_BOUND
from models.lstm import ROW_LIMIT, Weights

__all__ = ["StayNet"]

_ROOM = 0.98  # of the limit, for the rounding to the grid
_LARGEST_WEIGHT = 7.9


class StayNet(nn.Module):
    """A one-layer LSTM over feature rows with dropout before and after, and a linear head: one logit a step."""

    def __init__(self, n_inputs: int, hidden: int, input_dropout: float = 0.0, output_dropout: float = 0.0) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(input_dropout)
        self.lstm = nn.LSTM(n_inputs, hidden, batch_first=True)
        self.output_dropout = nn.Dropout(output_dropout)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, T) for features x (B, T, F); the state starts at zero."""
        hidden, _ = self.lstm(self.input_dropout(x))  # (B, T, H)
        logits: Tensor = self.head(self.output_dropout(hidden)).squeeze(-1)  # (B, T)
        return logits

    @torch.no_grad()
    def limit(self) -> None:
        """Shrink the weights of a gate whose sums could leave the range in which they are exact (see `lstm.py`)."""
        of_inputs, of_state, bias, second_bias = self._gates()
        rows = of_inputs.abs().sum(1) * INPUT_BOUND + of_state.abs().sum(1) + bias.abs() + second_bias.abs()  # (4H)
        factor = (ROW_LIMIT * _ROOM / rows).clamp(max=1.0)
        for weight in (of_inputs, of_state):
            weight.mul_(factor[:, None]).clamp_(-_LARGEST_WEIGHT, _LARGEST_WEIGHT)
        for each in (bias, second_bias):
            each.mul_(factor).clamp_(-_LARGEST_WEIGHT / 2, _LARGEST_WEIGHT / 2)
        for each in (self.head.weight, self.head.bias):
            each.clamp_(-_LARGEST_WEIGHT, _LARGEST_WEIGHT)

    @torch.no_grad()
    def weights(self) -> Weights:
        """Return the parameters as the numpy step takes them; the two biases of torch's LSTM only ever add up."""
        of_inputs, of_state, bias, second_bias = self._gates()
        tensors = {
            **{"inputs": of_inputs, "recurrent": of_state, "bias": bias + second_bias},
            **{"head": self.head.weight[0], "head_bias": self.head.bias},
        }
        return Weights(**{name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()})

    def _gates(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the parameters of the gates (4H, F), (4H, H), (4H) and (4H), gates in the order i, f, g, o."""
        named = dict(self.lstm.named_parameters())
        return named["weight_ih_l0"], named["weight_hh_l0"], named["bias_ih_l0"], named["bias_hh_l0"]
