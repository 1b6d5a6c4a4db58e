"""`demo`: everything at once, on this machine."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path

import click

from agents.policy import PolicyError, load_policy, mismatch
from models.artifact import ArtifactError, load_model
from models.cohort import Cohort, CohortError, read_cohort
from monitor.demo import DemoOptions, run_demo
from monitor.demo_result import DemoResult, summary_rows
from monitor.demo_show import LiveShow, PlainShow, SilentShow
from monitor.errors import Failure, failing_on
from monitor.finite_range import FiniteRange
from monitor.invocation import Invocation, pass_invocation
from monitor.replay import ReplayOptions
from monitor.signals import stop_requested
from monitor.tables import print_table

__all__ = ["command"]

_DEMO_SECONDS = 150.0  # how long the view lasts when no speed is asked for
_ALERTS_FILE = Path("demo-alerts.jsonl")


@click.command(name="demo")
@click.option("--once", is_flag=True, help="Replay as fast as it goes, without a view.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print the result as one JSON object.")
@click.option("--engine", type=click.Choice(["embedded", "kafka"]), help="Which local broker (broker.engine).")
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--speed",
    type=FiniteRange(min=0),
    metavar="N",
    help="Patient-hours a second, 0 as fast as it goes; else such that the view lasts two and a half minutes.",
)
@click.option("--stays", type=click.IntRange(min=1), metavar="N", help="Only N of the stays, drawn by the seed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random.")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Replay these stays (.parquet or a folder of .psv) instead of the shipped ones.",
)
@click.option(
    "--alerts-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Write the alert events to this file, one JSON object a line; with --once, {_ALERTS_FILE} by default.",
)
@click.option("--model", metavar="NAME", help="A shipped artefact, or a folder (model.name).")
@click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Alert policy file.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    once: bool,
    as_json: bool,
    engine: str | None,
    workers: int,
    speed: float | None,
    stays: int | None,
    seed: int,
    data: Path | None,
    alerts_file: Path | None,
    model: str | None,
    policy: Path | None,
) -> None:
    """Show the monitor at work: a broker, workers, and recorded stays of real patients, replayed.

    The stays are those of patients that the shipped model has not been trained on; septic ones are more frequent among
    them than on a ward. What their records say of sepsis is shown when a stay has ended. All of it runs here, apart
    from any configured cluster, and leaves nothing behind but the file of alerts. Ctrl-C and SIGTERM end it cleanly,
    with exit code 0.

    Example: sepsis-monitor demo --once --json --stays 20
    """
    if as_json and not once:
        msg = "--json goes with --once"
        raise click.UsageError(msg)
    live = sys.stdout.isatty() and not once
    # A log line would tear the live view; what ends the demo is told by the Failure.
    level = invocation.overrides.get("log.level") or ("error" if live else "warning")
    overrides = {"log.level": level, "broker.engine": engine, "model.name": model, "policy.file": policy}
    settings = invocation.settings(overrides)
    with failing_on(ArtifactError, PolicyError):
        rules = load_policy(settings.policy.file)
        foreign = mismatch(rules, load_model(settings.model.name))
    if foreign is not None:
        click.echo(f"sepsis-monitor: {foreign}", err=True)
    cohort = _stays(data)
    show: SilentShow
    if once:
        speed, alerts_file, show = speed or 0.0, alerts_file or _ALERTS_FILE, SilentShow()
    else:
        speed = _default_speed(cohort, stays) if speed is None else speed
        show = LiveShow(rules.raise_threshold) if live else PlainShow()
    options = DemoOptions(ReplayOptions(stays=stays, seed=seed), workers, speed, alerts_file)
    with stop_requested() as stop:
        with show:
            result = run_demo(settings, cohort, options, show, stop)
        _print_result(result, as_json=as_json)


def _stays(data: Path | None) -> Cohort:
    with failing_on(CohortError):
        if data is not None:
            return read_cohort(data)
        with resources.as_file(resources.files("monitor").joinpath("data", "demo-stays.parquet")) as file:
            if not file.exists():
                msg = "the shipped stays are missing from this installation; name others with --data"
                raise Failure(msg)
            return read_cohort(file)


def _default_speed(cohort: Cohort, stays: int | None) -> float:
    share = 1.0 if stays is None else min(1.0, stays / cohort.n_stays)
    return cohort.n_rows * share / _DEMO_SECONDS


def _print_result(result: DemoResult | None, *, as_json: bool) -> None:
    if result is None:
        click.echo("stopped before the end; workers and broker have ended cleanly", err=True)
    elif as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        print_table(("demo", ""), summary_rows(result))
    for line in result.disagreements if result is not None else ():
        click.echo(f"sepsis-monitor: {line}", err=True)
