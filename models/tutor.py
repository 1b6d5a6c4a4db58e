"""A second teacher that sees no more than the model does: boosted trees over the model's own inputs.

What the first teacher says of a row depends on things the model cannot see. Trees that learn it from the model's own
inputs, with parts hidden as the model will meet them, say what is left of it at the bedside: a function that the
network can learn from any view of any stay, without the noise of labels (Furlanello et al., Born-again neural networks,
ICML 2018). Trees are the better at what is known at admission, the network at the course of a stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.learner import Targets
from models.teacher import TREES, trees_library
from models.training_config import TrainingConfig

if TYPE_CHECKING:
    import lightgbm

__all__ = ["Tutor"]


class Tutor:
    """Trained trees."""

    def __init__(self, text: str) -> None:
        """Take the trees as LightGBM writes them; raises TeacherError where LightGBM is not installed."""
        self._trees: lightgbm.Booster = trees_library().Booster(model_str=text)

    @classmethod
    def learn(
        cls, x: NDArray[np.float32], targets: Targets, config: TrainingConfig, progress: Callable[[int, int, str], None]
    ) -> Tutor:
        """Return trees trained on rows of inputs (R, F) with what they are to say, as the network's loss has it.

        Raises TeacherError where LightGBM is not installed.
        """

        def show(environment: lightgbm.callback.CallbackEnv) -> None:
            progress(environment.iteration + 1, config.tutor_trees, "tutor")

        settings = TREES | {
            "objective": "cross_entropy",  # of probabilities, not of labels only
            "learning_rate": config.tutor_learning_rate,
            "num_leaves": config.tutor_leaves,
            "min_data_in_leaf": config.tutor_leaf_rows,
            "seed": config.seed,
        }
        library = trees_library()
        table = library.Dataset(
            x, targets.label, weight=targets.weight, init_score=targets.offset.astype(np.float64), params=settings
        )
        trees = library.train(settings, table, num_boost_round=config.tutor_trees, callbacks=[show])
        return cls(trees.model_to_string())

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor) -> Tutor:
        """Return the tutor that `to_tensor` wrote."""
        return cls(tensor.numpy().tobytes().decode())

    def to_tensor(self) -> torch.Tensor:
        """Return the trees as bytes (uint8), for a checkpoint."""
        return torch.frombuffer(bytearray(self._trees.model_to_string().encode()), dtype=torch.uint8)

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the trees say of rows of inputs (R, F), without the hour's odds (R)."""
        return np.asarray(self._trees.predict(x, raw_score=True, num_threads=1), dtype=np.float32)
