"""What the doubt layer does on labelled stays it never saw: how many it calls unlike, against what it promised."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.doubt import REASONS, UNLIKE, Doubts
from models.resampling import Figure

__all__ = ["ever_unlike", "exact_interval", "hours_in_doubt"]

_TAIL = 0.025  # each end of a 95 % interval
_HALVINGS = 60


def ever_unlike(cohort: Cohort, doubt: Doubts) -> dict[str, dict[str, int | Figure]]:
    """Return for all stays, the septic ones and each hospital's how many there are, and the share ever called unlike.

    With exact 95 % intervals (Clopper and Pearson 1934). Raises CohortError where the cohort has no labels.
    """
    ever = np.zeros(cohort.n_stays, dtype=np.bool_)
    ever[cohort.stay_of_row[doubt.reason == UNLIKE]] = True
    septic, hospitals = cohort.septic, np.array(cohort.hospitals)
    groups = {"all": np.ones(cohort.n_stays, dtype=np.bool_), "septic": septic, "other": ~septic}
    groups |= {f"hospital {name}": hospitals == name for name in sorted(set(cohort.hospitals)) if name}
    return {
        name: {
            "stays": int(stays.sum()),
            "unlike": int(ever[stays].sum()),
            "share": exact_interval(int(ever[stays].sum()), int(stays.sum())),
        }
        for name, stays in groups.items()
    }


def hours_in_doubt(doubt: Doubts) -> dict[str, float]:
    """Return the share of hours that cannot be assessed, by reason."""
    hours = max(len(doubt.reason), 1)
    return {name: float((doubt.reason == code).sum()) / hours for code, name in enumerate(REASONS) if code}


def exact_interval(found: int, of: int) -> Figure:
    """Return a share with its exact 95 % interval; NaN where there is nothing to count."""
    if not of:
        return Figure(math.nan)
    low = 0.0 if found == 0 else _solve(lambda share: 1 - _at_most(found - 1, of, share))
    high = 1.0 if found == of else 1 - _solve(lambda share: 1 - _at_most(of - found - 1, of, share))
    return Figure(found / of, low, high)


def _solve(rising: Callable[[float], float]) -> float:
    """Return the share at which a rising probability reaches the tail's."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > _TAIL else (middle, high)
    return low


def _at_most(found: int, of: int, share: float) -> float:
    """Return the probability of at most so many successes among independent trials."""
    counts = np.arange(found + 1)
    log_ways: NDArray[np.float64] = np.array(
        [math.lgamma(of + 1) - math.lgamma(each + 1) - math.lgamma(of - each + 1) for each in counts.tolist()]
    )
    return float(np.exp(log_ways + counts * math.log(share) + (of - counts) * math.log1p(-share)).sum())
