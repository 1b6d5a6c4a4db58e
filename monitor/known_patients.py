"""Whether the topics know a patient: asked before an id is written to them."""

from __future__ import annotations

import time
from typing import Any

from kafka import TopicPartition

from agents.topics import Topics
from agents.worker_config import partition_of
from monitor import clients
from monitor.errors import Failure
from monitor.follow import poll
from monitor.settings import Settings

__all__ = ["is_known"]

_PATIENCE_SECONDS = 30.0


def is_known(settings: Settings, bootstrap: str, topics: Topics, patient: str) -> bool:
    """Return whether a patient has, or had, a risk or an admission event; a tombstone counts, too.

    Reads the patient's partition of both compacted topics. Raises KafkaError, and Failure where the brokers send
    nothing for half a minute.
    """
    key = patient.encode()
    consumer = clients.consumer(settings.kafka, bootstrap)
    try:
        number = partition_of(key, settings.topics.partitions)
        return any(_has(consumer, TopicPartition(name, number), key) for name in (topics.admissions, topics.scores))
    finally:
        consumer.close(autocommit=False)


def _has(consumer: Any, partition: TopicPartition, key: bytes) -> bool:
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while consumer.position(partition) < end:
        records = poll(consumer).get(partition, [])
        if any(record.key == key for record in records):
            return True
        if records:
            deadline = time.monotonic() + _PATIENCE_SECONDS
        elif time.monotonic() > deadline:
            msg = f"the brokers send nothing of {partition.topic}, so that nobody knows whether the patient is there"
            raise Failure(msg)
    return False
