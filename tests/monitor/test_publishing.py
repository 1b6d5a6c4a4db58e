"""A replay on the embedded broker: what stands in the topics, and in which order."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from agents.topics import Topics
from models.cohort import Cohort
from monitor.follow import Follower, assign, ends
from monitor.positions import GroupPositions
from monitor.publishing import Publisher, PublisherOptions, ReplaySummary
from monitor.replay import ReplayOptions, ReplayStream

GROUP = "ward"
OPTIONS = ReplayOptions(duplicates=0.2, split=True, shuffle=True)


@pytest.fixture
def topics(embedded_kafka: str) -> Topics:
    topics = Topics(f"{uuid.uuid4().hex}.")
    admin = KafkaAdminClient(bootstrap_servers=embedded_kafka)
    admin.create_topics([NewTopic(name, 3, 1) for name in (topics.admissions, topics.observations)])
    admin.close()
    return topics


def cohort(stays: int = 8, hours: int = 12) -> Cohort:
    rows = stays * hours
    return Cohort(
        patient_ids=tuple(f"p{i:06d}" for i in range(stays)),
        hospitals=("A",) * stays,
        offsets=np.arange(0, rows + 1, hours, dtype=np.int64),
        values=np.arange(rows * 7, dtype=np.float32).reshape(rows, 7) / np.float32(10),
        steps=np.tile(np.arange(hours, dtype=np.int32), stays),
        labels=None,
        age_years=np.full(stays, 60, dtype=np.float32),
        sex=np.zeros(stays, dtype=np.float32),
        hospital_hours=np.full(stays, 5, dtype=np.float32),
        unit_type=np.ones(stays, dtype=np.int8),
    )


@contextmanager
def publisher(
    bootstrap: str, topics: Topics, stream: ReplayStream, options: PublisherOptions, warnings: list[str]
) -> Iterator[Publisher]:
    with ExitStack() as stack:
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        stack.callback(producer.close)
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        stack.callback(admin.close)
        positions = GroupPositions(admin, topics.prefix + GROUP)
        yield Publisher(stream, topics, producer, positions, options, warn=warnings.append)


@dataclass
class Ward:
    """Reads as the workers' group does: notes what it sees, and commits it a little later."""

    bootstrap: str
    topics: Topics
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    halt: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Read both topics until `halt` is set."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.topics.prefix + GROUP, enable_auto_commit=False
        )
        follower = Follower(consumer, assign(consumer, [self.topics.observations, self.topics.admissions]))
        for records in follower.batches(self.halt):
            for record in records:
                event = msgspec.json.decode(record.value)
                self.seen[event["patient_id"]].append(event.get("type", "observed"))
                follower.done(record)
            self.halt.wait(0.05)
            consumer.commit()
        consumer.close()


def replay(bootstrap: str, topics: Topics, speed: float) -> tuple[ReplayStream, ReplaySummary, Ward]:
    stream = ReplayStream(cohort(), OPTIONS, datetime.now(UTC))
    ward = Ward(bootstrap, topics)
    thread = threading.Thread(target=ward.run)
    thread.start()
    warnings: list[str] = []
    try:
        with publisher(bootstrap, topics, stream, PublisherOptions(speed, 30), warnings) as chosen:
            summary = chosen.run()
            assert chosen._positions.wait(
                topics.admissions, chosen._positions.end_offsets(topics.admissions), 30, threading.Event()
            )
    finally:
        ward.halt.set()
        thread.join()
    assert not warnings
    return stream, summary, ward


@pytest.mark.parametrize("speed", [0.0, 40.0])
def test_the_workers_see_admitted_then_observations_then_discharged(
    embedded_kafka: str, topics: Topics, speed: float
) -> None:
    stream, summary, ward = replay(embedded_kafka, topics, speed)
    assert summary.order_kept
    assert (summary.admissions, summary.discharges) == (8, 8)
    assert summary.observations_sent == stream.n_observations
    assert summary.duplicates == int(stream.repeat.sum()) > 0
    assert len(ward.seen) == stream.n_stays
    for events in ward.seen.values():
        assert events[0] == "admitted"
        assert events[-1] == "discharged"
        assert set(events[1:-1]) == {"observed"}
    if speed:
        assert summary.seconds >= 0.9 * stream.patient_hours / speed


def test_the_topics_hold_the_stream_byte_for_byte_in_its_order(embedded_kafka: str, topics: Topics) -> None:
    stream, _, _ = replay(embedded_kafka, topics, 0.0)
    consumer = KafkaConsumer(bootstrap_servers=embedded_kafka)
    follower = Follower(consumer, assign(consumer, [topics.observations]))
    logs: dict[bytes, list[bytes]] = defaultdict(list)
    for records in follower.batches(threading.Event(), ends(consumer)):
        for record in records:
            logs[record.key].append(record.value)
            follower.done(record)
    consumer.close()
    expected: dict[bytes, list[bytes]] = defaultdict(list)
    for message in stream.observations():
        expected[message.key].append(message.value)
    assert logs == expected


def test_without_a_worker_it_warns_once_and_sends_all_the_same(embedded_kafka: str, topics: Topics) -> None:
    stream = ReplayStream(cohort(stays=2, hours=4), ReplayOptions(), datetime.now(UTC))
    warnings: list[str] = []
    with publisher(embedded_kafka, topics, stream, PublisherOptions(patience_seconds=0.3), warnings) as chosen:
        summary = chosen.run()
    assert len(warnings) == 1
    assert "no worker" in warnings[0]
    assert not summary.order_kept
    assert (summary.admissions, summary.observations_sent, summary.discharges) == (2, 8, 2)


def test_a_replay_told_to_stop_stops(embedded_kafka: str, topics: Topics) -> None:
    stream = ReplayStream(cohort(), ReplayOptions(), datetime.now(UTC))
    with publisher(embedded_kafka, topics, stream, PublisherOptions(speed=1, patience_seconds=0), []) as chosen:
        threading.Timer(0.3, chosen._stop.set).start()
        summary = chosen.run()
    assert summary.observations_sent < stream.n_observations
    assert summary.seconds < 10
