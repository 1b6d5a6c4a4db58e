"""Training: an epoch draws stays, shows them partly hidden, and follows the gradient of the hour-matched loss.

The loss is the cross-entropy of logit + log(P_h / N_h), where P_h and N_h count the positive and negative training
rows of the hour, and rows weigh N_h. The hour's own odds are then explained by the offset, which is dropped at run
time: what is left for the network is what tells patients of the same hour apart, and it has nothing to gain from
counting hours (septic records of this data set are longer than others, an artefact of how it was cut).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.checkpoint import Checkpoint, Epoch, read_checkpoint, write_checkpoint
from models.cohort import Cohort
from models.features import FEATURE_NAMES
from models.lstm import Weights
from models.manifest import Scale
from models.metrics import auroc
from models.net import StayNet
from models.sequences import (
    HourOdds,
    Sequences,
    batches,
    epoch_cohort,
    feature_sequences,
    measure_scales,
    scaling_of,
)
from models.training_config import TrainingConfig

__all__ = ["Epoch", "Trained", "train"]

_THREE = frozenset({"heart_rate", "respiratory_rate", "temperature"})


@dataclass(frozen=True)
class Trained:
    """The best epoch's averaged weights, the scales of their inputs, and every epoch's figures."""

    weights: Weights
    scales: dict[str, Scale]
    history: tuple[Epoch, ...]


def train(
    training: Cohort,
    validation: Cohort,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Trained:
    """Return trained weights: the same for the same stays and configuration, on one machine.

    With `checkpoint`, every epoch is written there, and a run that was interrupted goes on after its last whole epoch,
    to the weights it would have had. `progress` is called with updates done, updates in all, and a word. Raises
    CheckpointError where the file is of another run.
    """
    torch.set_num_threads(1)  # more threads wait for each other longer than they compute, at this size
    run = _Run(training, validation, config)
    if checkpoint is not None and checkpoint.exists():
        run.resume(read_checkpoint(checkpoint, run.identity))
    while not run.finished:
        run.epoch(progress)
        if checkpoint is not None:
            write_checkpoint(checkpoint, run.checkpoint())
    return run.result()


class _Run:
    """One training run: what it learns from, the network, the optimiser, and how far it has come."""

    def __init__(self, training: Cohort, validation: Cohort, config: TrainingConfig) -> None:
        # prepare
        self.config = config
        self.training = training
        self.validation = validation
        self.scales = measure_scales(training)
        self.scaling = scaling_of(self.scales)
        self.odds = HourOdds(training, config)
        self.views = [feature_sequences(validation, self.scaling, vitals=view) for view in (None, _THREE)]
        self.identity = _identity(training, validation, config)
        shown = int(training.septic.sum() + config.negative_share * (~training.septic).sum())
        self.updates = max(shown // config.group_size, 1)  # an epoch
        # initialise
        torch.manual_seed(config.seed)
        self.net = StayNet(len(FEATURE_NAMES), config.hidden, config.input_dropout, config.output_dropout)
        self.average = StayNet(len(FEATURE_NAMES), config.hidden)
        self.average.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.best = {name: value.clone() for name, value in self.average.state_dict().items()}
        self.history: list[Epoch] = []

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the validation result has not improved for long enough."""
        scores = [epoch.score for epoch in self.history]
        if len(scores) >= self.config.epochs:
            return True
        return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= self.config.patience

    def epoch(self, progress: Callable[[int, int, str], None] | None) -> None:
        """Show the epoch's stays once, in groups; then see how the averaged weights do on the validation stays."""
        number = len(self.history)
        rng = np.random.default_rng([self.config.seed, number])  # an epoch's draws do not depend on those before it
        torch.manual_seed(int(rng.integers(2**31)))  # dropout
        cohort, stay_weights = epoch_cohort(self.training, self.config, rng)
        sequences = feature_sequences(cohort, self.scaling)
        targets = _Targets(cohort, stay_weights, self.odds)
        group_of_stay = rng.permutation(cohort.n_stays) % self.updates
        group_of_sequence = group_of_stay[sequences.stays]
        self.net.train()
        losses = []
        for update in range(self.updates):
            self._set_learning_rate(number * self.updates + update)
            losses.append(self._update(sequences, targets, np.flatnonzero(group_of_sequence == update)))
            if progress:
                done, total = number * self.updates + update + 1, self.config.epochs * self.updates
                progress(done, total, f"epoch {number + 1}/{self.config.epochs}")
        all_signs, three_signs = (_validate(self.average, view, self.validation) for view in self.views)
        self.history.append(Epoch(float(np.mean(losses)), all_signs, three_signs))
        if self.history[-1].score >= max(epoch.score for epoch in self.history):
            self.best = {name: value.clone() for name, value in self.average.state_dict().items()}

    def _update(self, sequences: Sequences, targets: _Targets, chosen: NDArray[np.int64]) -> float:
        """Forward, loss and backward over one group of stays in batches of similar length; then one step."""
        parts = list(batches(sequences, chosen))
        total_weight = float(sum(targets.weight[part.rows[part.rows >= 0]].sum() for part in parts))
        loss_of_group = 0.0
        self.optimiser.zero_grad()
        for batch in parts:
            rows = torch.from_numpy(batch.rows)  # (B, T)
            inside = rows >= 0
            x = torch.from_numpy(sequences.x[batch.rows])  # (B, T, F); padding repeats the last row and weighs nothing
            logits = self.net(x)[inside]  # (rows)
            at = batch.rows[batch.rows >= 0]
            loss = nn.functional.binary_cross_entropy_with_logits(
                logits + torch.from_numpy(targets.offset[at]),
                torch.from_numpy(targets.label[at]),
                weight=torch.from_numpy(targets.weight[at]),
                reduction="sum",
            )
            loss = loss / total_weight
            loss.backward()  # type: ignore[no-untyped-call]
            loss_of_group += float(loss.detach())
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.net.limit()
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(now, 1 - self.config.averaging)
        return loss_of_group

    def _set_learning_rate(self, update: int) -> None:
        rate = self.config.learning_rate * _one_cycle(update / (self.config.epochs * self.updates))
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def checkpoint(self) -> Checkpoint:
        """Return everything the rest of the run depends on."""
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        return Checkpoint(self.identity, tuple(self.history), {name: value.clone() for name, value in tensors.items()})

    def resume(self, saved: Checkpoint) -> None:
        """Go on where a checkpoint of this run was written."""

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {
                name.removeprefix(prefix): value for name, value in saved.tensors.items() if name.startswith(prefix)
            }

        self.net.load_state_dict(part("net."))
        self.average.load_state_dict(part("average."))
        self.best = part("best.")
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in part("optimiser.").items():
            index, what = name.split(".", 1)
            state.setdefault(int(index), {})[what] = value
        self.optimiser.load_state_dict({"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]})
        self.history = list(saved.history)

    def result(self) -> Trained:
        """Return the best epoch's weights."""
        self.average.load_state_dict(self.best)
        return Trained(self.average.weights(), self.scales, tuple(self.history))


class _Targets:
    """What each row of an epoch is compared with: label, the hour's log-odds, and weight (R each)."""

    def __init__(self, cohort: Cohort, stay_weights: NDArray[np.float32], odds: HourOdds) -> None:
        labels = np.zeros(0, dtype=np.uint8) if cohort.labels is None else cohort.labels
        self.label = labels.astype(np.float32)
        self.offset, hour_weight = odds.of(cohort.steps)
        self.weight = hour_weight * np.repeat(stay_weights, cohort.lengths)


def _one_cycle(done: float) -> float:
    """Return the share of the highest learning rate when a share of all updates is done (Smith 2018)."""
    rising, start, end = 0.25, 0.04, 1e-4
    if done < rising:
        low, high, at = start, 1.0, done / rising
    else:
        low, high, at = 1.0, end, (done - rising) / (1 - rising)
    return float(high + (low - high) * (1 + np.cos(np.pi * at)) / 2)


@torch.no_grad()
def _validate(net: StayNet, sequences: Sequences, cohort: Cohort) -> float:
    """Return the time-adjusted AUROC."""
    net.eval()
    logits = np.zeros(cohort.n_rows)
    for batch in batches(sequences, np.arange(len(sequences.starts)), most_rows=32768):
        inside = batch.rows >= 0
        logits[batch.rows[inside]] = net(torch.from_numpy(sequences.x[batch.rows])).numpy()[inside]
    labels = np.zeros(0, dtype=np.uint8) if cohort.labels is None else cohort.labels
    return auroc(logits, labels, groups=cohort.steps)


def _identity(training: Cohort, validation: Cohort, config: TrainingConfig) -> str:
    """Return a digest of everything a run depends on but the versions of the libraries."""
    digest = hashlib.sha256(msgspec.json.encode(config))
    for cohort in (training, validation):
        digest.update("\n".join(cohort.patient_ids).encode())
        for array in (cohort.values, cohort.steps, cohort.labels, cohort.age_years, cohort.sex, cohort.hospital_hours):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
