"""Figures computed the plain way, row by row and round by round: what the fast ways are held against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Integers = NDArray[np.integer]


def brier(risks: F64, labels: Integers, *, weights: NDArray[np.floating] | None = None) -> float:
    """Return the mean squared difference between risk and label (Brier, Mon Weather Rev 78:1, 1950)."""
    return float(np.average((risks - labels) ** 2, weights=weights))


def expected_calibration_error(
    risks: F64, labels: Integers, bins: int = 20, *, weights: NDArray[np.floating] | None = None
) -> float:
    """Return the mean difference between mean risk and share of positives over bins of equally many rows."""
    weight = np.ones(len(risks)) if weights is None else weights
    order = np.argsort(risks, kind="stable")
    over = (weight * (risks - labels))[order]
    return float(sum(abs(part.sum()) for part in np.array_split(over, bins)) / weight.sum())


def bootstrap_interval(
    metric: Callable[[F64], float], lengths: Integers, *, seed: int, rounds: int = 200
) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of a metric over resampled stays.

    `metric` takes row weights (R): how often the row's stay was drawn. Rows of a stay go together, because they are
    not independent. Lengths (S) are the rows of each stay.
    """
    rng = np.random.default_rng(seed)
    n = len(lengths)
    drawn = []
    for _ in range(rounds):
        times = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        drawn.append(metric(np.repeat(times, lengths)))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
