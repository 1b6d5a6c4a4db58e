"""When a worker fetches again: not while enough waits in it, and after little has come only once it has rested."""

from __future__ import annotations

from collections.abc import Iterable

from agents.chunk import LARGEST_CHUNK, Chunk

__all__ = ["Rests", "enough_waits"]

_QUEUE_BYTES = 16_000_000  # of all partitions; a fetch more may be held
_MOST_WAITING = 2  # chunks of a partition that nobody has begun; what stays in the log comes later as a larger chunk
_LONGEST_REST_SECONDS = 0.05


def enough_waits(chains: Iterable[Iterable[Chunk]]) -> bool:
    """Tell whether so much is in work, or waits for it, that nothing more is to be fetched.

    A chain holds the chunks of a partition.
    """
    held = [list(chain) for chain in chains]
    if sum(chunk.size for chain in held for chunk in chain) > _QUEUE_BYTES:
        return True
    return any(sum(not chunk.begun for chunk in chain) >= _MOST_WAITING for chain in held)


class Rests:
    """How long to wait before the next fetch: after a small one, as long as the process was busy since the last.

    So a quiet ward is answered at once, and a busy one in pieces that are worth their cost. How busy is said by
    processor time, which does not grow by waiting for a broker, or for a processor that others use.
    """

    def __init__(self) -> None:
        self._cpu_seconds = 0.0  # of the process, at the last fetch

    def after(self, records: int, cpu_seconds: float, *, recovering: bool = False) -> float:
        """Return the seconds to rest after a fetch of so many records, `cpu_seconds` into the process's work."""
        busy, self._cpu_seconds = cpu_seconds - self._cpu_seconds, cpu_seconds
        return 0.0 if recovering or records >= LARGEST_CHUNK else min(_LONGEST_REST_SECONDS, busy)
