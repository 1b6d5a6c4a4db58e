"""How far a unit's raise threshold moves for a measured burden: a bounded step of a damped law. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agents.policy import Budget

__all__ = ["Measured", "next_threshold"]

_FINE = 1_000_000  # parts of 1 in which a threshold is told, as `sepsis-monitor tune` does
# The threshold goes with the root of burden over budget. A burden that falls less steeply than with the fourth power of
# the threshold then comes nearer to the budget with every move, and never swings away from it.
_DAMPING = 0.5
_CHANCE = 2.0


@dataclass(frozen=True)
class Measured:
    """What a unit bore in a stretch of event time."""

    episodes: int = 0  # sepsis alerts that have ended and that nobody called right
    patient_days: float = 0.0

    @property
    def burden(self) -> float | None:
        """False episodes a patient-day; None where there was no patient."""
        return self.episodes / self.patient_days if self.patient_days else None


def next_threshold(budget: Budget, threshold: float, measured: Measured) -> float:
    """Return the raise threshold after a look at what was measured; the same one where nothing is to be done.

    Nothing moves on fewer patient-days than the budget wants, within its tolerance, or where the count is no further
    from the one to be expected than two of a Poisson count's standard deviations, where chance alone puts it at one
    look in twenty. Else the threshold rises or falls by at most the budget's step, within its limits.
    """
    expected = budget.false_episodes_per_patient_day * measured.patient_days
    off = measured.episodes - expected
    if measured.patient_days < budget.least_patient_days or abs(off) <= max(
        budget.tolerance * expected, _CHANCE * math.sqrt(expected)
    ):
        return threshold
    most = 1 + budget.step
    factor = min(max(math.pow(measured.episodes / expected, _DAMPING), 1 / most), most)
    scaled = threshold * factor * _FINE
    # Towards where it came from: rounding never makes the step longer.
    rounded = (math.floor(scaled) if factor > 1 else math.ceil(scaled)) / _FINE
    moved = max(threshold, rounded) if factor > 1 else min(threshold, rounded)
    return min(max(moved, budget.lowest_threshold), budget.highest_threshold)
