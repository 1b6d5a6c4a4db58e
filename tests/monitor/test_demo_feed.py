"""Records of a demo's topics, as they become counts, latencies and a file of alerts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from agents.messages import SourcePosition
from agents.topics import Topics
from monitor.demo_feed import Feed, Latency
from monitor.demo_ward import Ward
from tests.monitor.demo_examples import alert_at, score, stay

TOPICS = Topics("demo.")


def record(topic: str, timestamp: int, message: msgspec.Struct | None = None, *, offset: int = 0) -> SimpleNamespace:
    value = None if message is None else msgspec.json.encode(message)
    return SimpleNamespace(topic=topic, partition=0, offset=offset, timestamp=timestamp, value=value)


@pytest.fixture
def feed() -> Feed:
    return Feed(Ward([stay()]), TOPICS)


def test_latency_is_from_the_source_to_its_result_whichever_was_read_first(feed: Feed) -> None:
    assert feed.latency() is None
    for offset, wait in enumerate((10, 20, 30)):
        source = SourcePosition(0, offset)
        feed.handle(record(TOPICS.scores, 1000 + wait, msgspec.structs.replace(score(), source=source)))
        feed.handle(record(TOPICS.observations, 1000, offset=offset))
    assert feed.latency() == Latency(20.0, 29.8)


def test_refusals_are_counted_and_tombstones_ignored(feed: Feed) -> None:
    feed.handle(record(TOPICS.rejected, 0))
    feed.handle(record(TOPICS.scores, 0))
    assert feed.rejected == 1


def test_the_file_holds_each_alert_event_once_by_time_of_occurrence(feed: Feed, tmp_path: Path) -> None:
    later, earlier = alert_at(9, number=2), alert_at(3, number=1)
    for event in (later, earlier, later):
        feed.handle(record(TOPICS.alert_events, 0, event))
    path = tmp_path / "alerts.jsonl"
    feed.write_alerts(path)
    lines = path.read_bytes().splitlines()
    assert lines == [msgspec.json.encode(earlier), msgspec.json.encode(later)]
    assert json.loads(lines[0])["alert_id"] == "alert-1"


def test_what_breaks_the_contract_is_not_passed_over(feed: Feed) -> None:
    broken = record(TOPICS.scores, 0)
    broken.value = b'{"patient_id": 3}'
    with pytest.raises(msgspec.ValidationError):
        feed.handle(broken)
