"""Work on several partitions side by side: one lane for each, and a limit to what is in work in all of them.

Most of a small chunk's time passes in waiting for the broker's acknowledgements. What belongs to one partition is
worked off in order, one thing after the other; while it waits, another partition's turn comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Lanes", "Room"]


class Lanes:
    """Hands events on to `handle`, which runs once at a time for each partition. For one task to call."""

    def __init__(self, handle: Callable[[Any], Awaitable[None]]) -> None:
        self._handle = handle
        self._working: dict[int, asyncio.Task[None]] = {}

    async def take(self, event: Any) -> None:
        """Begin to work on an event, as soon as what its partition had before is done.

        A cancelled call leaves the event alone, and what is in work goes on: whoever waits for acknowledgements knows.
        """
        partition = event.message.partition
        before = self._working.get(partition)
        if before is not None:
            await asyncio.wait({before})
        self._working[partition] = asyncio.create_task(self._work(partition, event))

    async def _work(self, partition: int, event: Any) -> None:
        try:
            await self._handle(event)
        finally:
            if self._working.get(partition) is asyncio.current_task():
                del self._working[partition]


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
