"""Training: an epoch draws stays, shows them partly hidden, and learns from labels and teacher, hour by hour."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import Checkpoint, Epoch, read_checkpoint, write_checkpoint
from models.cohort import Cohort
from models.features import CLOCK_NAMES, FEATURE_NAMES
from models.laboratory import Laboratory
from models.learner import Learner, Targets, logits_of
from models.lstm import Weights
from models.manifest import Scale
from models.metrics import auroc
from models.processes import Processes
from models.sequences import (
    HourOdds,
    Sequences,
    Shown,
    epoch_cohort,
    feature_sequences,
    measure_scales,
    scaling_of,
    with_healthy,
)
from models.teacher import Teacher
from models.training_config import TrainingConfig
from models.tutor import Tutor

__all__ = ["THREE", "Epoch", "Run", "Trained", "teacher_file", "train", "tutor_file"]

_TARGETS = tuple(field.name for field in fields(Targets))
_TUTOR_SEED = 2000  # apart from the seeds of epochs and teacher

THREE = frozenset({"heart_rate", "respiratory_rate", "temperature"})
_Progress = Callable[[int, int, str], None] | None


@dataclass(frozen=True)
class Trained:
    """The best epoch's averaged weights, the scales of their inputs, and every epoch's figures."""

    weights: Weights
    scales: dict[str, Scale]
    hour_log_odds: tuple[float, ...]  # to be added to the logit; empty for a model that must not see the clock
    history: tuple[Epoch, ...]


def train(
    training: Cohort,
    validation: Cohort,
    config: TrainingConfig,
    *,
    laboratory: Laboratory | None = None,
    checkpoint: Path | None = None,
    progress: _Progress = None,
    processes: Processes | None = None,
) -> Trained:
    """Return trained weights: the same for the same stays and configuration, on one machine's CPU.

    `laboratory` are the training rows' values for the teacher; without them the labels alone are learned from. With
    `checkpoint`, every epoch is written there (and what the teacher says beside it), and a run that was interrupted
    goes on after its last whole epoch, to the weights it would have had. `progress` is called with updates done,
    updates in all, and a word. With `processes`, all of them call this alike and get the same; without dropout and
    pairs that is, but for rounding, what one process alone gets. The first one alone writes and shows progress.

    Raises CheckpointError where a file is of another run, TeacherError where LightGBM is missing, ProcessesError where
    an update has too few stays for all processes.
    """
    run = Run(training, validation, config, laboratory, processes)
    if checkpoint is not None and checkpoint.exists():
        run.resume(read_checkpoint(checkpoint, run.identity))
    if not run.finished and laboratory is not None and config.teacher_share > 0:
        run.hear_teacher(laboratory, None if checkpoint is None else teacher_file(checkpoint), progress)
    if not run.finished and config.tutor_share > 0:
        run.find_tutor(None if checkpoint is None else tutor_file(checkpoint), progress)
    while not run.finished:
        run.epoch(progress)
        if checkpoint is not None and run.processes.is_first:
            write_checkpoint(checkpoint, run.checkpoint())
    return run.result()


def teacher_file(checkpoint: Path) -> Path:
    """Return where what the teacher says is kept beside a checkpoint."""
    return checkpoint.with_name("teacher-" + checkpoint.name)


def tutor_file(checkpoint: Path) -> Path:
    """Return where the tutor is kept beside a checkpoint."""
    return checkpoint.with_name("tutor-" + checkpoint.name)


class Run:
    """One training run: what it learns from, the network, and how far it has come."""

    def __init__(
        self,
        training: Cohort,
        validation: Cohort,
        config: TrainingConfig,
        laboratory: Laboratory | None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.processes = processes or Processes()
        self.training = training
        self.validation = validation
        self.scales = measure_scales(training)
        self.scaling = scaling_of(self.scales)
        self.odds = HourOdds(training, config)
        self.labels = _labels(training).astype(np.float32)  # (R) what is learned, softened by a teacher
        self.identity = _identity(training, validation, config, laboratory)
        shown = int(training.septic.sum() + config.negative_share * (~training.septic).sum())
        self.updates = max(int(shown * (1 + config.healthy_share)) // config.group_size, 1)  # an epoch
        n_inputs = len(FEATURE_NAMES) + (len(CLOCK_NAMES) if config.clock else 0)
        self.learner = Learner(n_inputs, config, self.updates * config.epochs, config.seed, self.processes)
        self.best = {name: value.clone() for name, value in self.learner.average.state_dict().items()}
        self.history: list[Epoch] = []
        self.tutor: Tutor | None = None

    @cached_property
    def views(self) -> tuple[Sequences, ...]:
        """The validation stays with all vital signs, and with three."""
        return tuple(
            feature_sequences(self.validation, self.scaling, vitals=view, clock=self.config.clock)
            for view in (None, THREE)
        )

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the validation result has not improved for long enough."""
        scores = [epoch.score for epoch in self.history]
        if len(scores) >= self.config.epochs:
            return True
        return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= self.config.patience

    def hear_teacher(self, laboratory: Laboratory, cache: Path | None, progress: _Progress) -> None:
        """Mix what a teacher says of the training rows into what is learned."""

        def ask() -> torch.Tensor:
            bedside = feature_sequences(self.training, self.scaling).x
            teacher = Teacher(self.training, laboratory, bedside, self.config)
            identity = _identity_of_teacher(self.training, self.config, laboratory)
            return torch.from_numpy(teacher.probabilities(identity, cache, progress))

        share = np.float32(self.config.teacher_share)
        said: NDArray[np.float32] = self.processes.from_first(ask).numpy()
        self.labels = (1 - share) * self.labels + share * said

    def find_tutor(self, cache: Path | None, progress: _Progress) -> None:
        """Train the tutor, or take it from the file of an interrupted run."""
        self.tutor = Tutor.from_tensor(self.processes.from_first(lambda: self._find_tutor(cache, progress)))

    def _find_tutor(self, cache: Path | None, progress: _Progress) -> torch.Tensor:
        """Return a tutor of several views of the training stays, as bytes."""
        identity = _identity_of_tutor(self.training, self.config, self.labels)
        if cache is not None and cache.exists():
            return read_checkpoint(cache, identity).tensors["tutor"]
        views = [
            self._show(np.random.default_rng([self.config.seed, _TUTOR_SEED, view]))
            for view in range(self.config.tutor_views)
        ]
        x = np.concatenate([sequences.x for _, sequences, _ in views])
        said = [targets for _, _, targets in views]
        targets = Targets(*(np.concatenate([getattr(each, part) for each in said]) for part in _TARGETS))
        tutor = Tutor.learn(x, targets, self.config, progress or (lambda *_: None)).to_tensor()
        if cache is not None:
            write_checkpoint(cache, Checkpoint(identity, (), {"tutor": tutor}))
        return tutor

    def _show(self, rng: np.random.Generator, *, healthy: bool = False) -> tuple[Shown, Sequences, Targets]:
        """Return the stays of one epoch or view, partly hidden, their features, and what is to be said of each row.

        With `healthy`, made-up stays stand behind them, whose risk is to stay below a small share of the hour's odds,
        whatever teacher and tutor would say.
        """
        shown = epoch_cohort(self.training, self.config, rng)
        if healthy:
            shown = with_healthy(shown, self.config, rng)
        sequences = feature_sequences(shown.cohort, self.scaling, clock=self.config.clock)
        offset, hour_weight = self.odds.of(shown.cohort.steps)
        weight = np.repeat(shown.stay_weights, shown.cohort.lengths)
        if not self.config.clock:
            weight = weight * hour_weight
        real = shown.rows >= 0
        ceiling = np.where(real, np.float32(np.inf), np.float32(np.log(self.config.healthy_odds)))
        label = np.where(real, self.labels[shown.rows], np.float32(0))
        if self.tutor is not None:
            share = self._tutor_share(shown.cohort)
            said = 1 / (1 + np.exp(-(self.tutor.logits(sequences.x) + offset)))
            label = np.where(real, (1 - share) * label + share * said, label)
        return shown, sequences, Targets(label, offset, weight, shown.cohort.steps, ceiling)

    def _tutor_share(self, cohort: Cohort) -> NDArray[np.float32]:
        """Return the tutor's share in what is learned of each row (R)."""
        known = np.isfinite(cohort.hospital_hours) | (cohort.unit_type > 0)
        share = np.where(known, self.config.tutor_share, self.config.tutor_share_hidden)
        return np.repeat(share, cohort.lengths).astype(np.float32)

    def epoch(self, progress: _Progress) -> None:
        """Learn for an epoch; then see how the averaged weights do on the validation stays."""
        loss = self.learn(len(self.history), progress)
        found = self.processes.from_first(lambda: torch.tensor(self._validations(), dtype=torch.float64))
        self.history.append(Epoch(loss, *found.tolist()))
        if self.history[-1].score >= max(epoch.score for epoch in self.history):
            self.best = {name: value.clone() for name, value in self.learner.average.state_dict().items()}

    def learn(self, number: int, progress: _Progress = None) -> float:
        """Show the stays of an epoch (numbered from 0) once, in groups; return the mean loss."""
        # prepare
        rng = np.random.default_rng([self.config.seed, number])  # an epoch's draws do not depend on those before it
        torch.manual_seed(int(rng.integers(2**31)) + self.processes.rank)  # dropout
        shown, sequences, targets = self._show(rng, healthy=True)
        group = (rng.permutation(shown.cohort.n_stays) % self.updates)[sequences.stays]
        # learn
        losses = []
        for update in range(self.updates):
            done = number * self.updates + update
            losses.append(self.learner.update(done, sequences, targets, np.flatnonzero(group == update)))
            if progress and self.processes.is_first:
                progress(done + 1, self.config.epochs * self.updates, f"epoch {number + 1}/{self.config.epochs}")
        return self.processes.sum(float(np.mean(losses)))

    def _validations(self) -> list[float]:
        """Return the AUROC of both views."""
        return [self._validate(view) for view in self.views]

    def _validate(self, sequences: Sequences) -> float:
        """Return the AUROC on the validation stays: time-adjusted, or with the hour's odds where they are allowed."""
        logits = logits_of(self.learner.average, sequences)
        labels, steps = _labels(self.validation), self.validation.steps
        if self.config.clock:
            return auroc(logits + self.odds.of(steps)[0], labels)
        return auroc(logits, labels, groups=steps)

    def checkpoint(self) -> Checkpoint:
        """Return everything the rest of the run depends on."""
        tensors = self.learner.state() | {f"best.{name}": value.clone() for name, value in self.best.items()}
        return Checkpoint(self.identity, tuple(self.history), tensors)

    def resume(self, saved: Checkpoint) -> None:
        """Go on where a checkpoint of this run was written."""
        self.learner.load_state(saved.tensors)
        self.best = {name: saved.tensors[f"best.{name}"] for name in self.best}
        self.history = list(saved.history)

    def result(self) -> Trained:
        """Return the best epoch's weights."""
        self.learner.average.load_state_dict(self.best)
        hour_log_odds = self.odds.log_odds if self.config.clock else ()
        return Trained(self.learner.average.weights(), self.scales, hour_log_odds, tuple(self.history))


def _labels(cohort: Cohort) -> NDArray[np.uint8]:
    return np.zeros(0, dtype=np.uint8) if cohort.labels is None else cohort.labels


def _identity(training: Cohort, validation: Cohort, config: TrainingConfig, laboratory: Laboratory | None) -> str:
    """Return a digest of everything a run depends on but the versions of the libraries."""
    return _digest(msgspec.json.encode(config), (training, validation), laboratory)


def _identity_of_teacher(training: Cohort, config: TrainingConfig, laboratory: Laboratory) -> str:
    """Return a digest of what a teacher depends on: runs that differ in other settings can be given its file."""
    settings = {name: value for name, value in msgspec.to_builtins(config).items() if name.startswith("teacher_")}
    settings |= {"teacher_share": None, "seed": config.seed}
    return _digest(msgspec.json.encode(settings), (training,), laboratory)


def _identity_of_tutor(training: Cohort, config: TrainingConfig, labels: NDArray[np.float32]) -> str:
    """Return a digest of what a tutor depends on: what is shown to it, what is said of that, and its own settings."""
    others = ("healthy_", "order_", "alert_", "teacher_", "resolve_", "tutor_share")
    network = {
        *("hidden", "input_dropout", "output_dropout", "epochs", "patience", "learning_rate", "weight_decay"),
        *("clip_norm", "averaging", "group_size"),
    }
    settings = {
        name: value
        for name, value in msgspec.to_builtins(config).items()
        if name not in network and not name.startswith(others)
    }
    return _digest(msgspec.json.encode(settings) + labels.tobytes(), (training,), None)


def _digest(settings: bytes, cohorts: tuple[Cohort, ...], laboratory: Laboratory | None) -> str:
    digest = hashlib.sha256(settings)
    arrays: list[NDArray[np.generic]] = [] if laboratory is None else [laboratory.values]
    for cohort in cohorts:
        digest.update("\n".join(cohort.patient_ids).encode())
        arrays += [cohort.values, cohort.steps, _labels(cohort), cohort.age_years, cohort.sex, cohort.hospital_hours]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
