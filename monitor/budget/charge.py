"""Which of several controllers acts: the one to which their group gives the single partition of the thresholds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.structs import OffsetAndMetadata

from monitor.follow import partitions_of
from monitor.group_follower import REFUSALS, poll_group

__all__ = ["Charge"]


class Charge(ConsumerRebalanceListener):  # type: ignore[misc]  # the library is untyped
    """Membership in the group; it reads nothing. Call `poll` at least every minute, or another one is put in charge."""

    def __init__(self, consumer: Any, topic: str) -> None:
        """Take a consumer with `member_options`, the caller's to close; raises Failure where the topic is missing."""
        partitions_of(consumer, topic)
        self._consumer = consumer
        self._held: frozenset[TopicPartition] = frozenset()
        self.joined = False  # the group has answered
        consumer.subscribe([topic], listener=self)

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Stand back."""
        self._held = frozenset()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Note whether this one is in charge; what the partition holds is read elsewhere."""
        self._held, self.joined = frozenset(assigned), True
        self._consumer.pause(*assigned)

    @property
    def held(self) -> bool:
        """Whether this controller is in charge, as far as it knows."""
        return bool(self._held)

    def poll(self) -> None:
        """Give the group a sign of life; waits a moment for its answer."""
        poll_group(self._consumer)

    def confirmed(self) -> bool:
        """Ask the group whether this controller is still in charge, by a commit, which it refuses to anybody else.

        Raises KafkaError where the group does not answer.
        """
        if not self._held:
            return False
        try:
            self._consumer.commit({place: OffsetAndMetadata(0, "", -1) for place in self._held})
        except REFUSALS:
            self._held = frozenset()
            return False
        return True
