"""Lanes and the room they share: order within a partition, nobody starved, nothing over the limit."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.lanes import Lanes, Room


def event(partition: int, number: int = 0, turns: int = 1) -> Any:
    return SimpleNamespace(message=SimpleNamespace(partition=partition), number=number, turns=turns)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
@settings(max_examples=100, deadline=None)
def test_a_partition_is_worked_off_in_order_and_one_at_a_time(asked: list[tuple[int, int]]) -> None:
    done: dict[int, list[int]] = defaultdict(list)
    busy: set[int] = set()

    async def handle(lane: deque[Any]) -> None:
        told = lane[0]
        partition = told.message.partition
        assert partition not in busy
        busy.add(partition)
        for _ in range(told.turns):
            await asyncio.sleep(0)
        busy.remove(partition)
        assert lane.popleft() is told
        done[partition].append(told.number)

    async def run() -> None:
        lanes = Lanes(handle)
        for number, (partition, turns) in enumerate(asked):
            lanes.take(event(partition, number, turns))
        for _ in range(sum(turns + 3 for _, turns in asked)):
            await asyncio.sleep(0)

    asyncio.run(run())
    for partition in range(4):
        assert done[partition] == [number for number, (at, _) in enumerate(asked) if at == partition]


def test_a_partition_that_waits_does_not_hold_up_another() -> None:
    async def run() -> list[int]:
        done: list[int] = []
        gate = asyncio.Event()

        async def handle(lane: deque[Any]) -> None:
            told = lane.popleft()
            if told.message.partition == 0:
                await gate.wait()
            done.append(told.message.partition)
            gate.set()

        lanes = Lanes(handle)
        lanes.take(event(0))
        lanes.take(event(1))
        for _ in range(10):
            await asyncio.sleep(0)
        return done

    assert asyncio.run(run()) == [1, 0]


def test_taking_never_waits_and_a_lane_that_failed_is_opened_again() -> None:
    async def run() -> list[int]:
        done: list[int] = []
        gate = asyncio.Event()

        async def handle(lane: deque[Any]) -> None:
            told = lane.popleft()
            await gate.wait()
            if told.number == 2:
                raise asyncio.CancelledError
            done.append(told.number)

        lanes = Lanes(handle)
        for number in (1, 2):
            lanes.take(event(0, number))
        gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
        lanes.take(event(0, 3))
        for _ in range(5):
            await asyncio.sleep(0)
        return done

    assert asyncio.run(run()) == [1, 3]


def test_what_came_while_a_lane_waited_is_taken_together() -> None:
    async def run() -> list[list[int]]:
        taken: list[list[int]] = []
        gate = asyncio.Event()

        async def handle(lane: deque[Any]) -> None:
            await gate.wait()
            taken.append([told.number for told in lane])
            lane.clear()

        lanes = Lanes(handle)
        for number in range(3):
            lanes.take(event(0, number))
            await asyncio.sleep(0)
        gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
        return taken

    assert asyncio.run(run()) == [[0, 1, 2]]


@given(st.lists(st.tuples(st.integers(1, 15), st.integers(0, 4)), max_size=20))
@settings(max_examples=100, deadline=None)
def test_the_room_is_never_overfull_and_lets_in_whoever_came_first(asked: list[tuple[int, int]]) -> None:
    most = 10
    held: list[int] = []
    entered: list[int] = []

    async def hold(room: Room, number: int, amount: int, turns: int) -> None:
        async with room.holding(amount):
            held.append(amount)
            entered.append(number)
            assert sum(held) <= most or held == [amount]
            for _ in range(turns):
                await asyncio.sleep(0)
            held.remove(amount)

    async def run() -> None:
        room = Room(most)
        await asyncio.wait_for(
            asyncio.gather(*(hold(room, number, *each) for number, each in enumerate(asked))), timeout=10
        )

    asyncio.run(run())
    assert entered == list(range(len(asked)))


def test_room_is_given_back_when_the_work_fails() -> None:
    async def run() -> None:
        room = Room(10)
        with pytest.raises(ZeroDivisionError):
            async with room.holding(10):
                _ = 1 / 0
        async with asyncio.timeout(1), room.holding(10):
            pass

    asyncio.run(run())
