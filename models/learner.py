"""A network on its way: forward, loss, backward and update over one group of stays at a time.

The loss is the cross-entropy of logit + log(P_h / N_h), where P_h and N_h count the positive and negative training
rows of the hour, and rows weigh N_h. The hour's own odds are then explained by the offset, which is dropped at run
time: what is left for the network is what tells patients of the same hour apart, and it has nothing to gain from
counting hours (septic records of this data set are longer than others, an artefact of how it was cut).

Made-up healthy rows have no label. Their logit is to stay below a ceiling, and the square of what it exceeds that by is
the loss. So what is too high is pressed down however low it is already, which a cross-entropy hardly does, and nothing
is gained by saying less than the ceiling.

With `order_weight`, rows of the same hour are compared in pairs, too, drawn at random: by how much the target of one
exceeds the other's, the logits should differ (Burges et al., Learning to rank using gradient descent, ICML 2005). The
cross-entropy of rare events hardly minds the order of low risks; the pairs mind it everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.net import StayNet
from models.processes import Processes
from models.sequences import Batch, Sequences, batches
from models.training_config import TrainingConfig

__all__ = ["Learner", "Targets", "logits_of"]

_LEAST_LABEL = 1e-5  # where pairs are compared, labels lie this far from 0 and 1


@dataclass(frozen=True)
class Targets:
    """What each row of an epoch is compared with (R each)."""

    label: NDArray[np.float32]  # 0 to 1
    offset: NDArray[np.float32]  # the hour's log-odds
    weight: NDArray[np.float32]
    hour: NDArray[np.int32]  # of the stay
    ceiling: NDArray[np.float32]  # of the logit of a made-up healthy row, which has no label; infinite for others


class Learner:
    """A network, the running average of its weights, and its optimiser."""

    def __init__(
        self, n_inputs: int, config: TrainingConfig, updates: int, seed: int, processes: Processes | None = None
    ) -> None:
        """Initialise the weights by the seed; `updates` is how many there will be at most."""
        torch.set_num_threads(1)  # more threads wait for each other longer than they compute, at this size
        torch.manual_seed(seed)
        self._config = config
        self._updates = updates
        self._seed = seed
        self._processes = processes or Processes()
        device = self._processes.device
        self.net = StayNet(n_inputs, config.hidden, config.input_dropout, config.output_dropout).to(device)
        self._shared = self._processes.together(self.net)
        self.average = StayNet(n_inputs, config.hidden).to(device)
        self.average.load_state_dict(self.net.state_dict())
        self._optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def update(self, number: int, sequences: Sequences, targets: Targets, chosen: NDArray[np.int64]) -> float:
        """Learn from the chosen sequences (indices), one group of stays, as update `number`; return their loss.

        Of several processes, each takes its share of them, pairs its own rows only, and returns its part of the loss.
        """
        total_weight = float(
            sum(targets.weight[part.rows[part.rows >= 0]].sum() for part in batches(sequences, chosen))
        )
        parts = list(batches(sequences, self._processes.share(sequences, chosen)))
        pairing = np.random.default_rng([self._seed, number])
        loss_of_group = 0.0
        self.net.train()
        self._optimiser.zero_grad()
        for batch in parts:
            is_last = batch is parts[-1]
            with nullcontext() if is_last else self._processes.apart(self._shared):
                loss = self._loss(batch, sequences, targets, pairing) / total_weight
                # backward; the mean of all processes' gradients, times their number, is that of the whole group
                (loss * self._processes.count).backward()  # type: ignore[no-untyped-call]
            loss_of_group += float(loss.detach())
        self._step(number)
        return loss_of_group

    def _loss(self, batch: Batch, sequences: Sequences, targets: Targets, pairing: np.random.Generator) -> torch.Tensor:
        """Return the weighted sum of the cross-entropies of a batch's rows, and of pairs of them."""
        device, inside = self._processes.device, batch.rows >= 0  # (B, T)
        # forward; behind a sequence's end stands some row, which weighs nothing
        x = torch.from_numpy(sequences.x[batch.rows]).to(device)  # (B, T, F)
        logits = self._shared(x)[torch.from_numpy(inside).to(device)]  # (rows)
        # loss
        at = batch.rows[inside]
        label, offset, weight, ceiling = (
            torch.from_numpy(each[at]).to(device)
            for each in (targets.label, targets.offset, targets.weight, targets.ceiling)
        )
        entropy = nn.functional.binary_cross_entropy_with_logits(logits + offset, label, reduction="none")
        excess = torch.relu(logits - ceiling)  # 0 under an infinite ceiling
        loss = (weight * torch.where(torch.isinf(ceiling), entropy, excess * excess)).sum()
        if self._config.order_weight == 0:
            return loss
        one, two = (torch.from_numpy(each).to(device) for each in _pairs(targets.hour[at], pairing))
        wanted = torch.logit(label, eps=_LEAST_LABEL) - offset
        order = nn.functional.binary_cross_entropy_with_logits(
            logits[one] - logits[two],
            torch.sigmoid(wanted[one] - wanted[two]),
            weight=(weight[one] * weight[two]).sqrt() * (torch.isinf(ceiling[one]) & torch.isinf(ceiling[two])),
            reduction="sum",
        )
        return loss + self._config.order_weight * order

    def _step(self, number: int) -> None:
        rate = self._config.learning_rate * _one_cycle(number / self._updates)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        nn.utils.clip_grad_norm_(self.net.parameters(), self._config.clip_norm)
        self._optimiser.step()
        self.net.limit()
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(now, 1 - self._config.averaging)

    def state(self) -> dict[str, torch.Tensor]:
        """Return copies of everything later updates depend on."""
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        return {name: value.clone() for name, value in tensors.items()}

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` returned."""
        self.net.load_state_dict(_part(tensors, "net."))
        self.average.load_state_dict(_part(tensors, "average."))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _part(tensors, "optimiser.").items():
            index, what = name.split(".", 1)
            state.setdefault(int(index), {})[what] = value
        self._optimiser.load_state_dict({"state": state, "param_groups": self._optimiser.state_dict()["param_groups"]})


def _pairs(hour: NDArray[np.int32], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices (P each) of rows (R) of the same hour to compare, about as many pairs as rows."""
    shuffled = np.lexsort((rng.random(len(hour)), hour))
    same = hour[shuffled[:-1]] == hour[shuffled[1:]]
    return shuffled[:-1][same], shuffled[1:][same]


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _one_cycle(done: float) -> float:
    """Return the share of the highest learning rate when a share of all updates is done (Smith 2018)."""
    rising, start, end = 0.25, 0.04, 1e-4
    if done < rising:
        low, high, at = start, 1.0, done / rising
    else:
        low, high, at = 1.0, end, (done - rising) / (1 - rising)
    return float(high + (low - high) * (1 + np.cos(np.pi * at)) / 2)


@torch.no_grad()
def logits_of(net: StayNet, sequences: Sequences, chosen: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the logits of all rows (R), or of the chosen sequences' rows, with zeros elsewhere."""
    net.eval()
    device = net.head.weight.device
    logits = np.zeros(len(sequences.x))
    indices = np.arange(len(sequences.starts)) if chosen is None else chosen
    for batch in batches(sequences, indices, most_rows=32768):
        inside = batch.rows >= 0
        logits[batch.rows[inside]] = net(torch.from_numpy(sequences.x[batch.rows]).to(device)).cpu().numpy()[inside]
    return logits
