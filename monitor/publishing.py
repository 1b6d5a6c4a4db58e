"""Publishes a replay so that each patient's log reads: admitted, observations, discharged.

Admissions travel on a topic of their own and a worker appends them to the patient's log. So a stay's observations are
held back until the workers' group has committed its admission, and its discharge until they have committed its
observations. A paced replay does this in waves of a few seconds, admissions one wave ahead; an unpaced one is a single
wave.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from kafka import KafkaProducer
from kafka.errors import KafkaError

from agents.topics import Topics
from monitor.errors import Failure
from monitor.positions import GroupPositions
from monitor.replay import Message, ReplayStream

__all__ = ["PRODUCER_OPTIONS", "Publisher", "PublisherOptions", "ReplaySummary"]

_WAVE_SECONDS = 2.0
_TICK_SECONDS = 0.05
_FLUSH_EVERY = 5_000  # messages; the client has no limit of its own on what waits to be sent
PRODUCER_OPTIONS = {"batch_size": 256 * 1024}  # larger than the client's default: fewer, fuller requests


@dataclass(frozen=True)
class PublisherOptions:
    """How to publish."""

    speed: float = 0.0  # patient-hours a second; 0: as fast as it goes
    patience_seconds: float = 60.0  # how long the workers may make no progress before order is given up; 0: never wait
    paced_from: int = 0  # observations before this position are sent as fast as it goes


@dataclass(frozen=True)
class ReplaySummary:
    """What one replay sent."""

    stays: int
    patient_hours: int
    admissions: int  # admitted events
    discharges: int
    observations_sent: int  # records, repeats included
    duplicates: int  # of them, repeats
    dropped: int  # observations held back on purpose
    order_kept: bool  # whether every admission and discharge took its place in the patient's log
    seconds: float

    def as_json(self) -> dict[str, object]:
        """Return the summary as plain values."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


class Publisher:
    """Sends one replay; `run` once, from one thread."""

    def __init__(
        self,
        stream: ReplayStream,
        topics: Topics,
        producer: KafkaProducer,
        positions: GroupPositions,
        options: PublisherOptions,
        *,
        stop: threading.Event | None = None,
        progress: Callable[[int], None] = lambda sent: None,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Send through `producer`; `progress` gets the count of observations sent, `warn` one line for people."""
        self._stream, self._topics, self._producer, self._positions = stream, topics, producer, positions
        self._options, self._progress, self._warn = options, progress, warn
        self._stop = stop or threading.Event()
        self._ordered = options.patience_seconds > 0
        self._sent = self._admitted = self._discharged = 0
        self._last_flush = 0
        self._admission_targets: dict[int, int] = {}
        self._leaving: list[tuple[dict[int, int], list[int]]] = []  # (committed offsets to wait for, stays)
        self._error: BaseException | None = None
        self._pace_begun: float | None = None
        self._by_first = np.argsort(stream.first, kind="stable")
        self._by_last = np.argsort(stream.last, kind="stable")
        self._left = 0  # how many of `_by_last` are discharged or waiting for it

    def run(self) -> ReplaySummary:
        """Send everything, or up to where `stop` is set. Raises Failure when Kafka does not take it."""
        begun = time.monotonic()
        try:
            self._run_waves()
        except KafkaError as error:
            msg = f"the replay stopped after {self._sent} observations: Kafka did not take them ({_name(error)})"
            raise Failure(msg) from error
        return ReplaySummary(
            stays=self._stream.n_stays,
            patient_hours=self._stream.patient_hours,
            admissions=self._admitted,
            discharges=self._discharged,
            observations_sent=self._sent,
            duplicates=int(self._stream.repeat[: self._sent].sum()),
            dropped=self._stream.n_dropped,
            order_kept=self._ordered,
            seconds=time.monotonic() - begun,
        )

    def _run_waves(self) -> None:
        bounds = self._wave_bounds()
        self._admit(bounds[min(1, len(bounds) - 1)])
        for wave, end in enumerate(bounds):
            self._await(self._topics.admissions, self._admission_targets)
            if wave:
                self._admit(bounds[min(wave + 1, len(bounds) - 1)])
            self._observe(end)
            if self._stop.is_set():
                return
            self._note_leaving(end)
            self._discharge_ready()
        for targets, _ in self._leaving[-1:]:  # the last targets include the earlier ones
            self._await(self._topics.observations, targets)
        self._discharge_ready(all_of_them=not self._stop.is_set())

    def _wave_bounds(self) -> list[int]:
        """Return the position at which each wave ends."""
        n = self._stream.n_observations
        size = max(1, round(self._rate * _WAVE_SECONDS)) if self._options.speed else max(1, n)
        first = min(self._options.paced_from, n)
        return [*([first] if 0 < first < n else []), *range(first + size, n, size), n]

    @property
    def _rate(self) -> float:
        """Messages a second that make `speed` patient-hours a second."""
        return self._options.speed * self._stream.n_observations / max(1, self._stream.patient_hours)

    def _admit(self, position: int) -> None:
        """Send the admissions of the stays that have begun by `position`."""
        begun = int(np.searchsorted(self._stream.first[self._by_first], position, side="right"))
        if begun == self._admitted:
            return
        for stay in self._by_first[self._admitted : begun].tolist():
            self._send(self._topics.admissions, self._stream.admission(stay))
        self._admitted = begun
        self._flush()
        self._admission_targets = self._positions.end_offsets(self._topics.admissions)

    def _observe(self, end: int) -> None:
        """Send the observations up to `end`, at the pace asked for, and see them acknowledged."""
        first = self._options.paced_from
        if self._pace_begun is None and self._sent >= first:
            self._pace_begun = time.monotonic()
        while self._sent < end and not self._stop.is_set():
            upto = min(end, self._sent + _FLUSH_EVERY)
            if self._options.speed and self._pace_begun is not None:
                upto = min(upto, first + int((time.monotonic() - self._pace_begun) * self._rate) + 1)
            for message in self._stream.observations(self._sent, upto):
                self._send(self._topics.observations, message)
            self._sent = max(self._sent, upto)
            self._progress(self._sent)
            if self._sent - self._last_flush >= _FLUSH_EVERY:
                self._flush()
            if self._options.speed and self._pace_begun is not None and self._sent < end:
                self._stop.wait(_TICK_SECONDS)
        self._flush()

    def _note_leaving(self, position: int) -> None:
        """Put the stays that have sent all by `position` on the list of those to discharge."""
        ended = int(np.searchsorted(self._stream.last[self._by_last], position, side="right"))
        if ended > self._left:
            targets = self._positions.end_offsets(self._topics.observations)
            self._leaving.append((targets, self._by_last[self._left : ended].tolist()))
            self._left = ended

    def _discharge_ready(self, *, all_of_them: bool = False) -> None:
        """Send the discharges of the stays whose observations the workers have committed."""
        before = self._discharged
        while self._leaving:
            targets, stays = self._leaving[0]
            if not (all_of_them or not self._ordered or self._positions.reached(self._topics.observations, targets)):
                break
            for stay in stays:
                self._send(self._topics.admissions, self._stream.discharge(stay))
            self._discharged += len(stays)
            self._leaving.pop(0)
        if self._discharged > before:
            self._flush()

    def _await(self, topic: str, targets: dict[int, int]) -> None:
        """Hold on until the workers have committed `targets`; give up the order for good when they make no progress."""
        if not self._ordered or self._positions.wait(topic, targets, self._options.patience_seconds, self._stop):
            return
        if not self._stop.is_set():
            self._ordered = False
            self._warn(
                f"no worker has read on in {topic} for {self._options.patience_seconds:g} s: the replay goes on "
                "without waiting, and admissions or discharges may come out of place; is `serve` running?"
            )

    def _send(self, topic: str, message: Message) -> None:
        self._producer.send(topic, key=message.key, value=message.value).add_errback(self._failed)

    def _failed(self, error: BaseException) -> None:
        self._error = self._error or error

    def _flush(self) -> None:
        self._producer.flush()
        self._last_flush = self._sent
        if self._error is not None:
            raise self._error


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
