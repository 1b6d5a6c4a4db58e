"""What the plain loop says of itself is its work: neither how it began nor how its clients end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from agents.core import Core
from agents.decoding import Limits
from agents.policy import load_policy
from agents.topics import Topics
from models.artifact import load_model
from monitor.bench import plain_loop

CONNECTING, COMMITTING, CLOSING = 50.0, 1.0, 1_000.0  # seconds of the made-up clock


@dataclass
class _Message:
    place: int

    def __getattr__(self, name: str) -> Callable[[], Any]:
        said = {"topic": "t", "partition": 0, "offset": self.place, "timestamp": (1, 0), "key": b"k", "value": b"{}"}
        return lambda: said.get(name)


class _Client:
    """Consumer and producer of a log that gives its records in batches; what it does moves the clock."""

    def __init__(self, clock: list[float], batches: list[int]) -> None:
        self.clock, self.batches, self.place = clock, [0, *batches], 0
        self.committed: list[int] = []

    def consume(self, *_: object) -> list[_Message]:
        size = self.batches.pop(0)
        if not size:
            self.clock[0] += CONNECTING
        self.place += size
        return [_Message(place) for place in range(self.place - size, self.place)]

    def commit(self, offsets: list[Any], **_: object) -> None:
        self.clock[0] += COMMITTING
        self.committed.append(offsets[0].end)

    def close(self) -> None:
        self.clock[0] += CLOSING

    def assign(self, *_: object) -> None: ...

    def produce(self, *_: object, **__: object) -> None: ...

    def flush(self) -> None: ...


@pytest.fixture(scope="module")
def core() -> Core:
    return Core(load_model("bedside"), load_policy(), Limits())


@pytest.mark.parametrize(
    ("batches", "events", "commits"),
    [([3, 4, 5], 9, 2), ([12], 12, 1), ([11, 1], 1, 1)],
    ids=["of several batches the first opens the window", "one batch alone is all there is", "two"],
)
def test_the_time_is_that_of_the_work(
    core: Core, monkeypatch: pytest.MonkeyPatch, batches: list[int], events: int, commits: int
) -> None:
    clock = [0.0]
    client = _Client(clock, batches)
    kafka = SimpleNamespace(
        Consumer=lambda _: client,
        Producer=lambda _: client,
        TopicPartition=lambda topic, partition, end: SimpleNamespace(topic=topic, partition=partition, end=end),
    )
    monkeypatch.setitem(sys.modules, "confluent_kafka", kafka)
    made_up = SimpleNamespace(monotonic=lambda: clock[0], process_time=lambda: clock[0] / 2)
    monkeypatch.setattr(plain_loop, "time", made_up)
    loop = plain_loop._Loop("nowhere", "t", Topics("out."), 1, core)
    taken = loop.run(until=12)
    assert taken == {"events": events, "seconds": commits * COMMITTING, "cpu_seconds": commits * COMMITTING / 2}
    assert client.committed[-1] == 12
    assert clock[0] > CLOSING
