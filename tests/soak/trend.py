"""Whether a figure stays flat over simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["SETTLING", "Trend", "trend"]

SETTLING = 1 / 3  # of the time, in which caches and heaps fill, is not judged
_WEEK_HOURS = 168.0


@dataclass(frozen=True)
class Trend:
    """The straight line through the figures after settling: what it adds in a week, against their median."""

    name: str
    median: float
    weekly_growth: float  # as a share of the median
    limit: float | None  # None: shown, not judged

    @property
    def flat(self) -> bool:
        """Tell whether it grows by no more than the limit."""
        return self.limit is None or self.weekly_growth <= self.limit

    def line(self) -> str:
        """Return a line of text."""
        verdict = "not judged" if self.limit is None else f"{'flat' if self.flat else 'GROWS'} (limit {self.limit:.0%})"
        return f"{self.name:24} median {self.median:14,.0f}   in a week {self.weekly_growth:+8.1%}   {verdict}"


def trend(name: str, hours: Sequence[float], figures: Sequence[float], limit: float | None) -> Trend:
    """Fit a line by least squares to the figures of all but the settling time."""
    x, y = np.asarray(hours, dtype=float), np.asarray(figures, dtype=float)
    keep = x >= x[0] + SETTLING * (x[-1] - x[0])
    median = float(np.median(y[keep]))
    slope = float(np.polyfit(x[keep], y[keep], 1)[0]) if keep.sum() > 1 else 0.0
    return Trend(name, median, slope * _WEEK_HOURS / median if median else 0.0, limit)
