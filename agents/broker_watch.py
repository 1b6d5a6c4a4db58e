"""Whether the cluster answers a worker, and one line in the log when it has stopped and one when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

__all__ = ["SILENT_SECONDS", "BrokerWatch"]

_log = structlog.get_logger(__name__)
SILENT_SECONDS = 15.0


class BrokerWatch:
    """Knows when a broker last answered; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered_at = clock()
        self._told = False

    def answered(self) -> None:
        """Note that a broker has just answered, or that none had to be asked."""
        if self._told:
            _log.info("broker_back", seconds=round(self._clock() - self._answered_at))
            self._told = False
        self._answered_at = self._clock()

    def tell(self) -> None:
        """Say once in the log that no broker answers any more."""
        if self.silent and not self._told:
            self._told = True
            _log.warning("broker_silent", seconds=round(self._clock() - self._answered_at))

    @property
    def silent(self) -> bool:
        """Tell whether no broker has answered for so long that nothing may be expected of this worker."""
        return self._clock() - self._answered_at > SILENT_SECONDS
