"""When each septic stay's sepsis began, by the challenge's definition, and how rows and windows lie to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort

__all__ = ["HOURS_AFTER", "HOURS_BEFORE", "NO_ONSET", "onset_steps"]

HOURS_BEFORE = 12  # an alert is in time from so many hours before the onset
HOURS_AFTER = 3  # to so many hours after it: the window in which the official utility is not zero
NO_ONSET = float("inf")

_LABEL_AHEAD = 6  # hours by which the label goes before the onset


def onset_steps(cohort: Cohort) -> NDArray[np.float64]:
    """Return the step of each stay's onset, t_sepsis (S): six hours after the first positive label; inf where none.

    It may lie behind the stay's last row, because records end while the label is positive. Raises CohortError where
    the cohort has no labels.
    """
    first = np.where(cohort.known_labels == 1, cohort.steps, np.inf)
    if cohort.n_stays == 0:
        return np.zeros(0)
    onset: NDArray[np.float64] = np.minimum.reduceat(first, cohort.offsets[:-1]) + _LABEL_AHEAD
    return onset
