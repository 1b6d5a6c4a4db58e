"""`score`: the risk of every hour in a file, by the code that scores the stream."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents.policy import Policy, PolicyError, load_policy, mismatch
from models.artifact import ArtifactError, load_model
from models.cohort import Cohort, CohortError, read_cohort
from models.doubt import REASONS
from models.scoring import Scored, score_cohort
from models.stay_model import HIDEABLE, StayModel
from models.vital_signs import NAMES
from monitor.alert_course import alert_course
from monitor.errors import Failure, failing_on
from monitor.invocation import Invocation, pass_invocation
from monitor.names import Names

__all__ = ["command"]


@dataclass(frozen=True)
class _Result:
    """What came of a file: the table to write, and how often an alert was raised."""

    table: pl.DataFrame
    episodes: int


@click.command(name="score")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Parquet file to write.")
@click.option("--model", metavar="NAME|FOLDER", help="A shipped model, or the folder of one; default: model.name.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy file of the alerts; default: policy.file.")
@click.option("--vitals", type=Names(NAMES), help="The model sees only these vital signs, with commas between.")
@click.option("--hide", type=Names(tuple(sorted(HIDEABLE))), help="Hide these details of a stay, commas between.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    file: Path,
    out: Path,
    model: str | None,
    policy: Path | None,
    vitals: frozenset[str] | None,
    hide: frozenset[str] | None,
    as_json: bool,
) -> None:
    """Write the risk of every row of FILE, from that row and those before it in its stay.

    FILE is a .parquet table in the columns of the PhysioNet/CinC Challenge 2019, or a folder of its .psv files. The
    output has a row for each of its rows, in the same order: patient_id, row (from 0 within the stay), risk, flag (1
    where the risk reaches the model's utility threshold; it scores a model and must never page a person), assessable
    (there is no doubt about it), doubt and doubt_vital_sign (why there is, and what to measure; null where there is
    none), alerting (whether the policy's alert is open after the row).

    Example: sepsis-monitor score stays.parquet --out risks.parquet --vitals heart_rate,temperature,respiratory_rate
    """
    settings = invocation.settings()
    with failing_on(ArtifactError, CohortError, PolicyError):
        loaded = load_model(model or settings.model.name)
        rules = load_policy(policy or settings.policy.file)
        cohort = read_cohort(file)
    foreign = mismatch(rules, loaded)
    if foreign is not None:
        click.echo(f"sepsis-monitor: {foreign}", err=True)
    began = time.monotonic()
    with _progress(cohort.n_rows, shown=not as_json) as progress:
        scored = score_cohort(loaded, cohort, progress, vitals=vitals, hide=hide or frozenset())
    result = _result(cohort, scored, loaded, rules)
    _write(result.table, out)
    _report(result, cohort, loaded, rules, out=out, seconds=time.monotonic() - began, as_json=as_json)


def _result(cohort: Cohort, scored: Scored, model: StayModel, policy: Policy) -> _Result:
    row = np.arange(cohort.n_rows) - np.repeat(cohort.offsets[:-1], cohort.lengths)
    course = alert_course(cohort, scored, policy)
    table = pl.DataFrame(
        {
            "patient_id": pl.Series(cohort.patient_ids, dtype=pl.String).gather(cohort.stay_of_row),
            "row": row.astype(np.int32),
            "risk": scored.risk,
            "flag": (scored.risk >= model.utility_threshold).astype(np.int8),
            "assessable": scored.assessable,
            "doubt": _named(scored.doubt.reason.astype(np.int64) - 1, REASONS[1:]),
            "doubt_vital_sign": _named(scored.doubt.sign.astype(np.int64), NAMES),
            "alerting": course.is_open,
        }
    )
    return _Result(table, int(course.raised.sum()))


def _named(code: NDArray[np.int64], names: tuple[str, ...]) -> pl.Series:
    """Return the names that codes (R) stand for, null for one below 0."""
    return pl.Series(names, dtype=pl.String).gather(pl.Series(code).replace({-1: None}))


def _write(table: pl.DataFrame, out: Path) -> None:
    try:
        table.write_parquet(out, compression="zstd")
    except (OSError, pl.exceptions.PolarsError) as error:
        msg = f"{out} cannot be written: {error}"
        raise Failure(msg) from error


def _report(
    result: _Result,
    cohort: Cohort,
    model: StayModel,
    policy: Policy,
    *,
    out: Path,
    seconds: float,
    as_json: bool,
) -> None:
    table = result.table
    assessable = int(table["assessable"].sum())
    summary = {
        "stays": cohort.n_stays,
        "rows": cohort.n_rows,
        "flagged_rows": int(table["flag"].sum()),
        "assessable_rows": assessable,
        "alerting_rows": int(table["alerting"].sum()),
        "alert_episodes": result.episodes,
        "seconds": round(seconds, 3),
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
        "policy": {"name": policy.name, "version": policy.version, "digest": policy.digest},
        "out": str(out),
    }
    if as_json:
        click.echo(json.dumps(summary))
        return
    click.echo(
        f"{cohort.n_rows} hours of {cohort.n_stays} stays in {seconds:.1f} s, written to {out}: "
        f"{summary['flagged_rows']} flagged, {result.episodes} alerts, "
        f"{cohort.n_rows - assessable} that cannot be assessed"
    )


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[int], None] | None]:
    """Yield what is called with the count of rows scored; a bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield None
        return
    columns = (TextColumn("hours"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("score", total=total)
        yield lambda rows: bar.advance(task, rows)
