"""Followers of topics: read all partitions in one place, with no group to join and none to leave behind.

A follower assigns the partitions to itself. It starts at once, needs no rebalance, and a killed one leaves no member
that the broker waits for. It keeps no place: for that, and to share a topic, there is `monitor.group_follower`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from agents.messages import AlertEvent
from monitor.errors import Failure, Unavailable

__all__ = ["POLL_MS", "AlertFilter", "Follower", "Tail", "TopicReader", "assign", "ends", "partitions_of", "poll"]

POLL_MS = 200
_ASKED = 50  # times
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.032
_REMEMBERED_IDS = 100_000  # events; a repeat comes within minutes of the first, after a worker's restart


def partitions_of(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic; raises Unavailable when it does not exist, or not for this user."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        msg = (
            f"there is no topic {topic}: `sepsis-monitor topics create` makes it, or this user "
            "may not see it, or topics.prefix differs"
        )
        raise Unavailable(msg)
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def assign(
    consumer: KafkaConsumer, topics: Sequence[str], start: Literal["beginning", "now"] = "beginning"
) -> dict[TopicPartition, int]:
    """Give the consumer all partitions of the topics, from `start` on, and return its positions.

    Raises Failure when a topic does not exist.
    """
    partitions = [partition for topic in topics for partition in partitions_of(consumer, topic)]
    consumer.assign(partitions)
    (consumer.seek_to_beginning if start == "beginning" else consumer.seek_to_end)(*partitions)
    return {partition: consumer.position(partition) for partition in partitions}


def ends(consumer: KafkaConsumer) -> dict[TopicPartition, int]:
    """Return the offset after the last record of each assigned partition, as of now.

    Of a topic that was made a moment ago the client may leave out a partition, as KeyError: it is asked again. Raises
    KafkaTimeoutError where that does not help.
    """
    for _ in range(_ASKED):
        try:
            found: dict[TopicPartition, int] = consumer.end_offsets(list(consumer.assignment()))
        except KeyError:
            time.sleep(POLL_MS / 1000)
        else:
            return found
    msg = "the brokers did not say where the topics end"
    raise KafkaTimeoutError(msg)


def poll(consumer: KafkaConsumer, **options: Any) -> dict[TopicPartition, list[Any]]:
    """Return records as soon as there are any, at most 32 ms later; nothing where none come within POLL_MS.

    The embedded broker answers a fetch at once when it has nothing, and the client then asks again at once: waiting
    within the client costs half a core there. `options` are the client's own.
    """
    deadline = time.monotonic() + POLL_MS / 1000
    pause = _FIRST_PAUSE_SECONDS
    while True:
        polled: dict[TopicPartition, list[Any]] = consumer.poll(timeout_ms=0, **options)
        if polled or time.monotonic() >= deadline:
            return polled
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class Follower:
    """Reads assigned partitions record by record, until told to stop or up to an end."""

    def __init__(self, consumer: KafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
        """Take a consumer that `assign` has prepared; it stays the caller's to close."""
        self._consumer = consumer
        self.positions = dict(positions)  # offset after the last record of each partition that is done with

    def batches(self, stop: threading.Event, until: Mapping[TopicPartition, int] | None = None) -> Iterator[list[Any]]:
        """Yield lists of records as they come, each partition's in order; none is empty. Say `done` for each record.

        Ends when `stop` is set, and, where `until` is given, when every partition has been read up to it.
        """
        while not stop.is_set() and not (until is not None and self.reached(until)):
            records = [record for batch in poll(self._consumer).values() for record in batch]
            if until is not None and not records:
                # The last offsets may belong to no record (a transaction's end): only the consumer knows of those.
                self.positions.update({partition: self._consumer.position(partition) for partition in self.positions})
            if records:
                yield records

    def done(self, record: Any) -> None:
        """Count a record as dealt with."""
        self.positions[TopicPartition(record.topic, record.partition)] = record.offset + 1

    def commit(self) -> None:
        """Do nothing: a follower without a group keeps no place."""

    def ends(self) -> dict[TopicPartition, int]:
        """Return the offset after the last record of each partition, as of now."""
        return ends(self._consumer)

    def reached(self, until: Mapping[TopicPartition, int]) -> bool:
        """Return whether everything before `until` has been read."""
        return all(self.positions.get(partition, 0) >= offset for partition, offset in until.items())


@dataclass(frozen=True)
class AlertFilter:
    """Which alert events are wanted; an empty set lets all through."""

    kinds: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()
    tests: bool = False  # whether canaries' alerts are wanted too

    def admits(self, event: AlertEvent) -> bool:
        """Return whether the event is wanted."""
        return (
            (self.tests or not event.test)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.units or event.unit in self.units)
            and (not self.priorities or event.priority in self.priorities)
        )


@dataclass
class Tail:
    """What has been seen of the alert topic: decodes values and leaves out repeats, by event_id."""

    decoder: msgspec.json.Decoder[AlertEvent] = field(default_factory=lambda: msgspec.json.Decoder(AlertEvent))
    unreadable: int = 0
    repeated: int = 0
    _seen: dict[str, None] = field(default_factory=dict)

    def fresh(self, value: bytes | None) -> AlertEvent | None:
        """Return the event of a record's value, or None where it is a repeat or not an alert event."""
        try:
            event = self.decoder.decode(value or b"")
        except msgspec.DecodeError:
            self.unreadable += 1
            return None
        if event.event_id in self._seen:
            self.repeated += 1
            return None
        self._seen[event.event_id] = None
        if len(self._seen) > _REMEMBERED_IDS:
            del self._seen[next(iter(self._seen))]
        return event


class TopicReader(threading.Thread):
    """A follower in a thread of its own: hands every record of some topics to `handle`, from the beginning on."""

    def __init__(self, consumer: KafkaConsumer, topics: Sequence[str], handle: Callable[[Any], None]) -> None:
        """Take a consumer, which the thread closes when it ends; `handle` runs in the thread."""
        super().__init__(name="topic-reader", daemon=True)
        self._consumer = consumer
        self._take = handle
        self._halt = threading.Event()
        self._follower = Follower(consumer, assign(consumer, topics))
        self.error: BaseException | None = None

    def run(self) -> None:
        """Read until `close` is called or reading fails; `error` says why."""
        try:
            for records in self._follower.batches(self._halt):
                for record in records:
                    self._take(record)
                    self._follower.done(record)
        except (KafkaError, Failure, msgspec.MsgspecError) as error:
            self.error = error
        finally:
            self._consumer.close()

    def reached(self, topic: str, offsets: Mapping[int, int]) -> bool:
        """Return whether everything before `offsets` of the topic has been handed on."""
        return self._follower.reached({TopicPartition(topic, number): offset for number, offset in offsets.items()})

    def close(self) -> None:
        """End the thread and wait for it."""
        self._halt.set()
        if self.is_alive():
            self.join()
        elif self.ident is None:
            self._consumer.close()  # never started
