"""When a worker fetches again: not while enough waits in it."""

from __future__ import annotations

from collections.abc import Iterable

from agents.chunk import LARGEST_CHUNK, Chunk

__all__ = ["enough_waits"]

_QUEUE_BYTES = 8_000_000  # of all partitions; a fetch more may be held
_MOST_WAITING = 2 * LARGEST_CHUNK  # records of a partition that nobody has begun


def enough_waits(chains: Iterable[Iterable[Chunk]]) -> bool:
    """Tell whether so much is in work, or waits for it, that nothing more is to be fetched.

    A chain holds the chunks of a partition.
    """
    held = [list(chain) for chain in chains]
    if sum(chunk.size for chain in held for chunk in chain) > _QUEUE_BYTES:
        return True
    return any(sum(len(chunk.records) for chunk in chain if not chunk.begun) >= _MOST_WAITING for chain in held)
