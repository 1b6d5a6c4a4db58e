"""The figures of a model on stays it has never seen, each with its 95 % interval over stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.metrics import (
    auprc,
    auroc,
    bootstrap_interval,
    brier,
    expected_calibration_error,
    normalised_utility,
)

__all__ = ["VIEWS", "evaluate", "hours_only"]

_FIRST_HOURS = 48
_DIGITS = 4

# What the model is shown, by the name its figures stand under: vital signs (None: all) and what is hidden.
VIEWS: dict[str, tuple[frozenset[str] | None, frozenset[str]]] = {
    "all": (None, frozenset()),
    "three_vital_signs": (frozenset({"heart_rate", "respiratory_rate", "temperature"}), frozenset()),
    "without_admission": (None, frozenset({"hospital_admitted", "unit_type"})),
}


def evaluate(
    risks: NDArray[np.float64], cohort: Cohort, *, threshold: float, seed: int, rounds: int = 200
) -> dict[str, dict[str, float]]:
    """Return, for each figure, its value and the ends of its interval, of risks (R) over a cohort with labels.

    `auroc_time_adjusted` compares rows of the same hour only, `..._first_48h` leaves later rows out; `utility` flags
    rows at or over `threshold`. Without rounds there are no intervals.
    """
    _ = cohort.septic  # raises where the cohort has no labels
    labels = np.zeros(0, dtype=np.uint8) if cohort.labels is None else cohort.labels
    early = cohort.steps < _FIRST_HOURS
    steps, flags = cohort.steps, risks >= threshold
    figures: dict[str, Callable[[NDArray[np.float64]], float]] = {
        "auroc": lambda w: auroc(risks, labels, weights=w),
        "auroc_time_adjusted": lambda w: auroc(risks, labels, groups=steps, weights=w),
        "auroc_first_48h": lambda w: auroc(risks[early], labels[early], weights=w[early]),
        "auroc_time_adjusted_first_48h": lambda w: auroc(
            risks[early], labels[early], groups=steps[early], weights=w[early]
        ),
        "auprc": lambda w: auprc(risks, labels, weights=w),
        "utility": lambda w: normalised_utility(labels, cohort.offsets, flags, weights=w),
        "brier": lambda w: brier(risks, labels, weights=w),
        "ece": lambda w: expected_calibration_error(risks, labels, weights=w),
    }
    once = np.ones(cohort.n_rows)
    found: dict[str, dict[str, float]] = {}
    for name, figure in figures.items():
        found[name] = {"value": round(figure(once), _DIGITS)}
        if rounds:
            low, high = bootstrap_interval(figure, cohort.lengths, seed=seed, rounds=rounds)
            found[name] |= {"low": round(low, _DIGITS), "high": round(high, _DIGITS)}
    return found


def hours_only(cohort: Cohort) -> NDArray[np.float64]:
    """Return a "risk" (R) that is the hour of the stay and nothing else: the baseline any result must stand beside."""
    scaled: NDArray[np.float64] = cohort.steps / 1e6
    return scaled
