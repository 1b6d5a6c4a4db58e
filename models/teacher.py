"""Soft targets: what trees that also see laboratory values and the hour make of stays they were not trained on.

A label says only whether onset came within hours; a teacher that has seen lactate and creatinine says how likely it
was (Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015; privileged information: Vapnik and
Vashist, 2009). Each of its models (gradient-boosted trees: Ke et al., LightGBM, NIPS 2017) learns from all folds of
the training stays but one, and judges that one, so that no row is judged by a model that knows its label.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from models.cohort import Cohort
from models.laboratory import Laboratory
from models.training_config import TrainingConfig

if TYPE_CHECKING:
    import lightgbm

__all__ = ["TREES", "Teacher", "TeacherError", "trees_library"]

_SEED = 1000  # apart from the seeds of the model's own epochs

# LightGBM's settings of every teacher; one thread and a fixed layout give the same trees every time.
TREES: dict[str, object] = {
    "feature_fraction": 0.4,
    "bagging_fraction": 0.6,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


class TeacherError(RuntimeError):
    """The teacher cannot run here: the message says what to install."""


class Teacher:
    """Boosted trees over the training stays' bedside features, laboratory values and hours."""

    def __init__(
        self, training: Cohort, laboratory: Laboratory, bedside: NDArray[np.float32], config: TrainingConfig
    ) -> None:
        """Take the training stays, which must be labelled, and their features with nothing hidden (R, F)."""
        hour = training.steps[:, None].astype(np.float32)
        self._x = np.concatenate([bedside, laboratory.features(training), hour], axis=1)  # (R, F + 55)
        self._labels = np.zeros(0, dtype=np.uint8) if training.labels is None else training.labels
        self._config = config
        rng = np.random.default_rng([config.seed, _SEED])
        self._fold = np.repeat(rng.permutation(training.n_stays) % config.teacher_folds, training.lengths)  # (R)

    def probabilities(
        self, identity: str, cache: Path | None, progress: Callable[[int, int, str], None] | None
    ) -> NDArray[np.float32]:
        """Return the probability of a positive label for each row (R).

        With `cache`, what each fold's model said is kept there, and not computed again when the run is resumed.
        Raises TeacherError where LightGBM is not installed, CheckpointError where the cache is of another run.
        """
        said: dict[str, torch.Tensor] = {}
        if cache is not None and cache.exists():
            said = dict(read_checkpoint(cache, identity).tensors)
        table: lightgbm.Dataset | None = None
        probabilities = np.zeros(len(self._x), dtype=np.float32)
        for fold in range(self._config.teacher_folds):
            if str(fold) not in said:
                table = table or self._table()
                said[str(fold)] = torch.from_numpy(self._judge(table, fold, progress))
                if cache is not None:
                    write_checkpoint(cache, Checkpoint(identity, (), said))
            probabilities[self._fold == fold] = said[str(fold)].numpy()
        return probabilities

    def _table(self) -> lightgbm.Dataset:
        """Return all rows with their inputs sorted into bins, which needs no label."""
        labels = self._labels.astype(np.float32)
        table: lightgbm.Dataset = trees_library().Dataset(
            self._x, labels, params=self._parameters(), free_raw_data=False
        )
        return table.construct()

    def _judge(
        self, table: lightgbm.Dataset, fold: int, progress: Callable[[int, int, str], None] | None
    ) -> NDArray[np.float32]:
        """Return the probabilities of a fold's rows by trees that learned from the other folds."""
        trees, folds = self._config.teacher_trees, self._config.teacher_folds

        def show(environment: lightgbm.callback.CallbackEnv) -> None:
            if progress:
                progress(fold * trees + environment.iteration + 1, folds * trees, f"teacher {fold + 1}/{folds}")

        others = np.flatnonzero(self._fold != fold)
        model = trees_library().train(
            self._parameters(), table.subset(others.tolist()), num_boost_round=trees, callbacks=[show]
        )
        said = np.asarray(model.predict(self._x[self._fold == fold], num_threads=1))
        return said.astype(np.float32)

    def _parameters(self) -> dict[str, object]:
        """Return LightGBM's settings."""
        config = self._config
        return TREES | {
            "objective": "binary",
            "learning_rate": config.teacher_learning_rate,
            "num_leaves": config.teacher_leaves,
            "min_data_in_leaf": config.teacher_leaf_rows,
            "seed": config.seed,
        }


def trees_library() -> ModuleType:
    """Return LightGBM, which only a training run with a teacher or a tutor needs; TeacherError where it is missing."""
    try:
        return importlib.import_module("lightgbm")
    except ImportError as error:
        msg = (
            "Training with a teacher or a tutor needs LightGBM: install the dependency group `train`, or set "
            "teacher_share and tutor_share to 0 in the training configuration."
        )
        raise TeacherError(msg) from error
