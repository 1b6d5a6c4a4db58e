"""`bench`: what this machine can do, for whoever has to size a deployment."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import click
import numpy as np

from agents.policy import PolicyError, load_policy
from agents.record import RecordLayout
from models.artifact import ArtifactError, load_model
from models.cohort import Cohort, CohortError, read_cohort
from monitor.bench.core_cost import core_cost
from monitor.bench.grounds import Grounds
from monitor.bench.latency import eager_policy, measure_latency
from monitor.bench.load import Load
from monitor.bench.report import Report
from monitor.bench.throughput import measure_baseline, measure_workers
from monitor.brokers import open_broker
from monitor.errors import Failure, failing_on
from monitor.finite_range import FiniteRange
from monitor.invocation import Invocation, pass_invocation
from monitor.settings import Settings
from monitor.signals import stop_requested
from monitor.tables import print_table
from monitor.version import VERSION

__all__ = ["command"]

_CORE_EVENTS = 60_000
_LEAST_SAMPLES = 6


@dataclass(frozen=True)
class _Asked:
    patients: Sequence[int]
    workers: Sequence[int]
    events: int
    every: float
    rates: Sequence[float]
    seconds: float
    baseline: bool


@click.command(name="bench")
@click.option("--patients", type=click.IntRange(min=1), multiple=True, default=(1_000, 20_000), show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), multiple=True, default=(1,), show_default=True)
@click.option("--events", type=click.IntRange(min=1), default=200_000, show_default=True, help="Of each run, about.")
@click.option(
    "--every",
    type=FiniteRange(min=0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="From one sample of a patient to the next, by the clock of the events.",
)
@click.option(
    "--rate",
    type=FiniteRange(min=0),
    multiple=True,
    default=(500.0,),
    show_default=True,
    metavar="N",
    help="Observations a second of a paced run; 0: none.",
)
@click.option("--seconds", type=FiniteRange(min=1), default=30.0, show_default=True, help="Of a paced run.")
@click.option("--baseline", is_flag=True, help="Run a plain loop of the same work beside each (needs confluent-kafka).")
@click.option("--engine", type=click.Choice(["embedded", "kafka"]), help="Which local broker (broker.engine).")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Stays to take values from.")
@click.option("--model", metavar="NAME", help="A shipped artefact, or a folder (model.name).")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw throughput against patients, and latency against load.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    patients: tuple[int, ...],
    workers: tuple[int, ...],
    events: int,
    every: float,
    rate: tuple[float, ...],
    seconds: float,
    baseline: bool,
    engine: str | None,
    data: Path | None,
    model: str | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Measure throughput, CPU, memory, recovery and latency on made-up patients with the values of real stays.

    For each number of patients and of workers a backlog is worked off from the first record to the last; then a worker
    is killed with SIGKILL and started again. Then observations come at a steady pace. Everything happens on topics of
    its own, on the configured cluster or else on a local broker that is started for it. Compare ratios, not figures,
    unless the machine had nothing else to do.

    Example: sepsis-monitor bench --engine kafka --baseline --patients 1000 --workers 1 --workers 2
    """
    if baseline and find_spec("confluent_kafka") is None:
        msg = "the plain loop of --baseline needs confluent-kafka: pip install confluent-kafka"
        raise Failure(msg)
    if picture is not None:
        from monitor.bench.picture import draw_bench  # noqa: PLC0415  (matplotlib, which may be missing: now, not later)
    settings = invocation.settings({"broker.engine": engine, "model.name": model})
    asked = _Asked(patients, workers, events, every, rate, seconds, baseline)
    with failing_on(CohortError):
        cohort = read_cohort(data) if data else _shipped()
    say = _silent if as_json or not sys.stderr.isatty() else _line
    with stop_requested() as stop:
        report = _measure(settings, cohort, asked, stop, say)
    if picture is not None:
        draw_bench(report.as_json(), picture)
    if as_json:
        click.echo(json.dumps(report.as_json()))
        return
    for title, heads, rows in report.tables():
        click.echo(f"\n{title}")
        print_table(heads, rows)


def _measure(
    settings: Settings, cohort: Cohort, asked: _Asked, stop: threading.Event, say: Callable[[str], None]
) -> Report:
    with failing_on(ArtifactError):
        model = load_model(settings.model.name)
    with failing_on(PolicyError):
        policy = load_policy(settings.policy.file)
    report = Report(_where(settings), RecordLayout(model).record_bytes)
    for patients in asked.patients:
        say(f"the decisions alone, {patients:,} patients")
        samples = max(_LEAST_SAMPLES, _CORE_EVENTS // patients)
        report.cores.append(core_cost(model, policy, Load(cohort, patients, samples, asked.every)))
    with open_broker(settings, fresh=True) as bootstrap, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for patients in asked.patients:
            load = Load(cohort, patients, max(2, round(asked.events / patients)), asked.every)
            for workers in asked.workers:
                grounds = Grounds.new(settings, bootstrap)
                done = measure_workers(
                    grounds, load, workers, recovers=workers == min(asked.workers), stop=stop, progress=say
                )
                plain = None
                if asked.baseline and workers == 1:
                    say("the plain loop at work on the same")
                    plain = measure_baseline(grounds, load, stop)
                report.add(done, plain)
        load = Load(cohort, min(asked.patients), 1, asked.every)
        for rate, plain_loop in product(filter(None, asked.rates), (False, True)[: 1 + asked.baseline]):
            say(f"{rate:g} observations a second, for {asked.seconds:g} s")
            paced = Grounds.new(settings, bootstrap, eager_policy(Path(folder), settings.model.name))
            report.latencies.append(measure_latency(paced, load, rate, asked.seconds, stop, plain=plain_loop))
    return report


def _where(settings: Settings) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "version": VERSION,
        "machine": f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} processors",
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "broker": "configured cluster" if settings.kafka.bootstrap_servers else settings.broker.engine,
        "model": settings.model.name,
        "partitions": settings.topics.partitions,
    }


def _shipped() -> Cohort:
    with resources.as_file(resources.files("monitor").joinpath("data", "demo-stays.parquet")) as file:
        return read_cohort(file)


def _line(text: str) -> None:
    click.echo(text, err=True)


def _silent(_text: str) -> None:
    pass
