"""`canary`: one test alert every few minutes, end to end, and a metric that shows when it stays away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click
import structlog
from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from agents.observer import Status
from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.brokers import open_broker
from monitor.canary import Canaries, Round, topics_of
from monitor.catalogue import CANARY_CATALOGUE
from monitor.errors import Failure
from monitor.finite_range import FiniteRange
from monitor.follow import assign
from monitor.health import Health, open_port
from monitor.invocation import Invocation, pass_invocation
from monitor.metrics import Instruments
from monitor.refusals import why
from monitor.retrying import connected
from monitor.settings import Settings
from monitor.signals import stop_requested
from monitor.topic_admin import create_topics

__all__ = ["command"]

_log = structlog.get_logger(__name__)


class _Watch:
    """What the rounds found, as metrics and as the answer of /readyz."""

    def __init__(self, partitions: int) -> None:
        self.registry = CollectorRegistry()
        self._made = Instruments(CANARY_CATALOGUE, self.registry)
        self._missed: tuple[str, ...] = ("no round yet",)
        for partition in range(partitions):
            self._made.gauges["canary_last_alert_timestamp_seconds"].labels(str(partition)).set(0)
            self._made.counters["canary_missed_total"].labels(str(partition))

    def note(self, found: Round) -> None:
        for partition, seconds in found.seconds.items():
            self._made.histograms["canary_alert_seconds"].observe(seconds)
            self._made.gauges["canary_last_alert_timestamp_seconds"].labels(str(partition)).set(time.time())
        for partition in found.missed:
            self._made.counters["canary_missed_total"].labels(str(partition)).inc()
        if found.missed:
            _log.error("canary_missed", partitions=found.missed, meaning="no alert of these partitions comes through")
        self._missed = tuple(f"partition_{partition}" for partition in found.missed)

    def status(self) -> Status:
        return Status(live=True, ready=not self._missed, failing=self._missed)


@click.command(name="canary")
@click.option(
    "--every",
    type=FiniteRange(min=1),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="From round to round.",
)
@click.option(
    "--within",
    type=FiniteRange(min=0.1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an alert may take.",
)
@click.option("--once", is_flag=True, help="One round; exit code 1 where an alert did not come.")
@click.option("--json", "as_json", is_flag=True, help="Print each round as one JSON object.")
@pass_invocation
def command(invocation: Invocation, *, every: float, within: float, once: bool, as_json: bool) -> None:
    """Let a made-up patient of each partition be alerted every few minutes, and say when no alert comes.

    The canary's observations go the way of a patient's; its alerts are marked `test`, and count in no clinical metric.
    /metrics has `sepsis_monitor_canary_last_alert_timestamp_seconds` by partition; /readyz says whether the last round
    was whole. Run one for each deployment, on a port of its own (http.port), and not beside a second one; `--once`
    beside it is allowed, and to be said again where the two rounds fell together and one missed an alert.

    A cluster that cannot be reached, or refuses the user, is asked again, later and later, until it can be used:
    /readyz says `broker` meanwhile, and the log says why. `--once` ends with 1.

    Example: sepsis-monitor canary --once
    """
    settings = invocation.settings()
    topics = Topics(settings.topics.prefix)
    with stop_requested() as stop, open_broker(settings, alone="refuse" if once else "tell") as bootstrap:
        _run(settings, bootstrap, topics, stop, every=every, within=within, once=once, as_json=as_json)


def _run(
    settings: Settings,
    bootstrap: str,
    topics: Topics,
    stop: threading.Event,
    *,
    every: float,
    within: float,
    once: bool,
    as_json: bool,
) -> None:
    watch, health = _Watch(settings.topics.partitions), Health()
    with ExitStack() as opened:
        if not once:
            opened.callback(open_port(settings, watch.registry, health.status).stop)
        producer, consumer = connected(
            settings, "canary", lambda: opened.enter_context(_clients(settings, bootstrap, topics)), stop, once=once
        )
        health.begin(watch.status)
        canaries = Canaries(topics, producer, consumer, settings.topics.partitions, stopping=stop.is_set)
        while not stop.is_set():
            began = time.monotonic()
            found = _round(canaries, settings.topics.partitions, within)
            if stop.is_set():
                break  # the round was cut short, and says nothing
            watch.note(found)
            click.echo(json.dumps(found.as_json()) if as_json else _line(found))
            if once:
                break
            stop.wait(max(0.0, every - (time.monotonic() - began)))
    if once and found.missed:
        msg = f"no alert came from the partitions {found.missed} within {within:g} s: is a worker ready there?"
        raise Failure(msg)


@contextmanager
def _clients(settings: Settings, bootstrap: str, topics: Topics) -> Iterator[tuple[Any, Any]]:
    """Make the topics that are missing; give a producer, and a consumer at the end of the alerts."""
    create_topics(bootstrap, settings, [spec for spec in topic_specs(topics) if spec.name in topics_of(topics)])
    with ExitStack() as opened:
        producer = clients.producer(settings.kafka, bootstrap)
        opened.callback(producer.close)
        consumer = clients.consumer(settings.kafka, bootstrap)
        opened.callback(consumer.close, autocommit=False)
        assign(consumer, [topics.alert_events], "now")
        yield producer, consumer


def _round(canaries: Canaries, partitions: int, within: float) -> Round:
    """Make one round; where the cluster does not answer, no alert came, and the next round tries again."""
    try:
        return canaries.round(within)
    except KafkaError as error:
        _log.warning("canary_round_failed", meaning=why(error, "canary", "Read or Write"))
        return Round(missed=list(range(partitions)))


def _line(found: Round) -> str:
    slowest = max(found.seconds.values(), default=0.0)
    heard = f"alerts of {len(found.seconds)} partitions, the slowest after {slowest:.2f} s"
    return f"{heard}; NONE from partitions {', '.join(map(str, found.missed))}" if found.missed else heard
