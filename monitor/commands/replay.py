"""`replay`: publish a data set as if a ward sent it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from kafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents.topics import Topics, topic_specs
from models.cohort import Cohort, CohortError, read_cohort
from monitor import clients
from monitor.brokers import open_broker
from monitor.errors import Failure, failing_on
from monitor.finite_range import FiniteRange
from monitor.invocation import Invocation, pass_invocation
from monitor.positions import GroupPositions
from monitor.pseudonyms import Pseudonyms, load_key
from monitor.publishing import PRODUCER_OPTIONS, Publisher, PublisherOptions, ReplaySummary
from monitor.replay import ReplayOptions, ReplayStream, format_time
from monitor.settings import Settings
from monitor.signals import stop_requested
from monitor.topic_admin import create_topics

__all__ = ["command"]

_SHARE = FiniteRange(0, 1)


@click.command(name="replay")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--speed",
    type=FiniteRange(min=0),
    default=0.0,
    metavar="N",
    help="Patient-hours a second; 0, the default, as fast as it goes.",
)
@click.option("--stays", type=click.IntRange(min=1), metavar="N", help="Only N stays, drawn by the seed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random.")
@click.option("--duplicates", type=_SHARE, default=0.0, metavar="SHARE", help="Share of observations sent twice.")
@click.option("--drop", type=_SHARE, default=0.0, metavar="SHARE", help="Share of observations never sent.")
@click.option("--shuffle", is_flag=True, help="Mix up the messages within each hour of a stay; shows with --split.")
@click.option("--split", is_flag=True, help="Send each vital sign by itself, at its own time within the hour.")
@click.option(
    "--admission-timeout",
    type=FiniteRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Go on out of order when the workers read nothing for so long; 0 never waits for them.",
)
@click.option(
    "--pseudonym-key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Send keyed pseudonyms in place of the file's patient ids.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    file: Path,
    speed: float,
    stays: int | None,
    seed: int,
    duplicates: float,
    drop: float,
    shuffle: bool,
    split: bool,
    admission_timeout: float,
    pseudonym_key: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the stays of FILE as a ward would have sent them: admissions, hourly observations, discharges.

    FILE is a .parquet table in the columns of the PhysioNet/CinC Challenge 2019, or a folder of its .psv files. The
    stays are put side by side into the recent past, so that workers take their times for what they are. A stay's
    observations wait until the workers have read its admission, and its discharge until they have read those.

    Example: sepsis-monitor replay stays.parquet --speed 200 --duplicates 0.01
    """
    settings = invocation.settings()
    with failing_on(CohortError):
        cohort = read_cohort(file)
    if pseudonym_key is not None:
        cohort = _under_pseudonyms(cohort, Pseudonyms(load_key(pseudonym_key)))
    options = ReplayOptions(stays, seed, duplicates, drop, shuffle, split)
    stream = ReplayStream(cohort, options, datetime.now(UTC))
    if dry_run:
        _print_plan(stream, as_json=as_json)
        return
    summary = _publish(settings, stream, PublisherOptions(speed, admission_timeout), as_json=as_json)
    _print_summary(summary, as_json=as_json)


def _under_pseudonyms(cohort: Cohort, pseudonyms: Pseudonyms) -> Cohort:
    return replace(cohort, patient_ids=tuple(map(pseudonyms.of, cohort.patient_ids)))


def _publish(settings: Settings, stream: ReplayStream, options: PublisherOptions, *, as_json: bool) -> ReplaySummary:
    topics = Topics(settings.topics.prefix)
    with stop_requested() as stop, open_broker(settings) as bootstrap:
        if settings.kafka.bootstrap_servers is None:
            create_topics(bootstrap, settings, topic_specs(topics))
        with (
            _clients(settings, bootstrap) as (producer, positions),
            _progress(stream.n_observations, shown=not as_json) as progress,
        ):
            _refuse_missing_topics(positions, topics)
            publisher = Publisher(
                stream, topics, producer, positions, options, stop=stop, progress=progress, warn=_warn
            )
            summary = publisher.run()
    if stop.is_set() and summary.observations_sent < stream.n_observations:
        msg = f"stopped after {summary.observations_sent} of {stream.n_observations} observations"
        raise Failure(msg)
    return summary


@contextmanager
def _clients(settings: Settings, bootstrap: str) -> Iterator[tuple[Any, GroupPositions]]:
    producer = clients.producer(settings.kafka, bootstrap, **PRODUCER_OPTIONS)
    admin = clients.admin(settings.kafka, bootstrap)
    try:
        yield producer, GroupPositions(admin, settings.worker.group)
    finally:
        producer.close(timeout=10)
        admin.close()


def _refuse_missing_topics(positions: GroupPositions, topics: Topics) -> None:
    """Raise Failure where a topic is missing: a broker may make it by itself, with the wrong partitions."""
    for topic in (topics.admissions, topics.observations):
        try:
            positions.partitions(topic)
        except KafkaError as error:
            msg = (
                f"there is no topic {topic} to publish to, or this user may not see it; `sepsis-monitor topics create` "
                f"makes it ({error})"
            )
            raise Failure(msg) from error


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield what is called with the count of observations sent; a bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda _sent: None
        return
    columns = (TextColumn("observations"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("replay", total=total)
        yield lambda sent: bar.update(task, completed=sent)


def _print_plan(stream: ReplayStream, *, as_json: bool) -> None:
    plan = {
        "stays": stream.n_stays,
        "patient_hours": stream.patient_hours,
        "observations": stream.n_observations,
        "duplicates": int(stream.repeat.sum()),
        "dropped": stream.n_dropped,
        "first_time": format_time(int(stream.start.min())),
        "last_time": format_time(int(stream.end.max())),
    }
    if as_json:
        click.echo(json.dumps(plan))
        return
    click.echo(
        f"would send {plan['observations']} observations ({plan['duplicates']} repeats, {plan['dropped']} held back) "
        f"of {plan['stays']} stays with {plan['patient_hours']} hours, from {plan['first_time']} to {plan['last_time']}"
    )


def _print_summary(summary: ReplaySummary, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary.as_json()))
        return
    rate = summary.observations_sent / summary.seconds if summary.seconds else 0.0
    click.echo(
        f"sent {summary.observations_sent} observations ({summary.duplicates} repeats, {summary.dropped} held back) of "
        f"{summary.stays} stays in {summary.seconds:.1f} s, {rate:.0f} a second"
    )


def _warn(line: str) -> None:
    click.echo(f"sepsis-monitor: {line}", err=True)
    sys.stderr.flush()
