"""A notifier that may not read: it says which right is missing, once, waits, is not ready, and goes on by itself."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import TopicAuthorizationFailedError
from structlog.testing import capture_logs

from monitor.notify import service
from monitor.notify.service import Notifier

_PLACE = TopicPartition("alerts", 0)


class _Consumer:
    """A topic without records, which may be read or not; time passes with each poll and each wait."""

    def __init__(self) -> None:
        self.allowed, self.polls = False, 0

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return {0}

    def assign(self, _partitions: Any) -> None: ...

    def seek(self, _place: Any, _offset: int) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return {_PLACE}

    def beginning_offsets(self, _partitions: Any, **_: Any) -> dict[TopicPartition, int]:
        return {_PLACE: 0}

    end_offsets = beginning_offsets

    def poll(self, **_: Any) -> dict[Any, Any]:
        self.polls += 1
        if not self.allowed:
            raise TopicAuthorizationFailedError({"alerts"})
        return {}


class _Stop(threading.Event):
    """Is set when so many seconds have passed; waits in no time."""

    def __init__(self, clock: list[float], end: float) -> None:
        super().__init__()
        self._clock, self._end = clock, end

    def wait(self, timeout: float | None = None) -> bool:
        self._clock[0] += timeout or 0.0
        return self.is_set()

    def is_set(self) -> bool:
        return self._clock[0] >= self._end


def test_a_right_that_is_missing_is_told_once_and_asked_for_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, consumer = [1_000.0], _Consumer()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(service, "poll", lambda given, **_: _timed(clock, given))
    notifier = Notifier((), tmp_path, consumer, "alerts", "beginning", clock=lambda: clock[0])
    monkeypatch.setattr(notifier, "_close", lambda: None)
    with capture_logs() as logs:
        notifier.run(_Stop(clock, 1_120.0))
        assert notifier.status().failing == ("kafka",)
        assert consumer.polls <= 17  # after 1, 2, 4, 8, 16, 30 s and so on, twice
        assert _last_read(notifier) == 0.0
        consumer.allowed = True
        notifier.run(_Stop(clock, 1_200.0))
        assert notifier.status().ready
        assert _last_read(notifier) > 1_190.0
    assert [line["event"] for line in logs] == ["notify_read_failed", "notify_read_failed_over"]
    assert "Read of the topic alerts" in logs[0]["meaning"]


def _timed(clock: list[float], consumer: _Consumer) -> dict[Any, Any]:
    clock[0] += 0.2
    return consumer.poll()


def _last_read(notifier: Notifier) -> float:
    found = notifier.metrics.registry.get_sample_value("sepsis_monitor_notify_last_read_timestamp_seconds")
    assert found is not None
    return found
