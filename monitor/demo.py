"""The demo: a broker, workers and a replay of recorded stays on this machine, from start to clean end.

It never touches a configured cluster: made-up stays do not belong on a ward's topics. Everything it needs lies in a
folder of its own, which goes with it.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from platformdirs import user_cache_path

from agents.topics import Topics, topic_specs
from models.cohort import Cohort
from monitor import clients
from monitor.brokers import open_broker
from monitor.demo_feed import Feed
from monitor.demo_replay import EndWatch, ReplayThread, group_positions, results_of
from monitor.demo_result import DemoResult
from monitor.demo_ward import Ward, stays_of
from monitor.errors import Failure
from monitor.follow import TopicReader
from monitor.local_workers import Workers
from monitor.replay import ReplayOptions, ReplayStream
from monitor.sections import KafkaSettings
from monitor.settings import Settings
from monitor.topic_admin import create_topics

__all__ = ["DemoOptions", "Show", "run_demo"]

_TICK_SECONDS = 0.25
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


def run_demo(
    settings: Settings, cohort: Cohort, options: DemoOptions, show: Show, stop: threading.Event
) -> DemoResult | None:
    """Run the demo to its end and return what it came to; None when `stop` was set on the way.

    Call from the main thread: broker and workers end with the thread that started them. All of them have stopped and
    the folder is gone when this returns or raises. Raises Failure when a worker dies or anything else is in the way.
    """
    if options.alerts_file is not None and not options.alerts_file.absolute().parent.is_dir():
        msg = f"there is no folder {options.alerts_file.absolute().parent} to write the alert events to"
        raise Failure(msg)
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
        reader = TopicReader(clients.consumer(settings.kafka, bootstrap), results_of(topics), feed.handle)
        stack.callback(reader.close)
        replay = ReplayThread(settings, bootstrap, stream, options.speed)
        stack.callback(replay.close)
        positions = stack.enter_context(group_positions(settings, bootstrap))
        show.phase(f"replaying {stream.n_stays} stays")
        begun = time.monotonic()
        reader.start()
        replay.start()
        end = EndWatch(positions, topics, reader, replay)
        while not end.reached():
            if stop.is_set():
                return None
            workers.check()
            show.tick(feed, replay.sent, stream.n_observations)
            stop.wait(_TICK_SECONDS)
        seconds = time.monotonic() - begun
        counters = workers.counters()
        ward.end_all()
        show.tick(feed, replay.sent, stream.n_observations)
        return _result(stream, options, feed=feed, replay=replay, counters=counters, seconds=seconds)


def _result(
    stream: ReplayStream,
    options: DemoOptions,
    *,
    feed: Feed,
    replay: ReplayThread,
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
            technical_alerts=ward.technical(),
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
