"""Asks now and then whether the log still holds anything of patients of whom only a stub is kept, and lets go of them.

A stub keeps records that are read again from bringing an ended stay back. Once a partition's log begins after the last
record that a stub has seen, there is none to be read again. Then a record in the patient's log says so, and whoever
reads it, a worker or a replay, keeps nothing of the patient any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog

from agents.clock import LET_GO, clock_record
from agents.in_force import is_settings_key
from agents.record import stub_offset
from agents.sending import Outgoing

__all__ = ["AT_ONCE", "LettingGo"]

_log = structlog.get_logger(__name__)
_EVERY_SECONDS = 60.0
AT_ONCE = 1_000  # patients of a partition: after an upgrade there may be those of years


class LettingGo:
    """Appends, for each stub that the log has outlived, the record that lets go of it."""

    def __init__(
        self,
        items_of: Callable[[int], Iterable[tuple[bytes, bytes]]],
        log_begins: Callable[[Sequence[int]], Awaitable[Mapping[int, int]]],
        append: Callable[[int, Sequence[Outgoing]], Awaitable[Any]],
    ) -> None:
        """Watch stubs: `items_of` gives what a partition keeps, `log_begins` the first offsets that logs still hold."""
        self._items_of, self._log_begins, self._append = items_of, log_begins, append
        self._looked: dict[int, int] = {}  # where the log began when the last of its stubs was asked for
        self._asked: dict[int, set[bytes]] = {}  # appended, and not read since
        self._next = 0.0

    def begin(self) -> None:
        """Look at everything again, soon: the partitions are assigned anew."""
        self._looked.clear()
        self._asked.clear()
        self._next = 0.0

    async def keep(self, partitions: Callable[[], Sequence[int]]) -> None:
        """Look again and again at the partitions that are worked on; a failure is told, and tried again."""
        while True:
            await asyncio.sleep(1.0)
            try:
                await self.look(partitions())
            except Exception as error:  # noqa: BLE001 (what is kept a minute longer harms nobody)
                _log.warning("letting_go_failed", cause=type(error).__name__)

    async def look(self, partitions: Sequence[int]) -> None:
        """Append what is due in these partitions; once a minute, however often it is called."""
        if not partitions or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        for partition, begin in (await self._log_begins(partitions)).items():
            if self._looked.get(partition) != begin:
                await self._look_at(partition, begin)

    async def _look_at(self, partition: int, begin: int) -> None:
        stored = self._items_of(partition)
        done = {key for key, state in stored if 0 <= stub_offset(state) < begin and not is_settings_key(key)}
        asked = self._asked[partition] = self._asked.get(partition, set()) & done
        some, now_ms = sorted(done - asked)[:AT_ONCE], round(time.time() * 1000)
        if some:
            _log.info("stubs_let_go", partition=partition, patients=len(some))
            await self._append(partition, [clock_record(key, now_ms, [LET_GO], begin) for key in some])
        asked.update(some)
        if len(asked) == len(done):
            self._looked[partition] = begin
