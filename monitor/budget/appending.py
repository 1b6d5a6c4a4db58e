"""Writes a threshold to where it holds: first to the controllers' own topic, then to every partition of the logs.

In this order, because whoever starts next appends the newest of each unit to the logs once more: a crash in between
leaves nothing half done, and workers ignore what they have read before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents.messages import UnitThreshold
from agents.sending import Outgoing
from agents.topics import Topics
from monitor.budget.thresholds import log_record, memory_record

__all__ = ["Appender"]

_SEND_SECONDS = 30.0


class Appender:
    """Appends through a producer, which stays the caller's to close; every write is waited for."""

    def __init__(self, producer: Any, topics: Topics, partitions: int) -> None:
        self._producer, self._topics, self._partitions = producer, topics, partitions

    def put(self, record: UnitThreshold) -> None:
        """Let a threshold hold from here on; raises KafkaError where it may have come only part of the way."""
        self.remember([record])
        self.repeat([record])

    def remember(self, records: Iterable[UnitThreshold]) -> None:
        """Write to the topic of thresholds alone."""
        self._send((self._topics.budgets, 0, memory_record(each)) for each in records)

    def repeat(self, records: Iterable[UnitThreshold]) -> None:
        """Write to the patients' logs alone."""
        self._send(
            (self._topics.observations, partition, log_record(each))
            for each in records
            for partition in range(self._partitions)
        )

    def _send(self, outgoing: Iterable[tuple[str, int, Outgoing]]) -> None:
        sent = [
            self._producer.send(topic, partition=partition, key=key, value=value, headers=list(headers))
            for topic, partition, (key, value, headers) in outgoing
        ]
        self._producer.flush(_SEND_SECONDS)
        for each in sent:
            each.get(_SEND_SECONDS)
