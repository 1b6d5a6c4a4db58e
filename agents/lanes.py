"""Work on several partitions side by side: one lane for each, and a limit to what is in work in all of them.

Most of a small chunk's time passes in waiting for the broker's acknowledgements. What belongs to one partition is
worked off in order, one thing after the other; while it waits, another partition's turn comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Lanes", "Room"]


class Lanes:
    """Lets `work_off` see to each partition's lane, oldest event first, as long as events stand in it.

    It runs once at a time for each partition, and takes off the lane what is done, however much has come meanwhile.
    What waits in a lane is bounded by whoever delivers: nothing is fetched while too much is in work.
    """

    def __init__(self, work_off: Callable[[deque[Any]], Awaitable[None]]) -> None:
        self._work_off = work_off
        self._waiting: dict[int, deque[Any]] = {}  # by partition; there is a task for each
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, event: Any) -> None:
        """Put an event into its partition's lane; work on it begins when what came before it is done."""
        partition = event.message.partition
        lane = self._waiting.get(partition)
        if lane is not None:
            lane.append(event)
            return
        self._waiting[partition] = deque([event])
        task = asyncio.create_task(self._work(partition))
        self._tasks.add(task)  # the loop itself keeps no hold of it
        task.add_done_callback(self._tasks.discard)

    async def _work(self, partition: int) -> None:
        lane = self._waiting[partition]
        try:
            while lane:
                await self._work_off(lane)
        finally:
            del self._waiting[partition]


class Room:
    """Limits how much is in work at a time; whoever comes first is let in first, so that nobody waits for ever."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._turn, self._left = asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def holding(self, amount: int) -> AsyncIterator[None]:
        """Wait until there is room for so much, and hold it; what is larger than the whole room is let in alone."""
        async with self._turn:
            while self._held and self._held + amount > self._most:
                self._left.clear()
                await self._left.wait()
            self._held += amount
        try:
            yield
        finally:
            self._held -= amount
            self._left.set()
