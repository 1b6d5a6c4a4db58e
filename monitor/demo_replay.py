"""The two ends of a demo's replay: the thread that publishes it, and the watch for when all of it is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kafka.errors import KafkaError

from agents.topics import Topics
from monitor import clients
from monitor.errors import Failure
from monitor.follow import TopicReader
from monitor.positions import GroupPositions
from monitor.publishing import PRODUCER_OPTIONS, Publisher, PublisherOptions, ReplaySummary
from monitor.replay import ReplayStream
from monitor.settings import Settings

__all__ = ["EndWatch", "ReplayThread", "group_positions", "results_of"]

_PATIENCE_SECONDS = 60.0


def results_of(topics: Topics) -> list[str]:
    """Return the topics that a demo reads."""
    return [topics.observations, topics.scores, topics.alert_events, topics.rejected]


@contextmanager
def group_positions(settings: Settings, bootstrap: str) -> Iterator[GroupPositions]:
    """Yield the positions of the workers' group, asked through a client of their own."""
    admin = clients.admin(settings.kafka, bootstrap)
    try:
        yield GroupPositions(admin, settings.worker.group)
    finally:
        admin.close()


class ReplayThread(threading.Thread):
    """Publishes in a thread of its own; ends when all is sent, on `halt`, or with `error`."""

    def __init__(self, settings: Settings, bootstrap: str, stream: ReplayStream, speed: float) -> None:
        super().__init__(name="replay", daemon=True)
        self.halt = threading.Event()
        self.sent = 0
        self.summary: ReplaySummary | None = None
        self.error: Exception | None = None
        self._settings, self._servers, self._stream = settings, bootstrap, stream
        self._options = PublisherOptions(speed, _PATIENCE_SECONDS)
        self._complaint = ""

    def run(self) -> None:
        """Send everything."""
        try:
            with group_positions(self._settings, self._servers) as positions, ExitStack() as stack:
                producer = clients.producer(self._settings.kafka, self._servers, **PRODUCER_OPTIONS)
                stack.callback(producer.close, timeout=10)
                topics = Topics(self._settings.topics.prefix)
                publisher = Publisher(
                    self._stream, topics, producer, positions, self._options,
                    stop=self.halt, progress=self._progress, warn=self._give_up,
                )  # fmt: skip
                self.summary = publisher.run()
            if self._complaint:
                self.error = Failure(self._complaint)
        except (Failure, KafkaError) as error:
            self.error = error

    def _progress(self, sent: int) -> None:
        self.sent = sent

    def _give_up(self, line: str) -> None:
        self._complaint = line
        self.halt.set()  # a demo out of order shows what no ward would see

    def close(self) -> None:
        """End the thread and wait for it."""
        self.halt.set()
        if self.is_alive():
            self.join()


class EndWatch:
    """Knows when all is done: everything sent, worked off and committed by the workers, and read by us."""

    def __init__(self, positions: GroupPositions, topics: Topics, reader: TopicReader, replay: ReplayThread) -> None:
        self._positions, self._topics, self._reader, self._replay = positions, topics, reader, replay
        self._results: dict[str, dict[int, int]] | None = None  # end offsets once the workers are through
        self._committed = -1
        self._moved = time.monotonic()

    def reached(self) -> bool:
        """Return whether all is done. Raises Failure when a thread failed or nothing moves any more."""
        if self._reader.error is not None:
            msg = f"reading the results failed: {type(self._reader.error).__name__}: {self._reader.error}"
            raise Failure(msg) from self._reader.error
        if self._replay.is_alive():
            self._moved = time.monotonic()
            return False
        if self._replay.error is not None:
            raise Failure(str(self._replay.error)) from self._replay.error
        try:
            if self._results is None and self._worked_off():
                self._results = {topic: self._positions.end_offsets(topic) for topic in results_of(self._topics)}
        except KafkaError as error:
            msg = f"the broker does not answer any more: {error}"
            raise Failure(msg) from error
        if self._results is not None:
            return all(self._reader.reached(topic, offsets) for topic, offsets in self._results.items())
        return False

    def _worked_off(self) -> bool:
        """Return whether the group has committed both topics to their ends.

        First the admissions: what they append to the patients' logs is there before they are committed.
        """
        topics = (self._topics.admissions, self._topics.observations)
        committed = 0
        for topic in topics:
            ends = self._positions.end_offsets(topic)
            if not self._positions.reached(topic, ends):
                committed += sum(self._positions.committed(topic).values())
                break
            committed += sum(ends.values())
        else:
            return True
        if committed > self._committed:
            self._committed, self._moved = committed, time.monotonic()
        if time.monotonic() - self._moved > _PATIENCE_SECONDS:
            msg = f"the workers have made no progress for {_PATIENCE_SECONDS:.0f} s, with records waiting in {topic}"
            raise Failure(msg)
        return False
