"""How far a consumer group has come: the question that orders a replay and ends a demo."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, for_code

__all__ = ["GroupPositions"]

_POLL_SECONDS = 0.1


class GroupPositions:
    """End offsets of topics and the committed positions of one group; not for several threads at once."""

    def __init__(self, admin: KafkaAdminClient, group: str) -> None:
        """Ask through `admin`, which stays the caller's to close."""
        self._admin = admin
        self._group = group
        self._partitions: dict[str, list[TopicPartition]] = {}

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the topic's partitions. Raises KafkaError, also when there is no such topic."""
        if topic not in self._partitions:
            (described,) = self._admin.describe_topics([topic])
            if described["error_code"]:
                raise for_code(described["error_code"])(topic)
            numbers = sorted(partition["partition_index"] for partition in described["partitions"])
            self._partitions[topic] = [TopicPartition(topic, number) for number in numbers]
        return self._partitions[topic]

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return the offset after the last record of each partition. Raises KafkaError."""
        found = self._admin.list_partition_offsets(dict.fromkeys(self.partitions(topic), OffsetSpec.LATEST))
        return {partition.partition: answer.offset for partition, answer in found.items()}

    def committed(self, topic: str) -> dict[int, int]:
        """Return the group's committed offset of each partition, 0 where there is none. Raises KafkaError."""
        found = self._admin.list_group_offsets({self._group: self.partitions(topic)}).get(self._group, {})
        return {
            partition.partition: max(0, found[partition].offset) if partition in found else 0
            for partition in self.partitions(topic)
        }

    def reached(self, topic: str, targets: Mapping[int, int]) -> bool:
        """Return whether the group has committed at least `targets`. Raises KafkaError."""
        return _missing(self.committed(topic), targets) == 0

    def wait(self, topic: str, targets: Mapping[int, int], patience: float, stop: threading.Event) -> bool:
        """Wait until the group has committed `targets`; return whether it has.

        Gives up when it has not come nearer for `patience` seconds, or when `stop` is set. A broker that cannot answer
        for a while (no coordinator yet) counts as no progress.
        """
        nearest: int | None = None
        deadline = time.monotonic() + patience
        while not stop.is_set():
            missing = nearest
            with suppress(KafkaError):
                missing = _missing(self.committed(topic), targets)
            if missing == 0:
                return True
            if missing is not None and (nearest is None or missing < nearest):
                nearest, deadline = missing, time.monotonic() + patience
            if time.monotonic() >= deadline:
                return False
            stop.wait(_POLL_SECONDS)
        return False


def _missing(committed: Mapping[int, int], targets: Mapping[int, int]) -> int:
    return sum(max(0, target - committed.get(partition, 0)) for partition, target in targets.items())
