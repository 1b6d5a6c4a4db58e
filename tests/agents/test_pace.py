"""When a worker fetches again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from agents.chunk import LARGEST_CHUNK
from agents.pace import enough_waits


def chunk(size: int = 1, *, records: int = LARGEST_CHUNK, begun: bool = False) -> Any:
    return SimpleNamespace(size=size, records=range(records), begun=begun)


def test_nothing_is_fetched_while_two_large_chunks_of_a_partition_wait() -> None:
    assert not enough_waits([])
    assert not enough_waits([[chunk(begun=True), chunk()], [chunk()]])
    assert enough_waits([[chunk(begun=True)], [chunk(begun=True), chunk(), chunk()]])


def test_small_chunks_that_wait_do_not_hold_up_the_others() -> None:
    assert not enough_waits([[chunk(records=3)] * 50])
    assert enough_waits([[chunk(records=1_000)] * 8])


def test_nothing_is_fetched_while_much_is_in_work() -> None:
    assert not enough_waits([[chunk(4_000_000, begun=True)], [chunk(4_000_000, begun=True)]])
    assert enough_waits([[chunk(4_000_000, begun=True)], [chunk(4_000_001, begun=True)]])
