"""Reading a part of a log once more takes the time that it takes; a broker that says nothing is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents import recent_log
from agents.recent_log import LogPart, read_again
from agents.topics import Topics
from agents.worker_config import WorkerConfig

_PART = LogPart(from_ms=0, first=0, until=4)


class SlowBroker:
    """Stands for aiokafka's consumer: one record every 0.7 s, and nothing after so many."""

    def __init__(self, records: int) -> None:
        self._left, self._at = records, 0

    def __call__(self, **_: Any) -> SlowBroker:
        """Be the consumer."""
        return self

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Disconnect."""

    def assign(self, _: Any) -> None:
        """Take the partition."""

    def seek(self, _: Any, offset: int) -> None:
        """Go to an offset."""
        self._at = offset

    async def beginning_offsets(self, partitions: Sequence[Any]) -> dict[Any, int]:
        """Begin at 0."""
        return dict.fromkeys(partitions, 0)

    async def offsets_for_times(self, times: dict[Any, int]) -> dict[Any, Any]:
        """Find everything new enough."""
        return dict.fromkeys(times, SimpleNamespace(offset=0))

    async def position(self, _: Any) -> int:
        """Return the next offset."""
        return self._at

    async def getmany(self, tp: Any, **_: Any) -> dict[Any, list[int]]:
        """Give a record, or nothing, after a while."""
        await asyncio.sleep(0.7)
        if not self._left:
            return {}
        self._left -= 1
        self._at += 1
        return {tp: [self._at - 1]}


def read(monkeypatch: pytest.MonkeyPatch, records: int) -> list[int]:
    """Read from a broker that has so many records of the part, and may be silent for 2 s."""
    monkeypatch.setattr(recent_log, "AIOKafkaConsumer", SlowBroker(records))
    monkeypatch.setattr(recent_log, "SILENT_SECONDS", 2.0)
    config = WorkerConfig("broker:9092", "group", "worker-1", Topics(), 1, Path())
    taken: list[int] = []
    assert read_again(config, 0, _PART, lambda _: taken.extend) == len(taken)
    return taken


def test_a_log_that_takes_longer_than_a_broker_may_be_silent_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read(monkeypatch, 4) == [0, 1, 2, 3]


def test_a_broker_that_says_no_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        read(monkeypatch, 3)
