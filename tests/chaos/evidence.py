"""What a run left behind: the topics as the broker kept them, and what producer and subscriber noted meanwhile.

Read with confluent-kafka, a client that the product does not use.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

__all__ = ["Evidence", "Noted", "Record", "consumer", "read_topic", "to_record"]

_READ_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the broker has it; timestamp in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def place(self) -> str:
        """Where it stands, as a report says it: topic, partition and offset."""
        return f"{self.topic.rpartition('.v')[0] or self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True)
class Noted:
    """A record of ours that the broker acknowledged at this place.

    Without an offset where the client was told, when it asked again, that the record had been there before.
    """

    topic: str
    partition: int
    offset: int | None
    key: bytes | None
    value: bytes | None


@dataclass
class Evidence:
    """Everything that the judge looks at; each list in the order of partition and offset, `seen` as it came."""

    log: Sequence[Record]
    alerts: Sequence[Record] = ()
    alert_state: Sequence[Record] = ()
    scores: Sequence[Record] = ()
    rejected: Sequence[Record] = ()
    changelog: Sequence[Record] = ()
    noted: Sequence[Noted] = ()
    seen: Sequence[Record] | None = None  # alert events, by a subscriber that read during the faults
    seeded: Mapping[bytes, bytes] = field(default_factory=dict)  # states that the suite had put there before
    injected: frozenset[tuple[int, int]] = frozenset()  # changelog records (partition, offset) of the suite's own
    suspended: bool = False  # a worker was stopped wherever it stood, perhaps in a request: see "Not promised"
    broker_lost: bool = False  # the broker may have lost what it acknowledged: judged on what it kept


def consumer(bootstrap: str, group: str = "chaos-judge") -> Consumer:
    """Return a consumer that commits nothing, and joins no group."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",  # as the workers: what is acknowledged counts
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
            "topic.metadata.refresh.interval.ms": 2_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )


def to_record(message: Message) -> Record:
    """Return a confluent message as a record."""
    return Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        _bytes(message.key()),
        _bytes(message.value()),
        _headers(message.headers()),
    )


def _headers(found: Any) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, _bytes(value)) for name, value in found or ())


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None


def read_topic(bootstrap: str, topic: str) -> list[Record]:
    """Return all records that are in a topic now, by partition and offset; none where there is no such topic."""
    client = consumer(bootstrap)
    try:
        described = client.list_topics(topic, timeout=30).topics[topic]
        if described.error is not None:
            return []
        ends: dict[int, int] = {}
        for number in described.partitions:
            low, high = client.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
            if high > low:
                ends[number] = high
        client.assign([TopicPartition(topic, number, 0) for number in ends])
        found: list[Record] = []
        deadline = time.monotonic() + _READ_SECONDS
        while ends:
            assert time.monotonic() < deadline, f"{topic} could not be read to its end: {ends} left"
            for message in client.consume(5_000, timeout=0.2):
                error = message.error()
                assert error is None or error.code() in {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}, error
                if error is None:
                    found.append(to_record(message))
            for position in client.position([TopicPartition(topic, number) for number in ends]):
                if position.offset >= ends[position.partition]:
                    del ends[position.partition]
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        client.close()
