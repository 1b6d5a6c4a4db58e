"""The demo: a broker, workers and a replay of recorded stays on this machine, from start to clean end.

It never touches a configured cluster: made-up stays do not belong on a ward's topics. Everything it needs lies in a
folder of its own, which goes with it.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from kafka.errors import KafkaError
from platformdirs import user_cache_path

from agents.topics import Topics, topic_specs
from models.cohort import Cohort
from monitor import clients
from monitor.brokers import open_broker
from monitor.demo_feed import Feed
from monitor.demo_result import DemoResult
from monitor.demo_ward import Ward, stays_of
from monitor.demo_workers import Workers
from monitor.errors import Failure
from monitor.follow import TopicReader
from monitor.positions import GroupPositions
from monitor.publishing import PRODUCER_OPTIONS, Publisher, PublisherOptions, ReplaySummary
from monitor.replay import ReplayOptions, ReplayStream
from monitor.sections import KafkaSettings
from monitor.settings import Settings
from monitor.topic_admin import create_topics

__all__ = ["DemoOptions", "Show", "run_demo"]

_TICK_SECONDS = 0.25
_PATIENCE_SECONDS = 60.0
_ACCEPTED = "sepsis_monitor_observations_accepted_total"
_REJECTED = "sepsis_monitor_observations_rejected_total"
_STEPS_CLOSED = "sepsis_monitor_steps_closed_total"
_ALERTS = "sepsis_monitor_alerts_total"


@dataclass(frozen=True)
class DemoOptions:
    """What to replay, and how."""

    replay: ReplayOptions
    workers: int = 1
    speed: float = 0.0  # patient-hours a second; 0: as fast as it goes
    alerts_file: Path | None = None


class Show(Protocol):
    """Whoever looks on; called from the thread that runs the demo."""

    def phase(self, what: str) -> None:
        """Say what is being done, in a few words."""

    def tick(self, feed: Feed, sent: int, total: int) -> None:
        """Look at the ward, several times a second: `sent` of `total` observations are out."""


class _Replay(threading.Thread):
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
            with _positions(self._settings, self._servers) as positions, ExitStack() as stack:
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


def run_demo(
    settings: Settings, cohort: Cohort, options: DemoOptions, show: Show, stop: threading.Event
) -> DemoResult | None:
    """Run the demo to its end and return what it came to; None when `stop` was set on the way.

    Call from the main thread: broker and workers end with the thread that started them. All of them have stopped and
    the folder is gone when this returns or raises. Raises Failure when a worker dies or anything else is in the way.
    """
    stream = ReplayStream(cohort, options.replay, datetime.now(UTC))
    caches = user_cache_path("sepsis-monitor", ensure_exists=True)
    with tempfile.TemporaryDirectory(prefix="demo-", dir=caches, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        local = _local(settings)
        show.phase(f"starting the broker ({settings.broker.engine})")
        with open_broker(local, data_dir=folder / "broker") as bootstrap:
            here = local.model_copy(update={"kafka": KafkaSettings(bootstrap_servers=bootstrap)})
            create_topics(bootstrap, here, topic_specs(Topics(here.topics.prefix)))
            show.phase(f"starting {options.workers} worker{'s' if options.workers > 1 else ''}")
            with Workers.running(here, options.workers, folder) as workers:
                workers.wait_ready(stop)
                if stop.is_set():
                    return None
                return _watch(here, bootstrap, stream, options, workers=workers, show=show, stop=stop)


def _local(settings: Settings) -> Settings:
    """Return the settings for a broker of our own, whatever cluster is configured."""
    return settings.model_copy(
        update={
            "kafka": KafkaSettings(),
            "broker": settings.broker.model_copy(update={"port": 0}),
            "topics": settings.topics.model_copy(update={"replication_factor": 1}),
        }
    )


def _watch(
    settings: Settings,
    bootstrap: str,
    stream: ReplayStream,
    options: DemoOptions,
    *,
    workers: Workers,
    show: Show,
    stop: threading.Event,
) -> DemoResult | None:
    """Replay, and look on until every record has been worked off and read."""
    topics = Topics(settings.topics.prefix)
    ward = Ward(stays_of(stream))
    feed = Feed(ward, topics)
    with ExitStack() as stack:
        read = [topics.observations, topics.scores, topics.alert_events, topics.rejected]
        reader = TopicReader(clients.consumer(settings.kafka, bootstrap), read, feed.handle)
        stack.callback(reader.close)
        replay = _Replay(settings, bootstrap, stream, options.speed)
        stack.callback(replay.close)
        positions = stack.enter_context(_positions(settings, bootstrap))
        show.phase(f"replaying {stream.n_stays} stays")
        begun = time.monotonic()
        reader.start()
        replay.start()
        end = _End(positions, topics, reader, replay)
        while not end.reached():
            if stop.is_set():
                return None
            workers.check()
            if reader.error is not None:
                msg = f"reading the results failed: {type(reader.error).__name__}: {reader.error}"
                raise Failure(msg) from reader.error
            show.tick(feed, replay.sent, stream.n_observations)
            stop.wait(_TICK_SECONDS)
        seconds = time.monotonic() - begun
        counters = workers.counters()
        ward.end_all()
        show.tick(feed, replay.sent, stream.n_observations)
        return _result(stream, options, feed=feed, replay=replay, counters=counters, seconds=seconds)


class _End:
    """Knows when all is done: everything sent, worked off and committed by the workers, and read by us."""

    def __init__(self, positions: GroupPositions, topics: Topics, reader: TopicReader, replay: _Replay) -> None:
        self._positions, self._topics, self._reader, self._replay = positions, topics, reader, replay
        self._results: dict[str, dict[int, int]] | None = None  # end offsets once the workers are through
        self._committed = -1
        self._moved = time.monotonic()

    def reached(self) -> bool:
        """Return whether all is done. Raises Failure when the replay failed or nothing moves any more."""
        if self._replay.is_alive():
            self._moved = time.monotonic()
            return False
        if self._replay.error is not None:
            raise Failure(str(self._replay.error)) from self._replay.error
        try:
            if self._results is None and self._worked_off():
                topics = self._topics
                read = (topics.observations, topics.scores, topics.alert_events, topics.rejected)
                self._results = {topic: self._positions.end_offsets(topic) for topic in read}
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


def _result(
    stream: ReplayStream,
    options: DemoOptions,
    *,
    feed: Feed,
    replay: _Replay,
    counters: Mapping[str, float],
    seconds: float,
) -> DemoResult:
    if options.alerts_file is not None:
        try:
            feed.write_alerts(options.alerts_file)
        except OSError as error:
            msg = f"the alert events could not be written to {options.alerts_file}: {error.strerror or error}"
            raise Failure(msg) from error
    with feed.looking() as ward:
        return DemoResult(
            stays=stream.n_stays,
            patient_hours=stream.patient_hours,
            observations_sent=replay.sent,
            accepted=int(counters[_ACCEPTED]),
            rejected=int(counters[_REJECTED]),
            steps_closed=int(counters[_STEPS_CLOSED]),
            alerts=ward.transitions(),
            seconds=seconds,
            latency=feed.latency(),
            alerts_file=options.alerts_file,
            ended=tuple(ward.ended),
            disagreements=_disagreements(feed, ward, counters),
        )


def _disagreements(feed: Feed, ward: Ward, counters: Mapping[str, float]) -> tuple[str, ...]:
    """Return where the workers' own counts are not what the topics hold, in plain words."""
    compared = {
        "refusals": (counters[_REJECTED], feed.rejected),
        "closed hours": (counters[_STEPS_CLOSED], ward.steps_closed),
        "alert events": (counters[_ALERTS], len(ward.alerts)),
    }
    return tuple(
        f"the workers counted {counted:.0f} {what}, and the topics hold {held}"
        for what, (counted, held) in compared.items()
        if counted != held
    )


@contextmanager
def _positions(settings: Settings, bootstrap: str) -> Iterator[GroupPositions]:
    admin = clients.admin(settings.kafka, bootstrap)
    try:
        yield GroupPositions(admin, settings.worker.group)
    finally:
        admin.close()
