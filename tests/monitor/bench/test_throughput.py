"""The time of a backlog is that of the observations which are counted, and never none."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.bench import throughput
from monitor.local_workers import Workers


class _Workers:
    """Workers whose counters read, look by look, what they are told to; each look takes a second."""

    process_ids = (1,)

    def __init__(self, clock: list[float], looks: list[int]) -> None:
        self._clock, self._looks = clock, looks

    def check(self) -> None:
        """Find nothing wrong."""

    def counters(self) -> dict[str, float]:
        """Return what the next look sees."""
        self._clock[0] += 1
        return {"sepsis_monitor_observations_accepted_total": self._looks.pop(0)}


@pytest.mark.parametrize(
    ("looks", "seconds", "events"),
    [([0, 0, 10, 60, 100], 2, 90), ([0, 0, 0, 100], 1, 100), ([0, 99, 100], 1, 1)],
    ids=["from the first look that sees any", "from the look before that which sees all", "of two looks"],
)
def test_the_time_begins_where_the_count_does(
    monkeypatch: pytest.MonkeyPatch, looks: list[int], seconds: float, events: int
) -> None:
    clock = [0.0]
    monkeypatch.setattr(throughput, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(throughput, "cpu_seconds", lambda _: clock[0] / 2)
    stop: Any = SimpleNamespace(is_set=lambda: False, wait=lambda _: None)
    workers = cast(Workers, _Workers(clock, looks))
    found = throughput._watched(workers, 100, cast(threading.Event, stop))
    assert found == (seconds, seconds / 2, events)
