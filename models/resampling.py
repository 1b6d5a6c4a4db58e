"""The bootstrap over stays: how often each stay was drawn, and what that makes of sums and of 95 % intervals.

Rows of a stay go together, because they are not independent. A figure that is made of sums over stays costs one matrix
product for all rounds; the others take the draws of one round at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Figure", "Resamples"]

F64 = NDArray[np.float64]

_ROUNDS_AT_ONCE = 32
_INTERVAL = (2.5, 97.5)  # percentiles


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value and the ends of its 95 % interval; NaN where there is nothing to compute it from."""

    value: float
    low: float | None = None
    high: float | None = None

    def rounded(self, digits: int) -> dict[str, float]:
        """Return the figure for a file."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {name: round(part, digits) for name, part in parts.items() if part is not None}


@dataclass(frozen=True)
class Resamples:
    """Draws of S stays out of S, with replacement: how often each stay comes in each round."""

    times: NDArray[np.uint16]  # (B, S)

    @classmethod
    def draw(cls, n_stays: int, rounds: int, seed: int) -> Resamples:
        """Return the same draws for the same numbers."""
        rng = np.random.default_rng(seed)
        times = np.zeros((rounds, n_stays), dtype=np.uint16)
        for each in times:
            each[:] = np.bincount(rng.integers(0, n_stays, n_stays), minlength=n_stays)
        return cls(times)

    @property
    def n_stays(self) -> int:
        """Number of stays that were drawn from."""
        return int(self.times.shape[1])

    def sums(self, per_stay: F64) -> F64:
        """Return the weighted sums (B, K) of what each stay contributes (S, K)."""
        parts = [
            self.times[start : start + _ROUNDS_AT_ONCE].astype(np.float64) @ per_stay
            for start in range(0, len(self.times), _ROUNDS_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, per_stay.shape[1]))

    def of_sums(self, per_stay: F64, figure: Callable[[F64], F64]) -> Figure:
        """Return a figure of sums over stays: `figure` takes sums (N, K) and gives values (N)."""
        return self.figure(float(figure(per_stay.sum(axis=0)[None])[0]), figure(self.sums(per_stay)))

    def of_draws(self, figure: Callable[[NDArray[np.integer]], float]) -> Figure:
        """Return any other figure: `figure` takes how often each stay was drawn (S)."""
        once = np.ones(self.n_stays, dtype=np.uint16)
        return self.figure(figure(once), np.array([figure(times) for times in self.times]))

    @staticmethod
    def figure(value: float, drawn: F64, *, noisy_upwards: bool = False) -> Figure:
        """Return a value with the percentiles of what the rounds gave (B); rounds that gave nothing do not count.

        Drawing anew adds noise. A figure that any noise raises, such as a sum of distances, is `noisy_upwards`: its
        rounds are moved to lie around the value, and not below nought.
        """
        known = drawn[np.isfinite(drawn)]
        if not len(known):
            return Figure(value)
        low, high = np.percentile(known, _INTERVAL)
        if noisy_upwards:
            excess = float(known.mean()) - value
            low, high = max(float(low) - excess, 0.0), max(float(high) - excess, 0.0)
        return Figure(value, float(low), float(high))
