"""Finds partitions on which records wait and nothing moves, so that the process can be started anew."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from agents.chunk import Chunk

__all__ = ["STALL_SECONDS", "StallDetector", "progress_before"]

STALL_SECONDS = 60.0  # longer than a broker's restart takes


class StallDetector:
    """Pure: told a partition's position now and then, says when it has stood still for too long with work waiting."""

    def __init__(self, seconds: float = STALL_SECONDS) -> None:
        self._seconds = seconds
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def stalled(self, partition: Hashable, position: Hashable, *, waiting: bool, now: float) -> bool:
        """Note the position at `now` (seconds); return whether it has not changed for too long while records wait."""
        before = self._seen.get(partition)
        if not waiting or before is None or before[0] != position:
            self._seen[partition] = (position, now)
            return False
        return now - before[1] > self._seconds


def progress_before(since: float, chunks: Iterable[Chunk]) -> Hashable:
    """Return the progress of those chunks that were delivered before `since` (monotonic seconds).

    What was delivered first is decided on first: while one of these moves, what was delivered later may wait for its
    turn and does not stand still.
    """
    return frozenset((chunk.first, chunk.progress, chunk.done, id(chunk)) for chunk in chunks if chunk.started < since)
