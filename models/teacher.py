"""Soft targets: what networks that also see laboratory values make of stays they were not trained on.

A label says only whether onset came within hours; a teacher that has seen lactate and creatinine says how likely it
was (Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015; privileged information: Vapnik and
Vashist, 2009). Each of its networks learns from all folds of the training stays but one, and judges that one, so that
no row is judged by a network that knows its label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from models.cohort import Cohort
from models.laboratory import Laboratory
from models.learner import Learner, Targets, logits_of
from models.sequences import Sequences
from models.training_config import TrainingConfig

__all__ = ["Teacher"]

_SEED = 1000  # apart from the seeds of the model's own epochs


class Teacher:
    """Networks over the training stays' bedside features and laboratory values."""

    def __init__(
        self, training: Cohort, laboratory: Laboratory, bedside: Sequences, targets: Targets, config: TrainingConfig
    ) -> None:
        """Take the training stays, their features with nothing hidden, and their labels as targets."""
        self._cohort = training
        self._targets = targets
        self._config = config
        self._sequences = replace(bedside, x=np.concatenate([bedside.x, laboratory.features(training)], axis=1))
        rng = np.random.default_rng([config.seed, _SEED])
        fold = rng.permutation(training.n_stays) % config.teacher_folds
        self._fold_of_sequence = fold[bedside.stays]
        self._fold_of_row = np.repeat(fold, training.lengths)
        self._fold = fold

    def probabilities(
        self, identity: str, cache: Path | None, progress: Callable[[int, int, str], None] | None
    ) -> NDArray[np.float32]:
        """Return the probability of a positive label for each row (R), its hour's odds included.

        With `cache`, what each fold's network said is kept there, and not computed again when the run is resumed.
        """
        said: dict[str, torch.Tensor] = {}
        if cache is not None and cache.exists():
            said = dict(read_checkpoint(cache, identity).tensors)
        logits = np.zeros(self._cohort.n_rows)
        for fold in range(self._config.teacher_folds):
            mine = self._fold_of_row == fold
            if str(fold) not in said:
                said[str(fold)] = torch.from_numpy(self._judge(fold, progress)[mine])
                if cache is not None:
                    write_checkpoint(cache, Checkpoint(identity, (), said))
            logits[mine] = said[str(fold)].numpy()
        return (1 / (1 + np.exp(-(logits + self._targets.offset)))).astype(np.float32)

    def _judge(self, fold: int, progress: Callable[[int, int, str], None] | None) -> NDArray[np.float64]:
        """Return the logits of a fold's rows (R; zeros elsewhere) by a network that learned from the other folds."""
        config = self._config
        septic, others = self._cohort.septic, self._fold != fold
        shown = int((septic & others).sum() + config.negative_share * (~septic & others).sum())
        updates = max(shown // config.group_size, 1)
        learner = Learner(
            self._sequences.x.shape[1], config, updates * config.teacher_epochs, seed=config.seed + _SEED + fold
        )
        for epoch in range(config.teacher_epochs):
            rng = np.random.default_rng([config.seed, _SEED, fold, epoch])
            drawn = others & (septic | (rng.random(len(septic)) < config.negative_share))
            group = np.where(drawn, rng.permutation(len(septic)) % updates, -1)[self._sequences.stays]
            for update in range(updates):
                chosen = np.flatnonzero(group == update)
                learner.update(epoch * updates + update, self._sequences, self._targets, chosen)
                if progress:
                    done = (fold * config.teacher_epochs + epoch) * updates + update + 1
                    total = config.teacher_folds * config.teacher_epochs * updates
                    progress(done, total, f"teacher {fold + 1}/{config.teacher_folds}")
        return logits_of(learner.average, self._sequences, np.flatnonzero(self._fold_of_sequence == fold))
