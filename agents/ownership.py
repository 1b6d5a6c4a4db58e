"""The lease: how long after its last successful commit a worker may write without asking.

A worker that was stopped for long (a suspended machine, a long pause) may have lost its partitions without knowing.
The broker accepts a commit only from a current member of the group, so a recent one is proof of membership.
"""

from __future__ import annotations

import time

__all__ = ["Lease"]

_LEASE_SECONDS = 3.0  # well below the session timeout, after which the group gives the partitions away


class Lease:
    """Remembers when the group last confirmed this worker."""

    def __init__(self) -> None:
        self._renewed_at = float("-inf")

    @staticmethod
    def clock() -> float:
        """Seconds on a clock that also runs while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def renew(self, asked_at: float) -> None:
        """Note that the commit asked for at `asked_at` (by `clock`) was accepted."""
        self._renewed_at = max(self._renewed_at, asked_at)

    def holds(self) -> bool:
        """Tell whether the last confirmation is young enough."""
        return self.clock() - self._renewed_at < _LEASE_SECONDS
