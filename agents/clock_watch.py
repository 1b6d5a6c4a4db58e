"""Asks again and again what the wall clock has made due, and appends it to the patients' logs.

A worker knows a log only up to where it has read it. While records wait, it speaks of the time of the last one that it
has worked off, not of now: a patient whose measurements wait in the log is not silent.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog

from agents.clock import clock_record
from agents.rules import Rules
from agents.sending import Outgoing
from agents.ward import Ward

__all__ = ["ClockWatch", "Position"]

_log = structlog.get_logger(__name__)


class Position(Protocol):
    """How far a partition's log has been worked off."""

    def waiting(self, partition: int) -> int | None:
        """Return how many of its records wait; None where that is not known yet."""


class ClockWatch:
    """Appends what is due, once for each need, until it has been read."""

    def __init__(
        self,
        ward: Ward,
        position: Position,
        rules_of: Callable[[int], Rules],
        append: Callable[[int, Sequence[Outgoing]], Awaitable[Any]],
        *,
        late_ms: float,
    ) -> None:
        """Watch a ward; `late_ms` is how late an observation may be."""
        self._ward, self._position, self._rules_of, self._append = ward, position, rules_of, append
        self._late_ms = late_ms
        self._read_until: dict[int, int] = {}  # Kafka's timestamp of the last record worked off, by partition

    def worked_off(self, partition: int, timestamp_ms: int) -> None:
        """Note the last record of a partition that is done with."""
        self._read_until[partition] = max(timestamp_ms, self._read_until.get(partition, 0))

    def begin(self) -> None:
        """Forget what was read: the partitions are assigned anew."""
        self._read_until.clear()

    async def look(self) -> None:
        """Append what is due now in all partitions of the ward."""
        for partition in self._ward.partitions():
            now_ms = self._known_until(partition)
            if not now_ms:
                continue
            due = self._ward.due(partition, now_ms, self._rules_of(partition), self._late_ms, time.monotonic())
            if due:
                _log.info("clock_appended", partition=partition, patients=len(due))
                await self._append(partition, [clock_record(key, now_ms, what) for key, what in due])

    def _known_until(self, partition: int) -> int:
        """Return up to when all that happened in a partition is known, epoch milliseconds; 0 where nothing is."""
        waiting = self._position.waiting(partition)
        now_ms = round(time.time() * 1000)
        if waiting == 0:
            return now_ms
        return 0 if waiting is None else min(self._read_until.get(partition, 0), now_ms)
