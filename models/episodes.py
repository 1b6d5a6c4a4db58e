"""How often a pair of thresholds would page: alert episodes counted on whole cohorts, for choosing thresholds.

The rule is the pager's: an episode opens when the risk reaches the raise threshold, and ends when it falls below the
resolve threshold; both only on rows with an observation and with enough known of the patient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_raise_threshold", "episode_starts", "episodes_per_day"]

_HOURS_A_DAY = 24
_STEPS = 40  # of halving the interval: far below the six decimals of a risk
_DIGITS = 6


def episode_starts(
    risks: NDArray[np.float64],
    decides: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    *,
    raise_threshold: float,
    resolve_threshold: float,
) -> NDArray[np.bool_]:
    """Return on which rows (R) an episode opens; `decides` (R) marks the rows on which anything is decided."""
    high = decides & (risks >= raise_threshold)
    low = decides & (risks < resolve_threshold)
    first = np.zeros(len(risks), dtype=np.bool_)
    first[offsets[:-1]] = True
    # Between the thresholds nothing changes: an episode opens at a high row where the last row that was high, low or
    # the stay's first was not high, or was of another stay.
    turning = np.flatnonzero(high | low | first)
    was_high = np.concatenate(([False], high[turning][:-1])) & ~first[turning]
    starts = np.zeros(len(risks), dtype=np.bool_)
    starts[turning[high[turning] & ~was_high]] = True
    return starts


def episodes_per_day(
    risks: NDArray[np.float64],
    decides: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    *,
    raise_threshold: float,
    resolve_threshold: float,
) -> float:
    """Return episodes a patient-day: a row is an hour."""
    starts = episode_starts(
        risks, decides, offsets, raise_threshold=raise_threshold, resolve_threshold=resolve_threshold
    )
    return float(starts.sum() * _HOURS_A_DAY / len(risks))


def choose_raise_threshold(
    risks: NDArray[np.float64],
    decides: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    *,
    episodes_a_day: float,
    resolve_ratio: float,
) -> float:
    """Return the raise threshold with about so many episodes a patient-day, resolving at `resolve_ratio` of it.

    Searched from above, where a lower threshold means more episodes; far below, few stays would ever resolve.
    """
    low, high = float(np.quantile(risks, 0.5)), float(risks.max())
    for _ in range(_STEPS):
        middle = (low + high) / 2
        burden = episodes_per_day(
            risks, decides, offsets, raise_threshold=middle, resolve_threshold=middle * resolve_ratio
        )
        low, high = (middle, high) if burden > episodes_a_day else (low, middle)
    return round(high, _DIGITS)
