"""Followers that share a topic: members of one consumer group, each with partitions of its own.

The group gives a partition to one follower at a time, and to another one once that follower has left or been silent
for the session timeout. A position is committed after its record has been dealt with: what a killed follower had not
finished is read again, so that nothing is left out, and the last records may come twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata

from monitor.follow import POLL_MS, partitions_of

__all__ = ["REFUSALS", "SESSION_MS", "GroupFollower", "member_options", "poll_group"]

SESSION_MS = 6_000  # the least that Kafka grants by default: a killed follower's alerts wait no longer
_HEARTBEAT_MS = 2_000
_LONGEST_PAUSE_MS = 60_000  # a follower whose output has been stuck for so long gives its partitions to the others
# What a group answers to a member that it is just giving other partitions to, or has given up.
REFUSALS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)

_log = logging.getLogger(__name__)


def member_options(group: str, *, sole: bool) -> dict[str, Any]:
    """Return the consumer's options as a member of a group.

    The `sole` follower of a group has the group's name as its static member id: the next one takes its place at once,
    also on a broker that never gives up a dead member, and two of them at a time do not work.
    """
    return {
        "group_id": group,
        "group_instance_id": group if sole else None,
        "session_timeout_ms": SESSION_MS,
        "heartbeat_interval_ms": _HEARTBEAT_MS,
        "max_poll_interval_ms": _LONGEST_PAUSE_MS,
    }


def poll_group(consumer: KafkaConsumer, timeout_ms: int = POLL_MS) -> dict[TopicPartition, list[Any]]:
    """Return what a member of a group is given within a time, and see to it that it comes back into the group.

    A rejoin for new metadata, as after each first join, that is not over within the time is forgotten by kafka-python
    3.0: no partitions, no heartbeats, and no word, for ever (in Java that was KAFKA-9815). So it is asked for again;
    where the first one is still under way, the client waits for that.
    """
    polled: dict[TopicPartition, list[Any]] = consumer.poll(timeout_ms=timeout_ms)
    coordinator = consumer._coordinator  # noqa: SLF001  # the client has no public way to ask for a rejoin
    if not (coordinator.stable() or coordinator.need_rejoin()):
        coordinator.request_rejoin()
    return polled


class GroupFollower(ConsumerRebalanceListener):  # type: ignore[misc]  # the library is untyped
    """Reads the partitions that the group gives it, record by record, until told to stop or up to an end."""

    def __init__(self, consumer: KafkaConsumer, topic: str, start: Literal["beginning", "now"]) -> None:
        """Take a consumer with `member_options`; it stays the caller's to close.

        `start` is for partitions in which the group has no position. Raises Failure when the topic does not exist.
        """
        self._consumer = consumer
        self._start = start
        self._partitions = partitions_of(consumer, topic)
        self._joined = False
        self._given: set[TopicPartition] = set()  # by the last assignment, and not read from yet
        self._done: dict[TopicPartition, int] = {}  # offset after the last record dealt with since the last commit
        consumer.subscribe([topic], listener=self)

    # -- what the client calls within `poll`, in a thread of its own

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Forget the partitions: what was done is committed by now, or refused and read again by whoever is next."""
        self._joined = False
        self._given.clear()
        self._done.clear()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Hold the new partitions back until their positions are known; nothing may be asked of a broker in here."""
        self._consumer.pause(*assigned)
        self._given = set(assigned)
        self._joined = True

    # -- the follower

    def ends(self) -> dict[TopicPartition, int]:
        """Return the offset after the last record of each partition of the topic, as of now."""
        found: dict[TopicPartition, int] = self._consumer.end_offsets(self._partitions)
        return found

    def batches(self, stop: threading.Event, until: Mapping[TopicPartition, int] | None = None) -> Iterator[list[Any]]:
        """Yield lists of records as they come, each partition's in order; none is empty. Say `done` for each record.

        Ends when `stop` is set, and, where `until` is given, when every partition that is this follower's has been
        read up to it.
        """
        while not stop.is_set() and not (until is not None and self._reached(until)):
            polled = poll_group(self._consumer)
            if self._given:
                self._take_up()
            records = [record for batch in polled.values() for record in batch]
            if records:
                yield records

    def done(self, record: Any) -> None:
        """Count a record as dealt with."""
        self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1

    def commit(self) -> None:
        """Keep in the group what is done; a group that refuses it has it read again by whoever gets the partition."""
        self._commit(self._done)
        self._done.clear()

    def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets:
            return
        try:
            self._consumer.commit({place: OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()})
        except REFUSALS:
            _log.info("commit_refused: the group is giving out its partitions anew; the last events may come again")

    def _take_up(self) -> None:
        """Find where to read the new partitions, and keep that place where the group had none: it must not move."""
        fresh = [place for place in self._given if self._consumer.committed(place) is None]
        if fresh:
            (self._consumer.seek_to_beginning if self._start == "beginning" else self._consumer.seek_to_end)(*fresh)
            self._commit({place: self._consumer.position(place) for place in fresh})
        self._consumer.resume(*self._given)
        self._given.clear()

    def _reached(self, until: Mapping[TopicPartition, int]) -> bool:
        if not self._joined:
            return False
        return all(self._consumer.position(place) >= until.get(place, 0) for place in self._consumer.assignment())
