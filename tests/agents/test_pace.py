"""When a worker fetches again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.chunk import LARGEST_CHUNK
from agents.pace import Rests, enough_waits


def chunk(size: int = 1, *, begun: bool = False) -> Any:
    return SimpleNamespace(size=size, begun=begun)


def test_nothing_is_fetched_while_two_chunks_of_a_partition_wait() -> None:
    assert not enough_waits([])
    assert not enough_waits([[chunk(begun=True), chunk()], [chunk()]])
    assert enough_waits([[chunk(begun=True)], [chunk(begun=True), chunk(), chunk()]])


def test_nothing_is_fetched_while_much_is_in_work() -> None:
    assert not enough_waits([[chunk(8_000_000, begun=True)], [chunk(8_000_000, begun=True)]])
    assert enough_waits([[chunk(8_000_000, begun=True)], [chunk(8_000_001, begun=True)]])


def test_a_quiet_worker_rests_as_long_as_it_worked() -> None:
    rests = Rests()
    rests.after(1, 3.0)
    assert rests.after(1, 3.004) == 3.004 - 3.0
    assert rests.after(1, 3.004) == 0.0


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 10)), max_size=20))
def test_a_rest_is_short_and_there_is_none_in_a_backlog_or_while_recovering(fetches: list[tuple[int, float]]) -> None:
    rests, recovering, cpu = Rests(), Rests(), 0.0
    for records, busy in fetches:
        cpu += busy
        rest = rests.after(records, cpu)
        assert 0 <= rest <= 0.05
        assert recovering.after(records, cpu, recovering=True) == 0
        if records >= LARGEST_CHUNK:
            assert rest == 0
