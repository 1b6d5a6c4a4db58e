"""What the hours that closed brought of each vital sign, against the data that the model learned from.

The unit is an hour of a stay, as in training: a monitor that sends every second counts no more than a nurse who charts
once an hour. Sums only, so that counts of many workers and over any time can be added up. Canaries are no patients.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.canary import CANARY_PREFIX
from models.features import Scaling
from models.vital_signs import N_VITAL_SIGNS

__all__ = ["Intake"]

_CANARY = CANARY_PREFIX.encode()
_F64 = NDArray[np.float64]


def _zeros() -> _F64:
    return np.zeros(N_VITAL_SIGNS)


@dataclass
class Intake:
    """Sums over closed hours, (7,) by vital sign. Deviations are in the training data's, from its mean, within 6."""

    measured: _F64 = field(default_factory=_zeros)  # hours in which the vital sign was measured
    above: _F64 = field(default_factory=_zeros)  # sum of the deviations of the hours above the mean
    below: _F64 = field(default_factory=_zeros)  # and of those below, as a positive number
    squared: _F64 = field(default_factory=_zeros)  # sum of the squared deviations

    def take(self, keys: NDArray[Any], values: NDArray[np.float32], scaling: Scaling) -> None:
        """Count hours (N) of the patients `keys`; `values` (N, 7) are the model's inputs, NaN where not measured."""
        people = keys.astype(f"S{len(_CANARY)}") != _CANARY
        z = scaling.z(values[people])
        self.measured += (~np.isnan(z)).sum(axis=0)
        z = np.nan_to_num(z)
        self.above += np.maximum(z, 0).sum(axis=0, dtype=np.float64)
        self.below -= np.minimum(z, 0).sum(axis=0, dtype=np.float64)
        self.squared += np.square(z).sum(axis=0, dtype=np.float64)

    def add(self, other: Intake) -> None:
        """Count what another one counted."""
        self.measured += other.measured
        self.above += other.above
        self.below += other.below
        self.squared += other.squared
