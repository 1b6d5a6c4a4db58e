"""The notifier: reads the alert topic into the outbox, moves on what nobody acknowledges, keeps the senders going."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from agents.messages import AlertEvent
from agents.observer import Status
from monitor.catalogue import NOTIFY_CATALOGUE
from monitor.errors import Failure
from monitor.follow import partitions_of, poll
from monitor.metrics import Instruments
from monitor.notify.outbox import OUTBOX_FILE, Outbox, Read
from monitor.notify.receivers import Receiver
from monitor.notify.sending import Post, Sender, post
from monitor.refusals import why
from monitor.retrying import Setbacks

__all__ = ["Notifier", "NotifyMetrics", "sole_user"]

_TAKEN_AT_ONCE = 500  # records a transaction
_HOUSEKEEPING_SECONDS = 3600.0
_ASK_SECONDS = 5.0
_PAUSE_SECONDS = 0.2  # between looks at the outbox while the topic cannot be read
_ASK_MS = 3_000
_UNHEARD_SECONDS = 30.0  # the cluster has not answered for so long: /readyz says so
_JOIN_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class NotifyMetrics:
    """What the notifier did and what waits, for Prometheus; labels are the names of receivers and nothing else."""

    def __init__(self, receivers: Sequence[Receiver]) -> None:
        self.registry = CollectorRegistry()
        self._made = Instruments(NOTIFY_CATALOGUE, self.registry)
        for receiver in receivers:
            for outcome in ("delivered", "refused", "unanswered", "failed", "dead"):
                self._made.counters["notify_attempts_total"].labels(receiver.name, outcome)
            self._made.counters["notify_escalations_total"].labels(receiver.name)

    def attempted(self, receiver: str, outcome: str) -> None:
        """Count an attempt."""
        self._made.counters["notify_attempts_total"].labels(receiver, outcome).inc()

    def escalated(self, receiver: str) -> None:
        """Count an alert that nobody acknowledged at this receiver in time."""
        self._made.counters["notify_escalations_total"].labels(receiver).inc()

    def standing(self, receiver: str, pending: int, oldest_seconds: float, dead: int) -> None:
        """Show what waits for a receiver, for how long, and what was given up."""
        gauges = self._made.gauges
        gauges["notify_pending"].labels(receiver).set(pending)
        gauges["notify_oldest_pending_seconds"].labels(receiver).set(oldest_seconds)
        gauges["notify_dead_letters"].labels(receiver).set(dead)

    def read(self, now: float) -> None:
        """Note that the cluster answered."""
        self._made.gauges["notify_last_read_timestamp_seconds"].set(now)


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Hold the folder of an outbox for this process alone; raises Failure where another one has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        msg = f"the folder {folder} cannot be used: {error.strerror or error}"
        raise Failure(msg) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another `notify` uses {folder}: stop it, or give this one a --state of its own"
            raise Failure(msg) from error
        yield
    finally:
        os.close(descriptor)


class Notifier:
    """One notifier over one topic; `run` once, from one thread, within `sole_user` of the folder."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        folder: Path,
        consumer: Any,
        topic: str,
        start: Literal["beginning", "now"],
        *,
        post: Post = post,
        clock: Callable[[], float] = time.time,
        metrics: NotifyMetrics | None = None,
    ) -> None:
        """Take a consumer, which stays the caller's to close; `start` is for a folder that has read nothing yet.

        Raises Failure when the topic does not exist, or is not the one that the folder knows.
        """
        self.metrics = NotifyMetrics(receivers) if metrics is None else metrics
        self._receivers, self._consumer, self._topic, self._clock = receivers, consumer, topic, clock
        self._outbox = Outbox(folder / OUTBOX_FILE)
        self._decoder = msgspec.json.Decoder(AlertEvent)
        self._senders = [Sender(each, folder, clock, self.metrics.attempted, post) for each in receivers]
        self._heard = self._asked = time.monotonic()
        self._setbacks, self._next_read = Setbacks("notify_read_failed"), 0.0
        self._tidied = 0.0
        self.unreadable = 0
        self._assign(start)

    def _assign(self, start: Literal["beginning", "now"]) -> None:
        partitions = partitions_of(self._consumer, self._topic)
        self._consumer.assign(partitions)
        first, last = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        begin = first if start == "beginning" else last
        self._outbox.start_at(self._topic, {place.partition: begin[place] for place in partitions})
        known = self._outbox.places(self._topic)
        for place in partitions:
            if known[place.partition] > last[place]:
                msg = (
                    f"the outbox has read further in {self._topic} than it reaches: the topic was made anew, or this "
                    "is another cluster; give `notify` a --state of its own"
                )
                raise Failure(msg)
            self._consumer.seek(place, max(known[place.partition], first[place]))

    def run(self, stop: threading.Event, *, once: bool = False) -> None:
        """Notify until `stop` is set; with `once`, until all that the topic holds now is delivered or given up.

        Raises Failure where a sender cannot go on, and where the outbox cannot be written.
        """
        ends = self._consumer.end_offsets(list(self._consumer.assignment())) if once else {}
        for sender in self._senders:
            sender.start()
        try:
            while not stop.is_set():
                self._read(stop)
                self._move_on()
                if once and self._reached(ends) and not self._waiting():
                    return
        finally:
            self._close()

    def status(self) -> Status:
        """Return what /livez and /readyz say."""
        failing = [sender.name for sender in self._senders if sender.error is not None]
        if time.monotonic() - self._heard > _UNHEARD_SECONDS:
            failing.append("kafka")
        return Status(live=True, ready=not failing, failing=tuple(failing))

    def _read(self, stop: threading.Event) -> None:
        """Take what the topic has new; where the cluster does not let it, what waits is sent all the same."""
        if time.monotonic() < self._next_read:
            stop.wait(_PAUSE_SECONDS)
            return
        try:
            polled = self._poll()
        except KafkaError as error:
            # A refusal may come later than an empty answer: only some time without one is an end of it.
            self._asked = self._next_read = time.monotonic() + self._setbacks.failed(why(error, "subscriber"))
            return
        now = self._clock()
        if polled or self._answers():
            self._setbacks.over()
            self._heard = time.monotonic()
            self.metrics.read(now)
        reads = [self._decoded(record, now) for records in polled.values() for record in records]
        if reads and self._outbox.take(reads, self._receivers, now):
            for sender in self._senders:
                sender.wake()

    def _poll(self) -> dict[TopicPartition, list[Any]]:
        """Return records; raises KafkaError. Of each partition the client may still hold a refusal that is old."""
        for _ in self._consumer.assignment() if self._setbacks.standing else ():
            with suppress(KafkaError):
                return poll(self._consumer, max_records=_TAKEN_AT_ONCE)
        return poll(self._consumer, max_records=_TAKEN_AT_ONCE)

    def _answers(self) -> bool:
        """Ask the cluster now and then whether it is there, which `poll` does not say."""
        if time.monotonic() - self._asked < _ASK_SECONDS:
            return False
        self._asked = time.monotonic()
        try:
            self._consumer.end_offsets(list(self._consumer.assignment()), timeout_ms=_ASK_MS)
        except KafkaError as error:
            self._setbacks.failed(why(error, "subscriber"))  # `poll` goes on: it pauses by itself where nobody is there
            return False
        return True

    def _decoded(self, record: Any, now: float) -> Read:
        body = record.value or b""
        try:
            event = self._decoder.decode(body)
            age = now - datetime.fromisoformat(event.occurred_at).timestamp()
        except (msgspec.DecodeError, ValueError):
            self.unreadable += 1
            _log.warning("notify_unreadable", partition=record.partition, offset=record.offset)
            return Read(record.topic, record.partition, record.offset, body, None, 0.0)
        return Read(record.topic, record.partition, record.offset, body, event, age)

    def _move_on(self) -> None:
        """Tell whoever is next, count what waits, and see that the senders live."""
        now = self._clock()
        for name, to in self._outbox.escalate(self._receivers, now):
            _log.info("notify_escalated", receiver=name, to=to)
            self.metrics.escalated(name)
        for sender in self._senders:
            if sender.error is not None:
                msg = f"the sender of {sender.receiver.name} stopped ({type(sender.error).__name__}: {sender.error})"
                raise Failure(msg) from sender.error
            standing = self._outbox.standing(sender.receiver.name)
            oldest = 0.0 if standing.oldest_queued is None else max(0.0, now - standing.oldest_queued)
            self.metrics.standing(sender.receiver.name, standing.pending, oldest, standing.dead)
        if now - self._tidied > _HOUSEKEEPING_SECONDS:
            self._outbox.prune(now)
            self._tidied = now

    def _reached(self, ends: dict[TopicPartition, int]) -> bool:
        return all(self._consumer.position(place) >= end for place, end in ends.items())

    def _waiting(self) -> bool:
        return any(self._outbox.standing(each.name).pending for each in self._receivers)

    def _close(self) -> None:
        for sender in self._senders:
            sender.close()
        for sender in self._senders:
            sender.join(_JOIN_SECONDS)
        self._outbox.close()
