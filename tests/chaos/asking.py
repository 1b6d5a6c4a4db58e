"""How far a group has come, asked with confluent-kafka: for brokers that an administration client cannot talk to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from confluent_kafka import TopicPartition

from tests.chaos.evidence import consumer

__all__ = ["PlainPositions", "Positions"]

_SECONDS = 10.0


class Positions(Protocol):
    """What `monitor.positions.GroupPositions` and the class below have in common."""

    def end_offsets(self, topic: str) -> dict[int, int]: ...  # noqa: D102
    def committed(self, topic: str) -> dict[int, int]: ...  # noqa: D102
    def reached(self, topic: str, targets: Mapping[int, int]) -> bool: ...  # noqa: D102


class PlainPositions:
    """The positions of one group; every method raises confluent_kafka.KafkaException."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._client = consumer(bootstrap, group)

    def _partitions(self, topic: str) -> list[TopicPartition]:
        found = self._client.list_topics(topic, timeout=_SECONDS).topics[topic]
        return [TopicPartition(topic, number) for number in sorted(found.partitions)]

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return the offset after the last record of each partition."""
        return {
            partition.partition: self._client.get_watermark_offsets(partition, timeout=_SECONDS)[1]
            for partition in self._partitions(topic)
        }

    def committed(self, topic: str) -> dict[int, int]:
        """Return the group's committed offset of each partition, 0 where there is none."""
        found = self._client.committed(self._partitions(topic), timeout=_SECONDS)
        return {partition.partition: max(0, partition.offset) for partition in found}

    def reached(self, topic: str, targets: Mapping[int, int]) -> bool:
        """Tell whether the group has committed at least `targets`."""
        committed = self.committed(topic)
        return all(committed.get(partition, 0) >= target for partition, target in targets.items())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
