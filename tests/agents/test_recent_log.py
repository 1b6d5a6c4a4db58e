"""Reading a part of a log once more takes the time that it takes; what is wrong is the log's fault or the cluster's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from agents import recent_log
from agents.recent_log import BrokerAwayError, LogPart, read_again
from agents.topics import Topics
from agents.worker_config import WorkerConfig

_PART = LogPart(from_ms=0, first=0, until=4)


class SlowBroker:
    """Stands for aiokafka's consumer: one record every 0.7 s, and nothing, or an error, after so many."""

    def __init__(self, records: int, after: Exception | None = None, *, ends: Exception | None = None) -> None:
        self._left, self._at = records, 0
        self._after, self._ends = after, ends

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

    async def end_offsets(self, partitions: Sequence[Any]) -> dict[Any, int]:
        """End where the part ends, unless nobody answers."""
        if self._ends is not None:
            raise self._ends
        return dict.fromkeys(partitions, _PART.until)

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
            if self._after is not None:
                raise self._after
            return {}
        self._left -= 1
        self._at += 1
        return {tp: [self._at - 1]}


def read(monkeypatch: pytest.MonkeyPatch, broker: SlowBroker) -> list[int]:
    """Read from a broker that may be silent for 2 s."""
    monkeypatch.setattr(recent_log, "AIOKafkaConsumer", broker)
    monkeypatch.setattr(recent_log, "SILENT_SECONDS", 2.0)
    config = WorkerConfig("broker:9092", "group", "worker-1", Topics(), 1, Path())
    taken: list[int] = []
    assert read_again(config, 0, _PART, lambda _: taken.extend) == len(taken)
    return taken


def test_a_log_that_takes_longer_than_a_broker_may_be_silent_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read(monkeypatch, SlowBroker(4)) == [0, 1, 2, 3]


def test_a_log_of_which_a_broker_that_answers_gives_no_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        read(monkeypatch, SlowBroker(3))


@pytest.mark.parametrize("error", [CorruptRecordException(), OffsetOutOfRangeError({})])
def test_what_no_waiting_mends_is_the_logs_own_fault(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        read(monkeypatch, SlowBroker(1, error))


@pytest.mark.parametrize(
    "error",
    [
        KafkaConnectionError(),
        KafkaTimeoutError(),
        LeaderNotAvailableError(),
        ConnectionResetError(),
        TopicAuthorizationFailedError(),
    ],
)
def test_a_cluster_that_does_not_serve_says_nothing_of_the_log(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with pytest.raises(BrokerAwayError, match=type(error).__name__):
        read(monkeypatch, SlowBroker(1, error))


def test_a_broker_that_falls_silent_altogether_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerAwayError):
        read(monkeypatch, SlowBroker(3, ends=KafkaTimeoutError()))
