"""What is still to be posted, on disk: an SQLite file that survives whatever happens to the process.

Reading the topic and writing the outbox is one transaction, so that the place in the topic and what was read up to it
never disagree. A delivery is one event for one receiver, once, by its `event_id`; those of one alert go to a receiver
in order. A watch is an alert of a receiver that is active and that nobody has acknowledged yet; one that has done its
part (the next receiver was told, or somebody marked the alert) stays, never due, so that it does not begin again.

A body is deleted as soon as it has been delivered; the ids stay for a week, to recognise repeats.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from agents.messages import AlertEvent
from monitor.errors import Failure
from monitor.notify.receivers import Receiver

__all__ = ["ESCALATED", "OUTBOX_FILE", "Delivery", "Outbox", "Read", "Standing"]

OUTBOX_FILE = "outbox.sqlite"  # in the folder of a notifier
ESCALATED = ":escalated"  # after the id of an event that is posted once more to a receiver who had it by itself
_VERSION = 1
_BUSY_SECONDS = 30.0
_KEPT_SECONDS = 7 * 86_400.0  # how long the ids of settled deliveries are remembered
_SCHEMA = """
create table places (topic text not null, partition integer not null, next integer not null,
    primary key (topic, partition));
create table deliveries (id integer primary key, receiver text not null, event_id text not null,
    alert_id text not null, body blob, escalated_from text, state text not null, queued real not null,
    due real not null, attempts integer not null default 0, error text, unique (receiver, event_id));
create index waiting on deliveries (receiver, state, alert_id, id);
create table watches (receiver text not null, alert_id text not null, event_id text not null, body blob not null,
    due real not null, primary key (receiver, alert_id));
"""
# Somebody has seen the alert, or it is over: nobody further needs to be told.
_SEEN = frozenset({"acknowledged", "snoozed", "ended"})
_NEVER = float("inf")  # when a watch is due that has done its part


class Read(NamedTuple):
    """A record of the alert topic: its place, its value as it came, and the event in it, if there is one."""

    topic: str
    partition: int
    offset: int
    body: bytes
    event: AlertEvent | None
    age_seconds: float  # from when the event happened to now


class Delivery(NamedTuple):
    """One event that one receiver is still to be told."""

    id: int
    receiver: str
    event_id: str
    body: bytes
    escalated_from: str | None
    queued: float  # seconds since 1970
    attempts: int  # so far


class Standing(NamedTuple):
    """How one receiver stands."""

    pending: int
    oldest_queued: float | None  # seconds since 1970
    dead: int


class Outbox:
    """One connection to the file; each thread has one of its own. Times are seconds since 1970, and the caller's."""

    def __init__(self, file: Path) -> None:
        """Open the file, made where missing, readable by its owner alone. Raises Failure where it cannot be used."""
        self._name = file
        try:
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            self._file = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)
            self._file.execute("pragma journal_mode=wal")
            self._file.execute("pragma synchronous=full")  # acknowledged means on disk
            self._file.execute("pragma secure_delete=on")
            self._prepare(file)
        except (OSError, sqlite3.Error) as error:
            msg = f"the outbox {file} cannot be used: {error}"
            raise Failure(msg) from error

    def _prepare(self, file: Path) -> None:
        with self._transaction():
            (version,) = self._file.execute("pragma user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._file.execute(statement)
                self._file.execute(f"pragma user_version={_VERSION}")
            elif version != _VERSION:
                msg = f"the outbox {file} is of version {version}, this program knows {_VERSION}: run the other version"
                raise Failure(msg)

    def close(self) -> None:
        """Close the connection."""
        self._file.close()

    # -- what the reader of the topic does

    def places(self, topic: str) -> dict[int, int]:
        """Return the offset to go on from in each partition that was read before."""
        return dict(self._file.execute("select partition, next from places where topic = ?", (topic,)).fetchall())

    def start_at(self, topic: str, places: Mapping[int, int]) -> None:
        """Note where reading begins in partitions that were never read."""
        with self._transaction():
            self._file.executemany(
                "insert or ignore into places values (?, ?, ?)", [(topic, *place) for place in places.items()]
            )

    def take(self, reads: Sequence[Read], receivers: Sequence[Receiver], now: float) -> int:
        """Queue for every receiver what it wants of these records, and move the places on: all or nothing.

        Returns how many deliveries are new. Records must come in each partition's order.
        """
        with self._transaction():
            queued = sum(self._told(read.event, read, receivers, now) for read in reads if read.event is not None)
            self._file.executemany(
                "insert into places values (?1, ?2, ?3) on conflict do update set next = max(next, ?3)",
                [(read.topic, read.partition, read.offset + 1) for read in reads],
            )
        return queued

    def _told(self, event: AlertEvent, read: Read, receivers: Sequence[Receiver], now: float) -> int:
        if event.transition != "rejected":
            if event.state in _SEEN:
                self._file.execute("delete from watches where alert_id = ?", (event.alert_id,))
            elif event.transition == "marked":
                self._file.execute(
                    "update watches set body = x'', due = ? where alert_id = ?", (_NEVER, event.alert_id)
                )
            self._file.execute(
                "update watches set event_id = ?, body = ? where alert_id = ? and due < ?",
                (event.event_id, read.body, event.alert_id, _NEVER),
            )
        queued = 0
        for receiver in receivers:
            if event.transition == "marked" and event.state not in _SEEN and receiver.admits(event):
                self._settle(receiver.name, event)
            if not 0 < 60 * receiver.stale_minutes < read.age_seconds:
                if receiver.wants(event, anywhere=self._left(receiver, event)):
                    queued += self._queue(receiver.name, event, read.body, None, now)
                if not receiver.only_escalated and receiver.admits(event):
                    self._watch(receiver, event, read.body, now)
        return queued

    def _left(self, receiver: Receiver, event: AlertEvent) -> bool:
        """Tell whether the receiver was told of the alert before its patient came to a unit that is none of its own."""
        if not receiver.units or event.unit in receiver.units:
            return False
        told = (
            "select 1 from deliveries where receiver = ? and state in ('pending', 'delivered', 'dead')"
            " and alert_id = ? limit 1"
        )
        return self._file.execute(told, (receiver.name, event.alert_id)).fetchone() is not None

    def _queue(self, receiver: str, event: AlertEvent, body: bytes, escalated_from: str | None, now: float) -> int:
        return self._file.execute(
            "insert or ignore into deliveries (receiver, event_id, alert_id, body, escalated_from, state, queued, due)"
            " values (?, ?, ?, ?, ?, 'pending', ?, ?)",
            (receiver, event.event_id, event.alert_id, body, escalated_from, now, now),
        ).rowcount

    def _watch(self, receiver: Receiver, event: AlertEvent, body: bytes, now: float, *, told: bool = False) -> None:
        """Begin to wait for an acknowledgement, where somebody is next; who waits already goes on waiting.

        Whatever leaves the alert active begins it, also the end of a snooze; a watch that has done its part begins anew
        only where the alert is raised, is escalated, or has come up a chain again.
        """
        anew = told or event.transition in {"raised", "escalated"}
        begins = anew or (event.state == "active" and event.transition not in {"marked", "rejected"})
        if receiver.escalate_to is not None and begins:
            due = now + 60 * receiver.escalate_minutes
            self._file.execute(
                "insert into watches values (?1, ?2, ?3, ?4, ?5) on conflict do update"
                " set event_id = ?3, body = ?4, due = ?5 where ?6 and due = ?7",
                (receiver.name, event.alert_id, event.event_id, body, due, anew, _NEVER),
            )

    def _settle(self, receiver: str, event: AlertEvent) -> None:
        """Let a watch have done its part; of the event it keeps the ids alone."""
        self._file.execute(
            "insert into watches values (?1, ?2, ?3, x'', ?4) on conflict do update set body = x'', due = ?4",
            (receiver, event.alert_id, event.event_id, _NEVER),
        )

    def escalate(self, receivers: Sequence[Receiver], now: float) -> list[tuple[str, str]]:
        """Queue for the next receiver what nobody has acknowledged in time; returns (from, to) of each.

        The next receiver is told whatever it wants to hear by itself, and also what it has heard: somebody must be.
        """
        named = {each.name: each for each in receivers}
        moved: list[tuple[str, str]] = []
        if self._file.execute("select 1 from watches where due <= ? limit 1", (now,)).fetchone() is None:
            return moved  # asked several times a second: nothing is written for it
        with self._transaction():
            due = self._file.execute("select receiver, body from watches where due <= ?", (now,)).fetchall()
            for name, body in due:
                event = msgspec.json.decode(body, type=AlertEvent)
                self._settle(name, event)
                to = named[name].escalate_to if name in named else None  # taken out of the file since
                if to is not None:
                    self._queue(to, self._as_heard(to, event), body, name, now)
                    self._watch(named[to], event, body, now, told=True)
                    moved.append((name, to))
        return moved

    def _as_heard(self, receiver: str, event: AlertEvent) -> AlertEvent:
        """Return the event under an id of its own where the receiver has heard it, and would take it for a repeat."""
        told = self._file.execute(
            "select 1 from deliveries where receiver = ? and event_id = ? and escalated_from is null",
            (receiver, event.event_id),
        ).fetchone()
        return event if told is None else msgspec.structs.replace(event, event_id=event.event_id + ESCALATED)

    # -- what a receiver's sender does

    def next_due(self, receiver: str, now: float) -> Delivery | None:
        """Return what this receiver is to be told now: the oldest that is due and has none of its alert before it."""
        found = self._file.execute(
            "select id, receiver, event_id, body, escalated_from, queued, attempts from deliveries as this"
            " where receiver = ? and state = 'pending' and due <= ? and not exists (select 1 from deliveries as earlier"
            " where earlier.receiver = this.receiver and earlier.state = 'pending'"
            " and earlier.alert_id = this.alert_id and earlier.id < this.id) order by id limit 1",
            (receiver, now),
        ).fetchone()
        return None if found is None else Delivery(*found)

    def delivered(self, delivery: Delivery) -> None:
        """Note that the receiver has taken it, and forget its content."""
        with self._transaction():
            self._file.execute(
                "update deliveries set state = 'delivered', body = null, attempts = attempts + 1, error = null"
                " where id = ?",
                (delivery.id,),
            )

    def failed(self, delivery: Delivery, error: str, due: float) -> None:
        """Note a failed attempt, and when to try again."""
        with self._transaction():
            self._file.execute(
                "update deliveries set attempts = attempts + 1, error = ?, due = ? where id = ?",
                (error, due, delivery.id),
            )

    def gave_up(self, delivery: Delivery, error: str, now: float) -> None:
        """Note that it will not be tried again; whoever is next after this receiver is told at once."""
        with self._transaction():
            self._file.execute(
                "update deliveries set state = 'dead', attempts = attempts + 1, error = ? where id = ?",
                (error, delivery.id),
            )
            self._file.execute(
                "update watches set due = ? where receiver = ? and due < ?"
                " and alert_id = (select alert_id from deliveries where id = ?)",
                (now, delivery.receiver, _NEVER, delivery.id),
            )

    # -- what people ask

    def revive(self, receiver: str, now: float) -> int:
        """Queue again what was given up for a receiver; returns how many."""
        with self._transaction():
            return self._file.execute(
                "update deliveries set state = 'pending', queued = ?, due = ?, attempts = 0"
                " where receiver = ? and state = 'dead'",
                (now, now, receiver),
            ).rowcount

    def standing(self, receiver: str) -> Standing:
        """Return how many events wait for a receiver, since when, and how many were given up."""
        pending, oldest = self._file.execute(
            "select count(*), min(queued) from deliveries where receiver = ? and state = 'pending'", (receiver,)
        ).fetchone()
        (dead,) = self._file.execute(
            "select count(*) from deliveries where receiver = ? and state = 'dead'", (receiver,)
        ).fetchone()
        return Standing(pending, oldest, dead)

    def prune(self, now: float) -> None:
        """Forget the ids of what was settled long ago."""
        with self._transaction():
            self._file.execute(
                "delete from deliveries where state = 'delivered' and queued < ?", (now - _KEPT_SECONDS,)
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write all or nothing; raises Failure where the file cannot be written, as on a full disk."""
        try:
            self._file.execute("begin immediate")
            yield
            self._file.execute("commit")
        except BaseException as error:
            if self._file.in_transaction:
                self._file.execute("rollback")
            if isinstance(error, sqlite3.Error):
                msg = f"the outbox {self._name} cannot be written: {error}"
                raise Failure(msg) from error
            raise
