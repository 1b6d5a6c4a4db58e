"""One step of a one-layer LSTM with a linear head, in numpy, exact in its sums.

The six equations (Hochreiter and Schmidhuber 1997 with the forget gate of Gers 2000; gate order of torch.nn.LSTM):

    i = sigmoid(W_ii x + W_hi h + b_i)      f = sigmoid(W_if x + W_hf h + b_f)
    g = tanh(W_ig x + W_hg h + b_g)         o = sigmoid(W_io x + W_ho h + b_o)
    c' = f * c + i * g                      h' = o * tanh(c')

Weights are multiples of 2^-20, inputs of 2^-20 and h of 2^-24, and the sum of the magnitudes of all products of a gate
is bounded by 2^53 units of 2^-44. Every partial sum is then a float64 without rounding, so that the order in which a
linear algebra library adds, which depends on the batch, cannot change a single bit of the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.features import INPUT_BOUND

__all__ = ["ROW_LIMIT", "WEIGHT_GRID", "Lstm", "Weights", "row_bounds"]

WEIGHT_GRID = 2.0**-20
_WEIGHT_BOUND = 8.0  # so that float32 holds every multiple of the grid
_HIDDEN_GRID = np.float32(2.0**-24)
_HIDDEN_SCALE = np.float32(2.0**24)
ROW_LIMIT = 2.0**53 * 2.0**-44  # 512: what the magnitudes of a row's products may add up to
_GATES = 4
_BLOCK = 512  # rows: what is computed on the way stays in the processor's cache


@dataclass(frozen=True)
class Weights:
    """Parameters, float32, gates in the order i, f, g, o (H hidden units, F inputs)."""

    inputs: NDArray[np.float32]  # (4H, F)
    recurrent: NDArray[np.float32]  # (4H, H)
    bias: NDArray[np.float32]  # (4H)
    head: NDArray[np.float32]  # (H)
    head_bias: NDArray[np.float32]  # (1)

    @property
    def hidden(self) -> int:
        """Number of hidden units."""
        return len(self.head)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the parameters by their names in the weights file."""
        return {name: getattr(self, name) for name in ("inputs", "recurrent", "bias", "head", "head_bias")}

    def on_grid(self) -> Weights:
        """Return the parameters rounded to the grid; they must be within its bounds (see `check`)."""
        return Weights(
            **{
                name: (np.rint(tensor.astype(np.float64) / WEIGHT_GRID) * WEIGHT_GRID).astype(np.float32)
                for name, tensor in self.tensors().items()
            }
        )

    def check(self) -> str | None:
        """Return why sums with these parameters would not be exact, or None where they are."""
        for name, tensor in self.tensors().items():
            if not np.isfinite(tensor).all():
                return f"{name} holds values that are not numbers"
            if np.abs(tensor).max(initial=0) >= _WEIGHT_BOUND:
                return f"{name} holds a weight of 8 or more"
            if (np.rint(tensor.astype(np.float64) / WEIGHT_GRID) * WEIGHT_GRID != tensor).any():
                return f"{name} is not on the grid of 2^-20"
        gates = row_bounds(self.inputs, self.recurrent, self.bias)
        head = float(np.abs(self.head.astype(np.float64)).sum() + abs(float(self.head_bias[0])))
        if max(float(gates.max()), head) >= ROW_LIMIT:
            return "the weights of a gate are too large for exact sums"
        return None


def row_bounds(
    inputs: NDArray[np.float32], recurrent: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return, for each gate row (4H), the largest magnitude that its sum of magnitudes can reach."""
    measured = np.abs(inputs.astype(np.float64)).sum(axis=1) * INPUT_BOUND
    remembered = np.abs(recurrent.astype(np.float64)).sum(axis=1)
    bounds: NDArray[np.float64] = measured + remembered + np.abs(bias.astype(np.float64))
    return bounds


class Lstm:
    """The network at run time. The result for a row is the same to the last bit whatever batch it is in."""

    def __init__(self, weights: Weights) -> None:
        """Take parameters that `Weights.check` accepts."""
        hidden = weights.hidden
        self.hidden = hidden
        self.n_inputs = weights.inputs.shape[1]
        joined = np.concatenate([weights.inputs, weights.recurrent], axis=1).T  # (F + H, 4H)
        self._weights = np.ascontiguousarray(joined, dtype=np.float64)
        self._bias = weights.bias.astype(np.float64)
        self._head = weights.head.astype(np.float64)
        self._head_bias = float(weights.head_bias[0])
        # sigmoid(v) = tanh(v / 2) / 2 + 1 / 2: one tanh serves all gates, and nothing overflows.
        self._scale = np.full(_GATES * hidden, 0.5, dtype=np.float32)
        self._scale[2 * hidden : 3 * hidden] = 1
        self._shift = np.full(_GATES * hidden, 0.5, dtype=np.float32)
        self._shift[2 * hidden : 3 * hidden] = 0

    def step(
        self, x: NDArray[np.float32], h: NDArray[np.float32], c: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return h' and c' (N, H) from inputs x (N, F) and the state h, c (N, H); the arguments are not changed."""
        if len(x) <= _BLOCK:
            return self._step(x, h, c)
        new_h, new_c = np.empty_like(h), np.empty_like(c)
        for begin in range(0, len(x), _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            new_h[rows], new_c[rows] = self._step(x[rows], h[rows], c[rows])
        return new_h, new_c

    def _step(
        self, x: NDArray[np.float32], h: NDArray[np.float32], c: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        size = self.hidden
        joined = np.empty((len(x), self.n_inputs + size))  # (N, F + H) float64
        joined[:, : self.n_inputs] = x
        joined[:, self.n_inputs :] = h
        sums = joined @ self._weights  # (N, 4H) exact
        sums += self._bias
        gates = sums.astype(np.float32)
        gates *= self._scale
        np.tanh(gates, out=gates)
        gates *= self._scale
        gates += self._shift
        i, f, g, o = (gates[:, gate * size : (gate + 1) * size] for gate in range(_GATES))
        new_c = f * c + i * g
        new_h = o * np.tanh(new_c)
        new_h *= _HIDDEN_SCALE
        np.rint(new_h, out=new_h)
        new_h *= _HIDDEN_GRID
        return new_h, new_c

    def logit(self, h: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the head's output (N) for hidden states h (N, H), exact."""
        logits: NDArray[np.float64] = h.astype(np.float64) @ self._head
        return logits + self._head_bias
