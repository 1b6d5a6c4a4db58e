"""`tune`: thresholds for a stated burden, the whole trade-off, and a policy file with the figures it was chosen by."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from agents.policy import Policy, PolicyError, load_policy
from models.artifact import ArtifactError, load_model, model_folder
from models.cohort import Cohort, CohortError, read_cohort
from models.provenance import provenance
from models.resampling import Figure
from models.scoring import score_cohort
from models.split import split
from models.stay_model import StayModel
from monitor.alert_course import policy_for
from monitor.commands.evaluate import SEED, chosen_stays, spinner
from monitor.errors import Failure, failing_on
from monitor.evaluation import plain
from monitor.finite_range import FiniteRange
from monitor.invocation import Invocation, pass_invocation
from monitor.policy_file import policy_toml
from monitor.tables import print_table
from monitor.tuning import NothingFitsError, Point, Trial, Tuned, choosing_stays, false_a_day, tune

__all__ = ["command"]

_SHOWN = 14  # rows of the trade-off for people
_JUDGED = (
    ("septic_alerted", "septic stays alerted"),
    ("other_ever_alerted", "other stays ever alerted"),
    ("ppv_episode", "episodes that are right"),
    ("ppv_stay", "alerted stays that are septic"),
    ("episodes_per_patient_day", "episodes a patient-day"),
    ("lead_hours_median", "median lead, hours"),
)


def _some_text(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not text.strip():
        msg = "a policy needs one"
        raise click.BadParameter(msg)
    return text


@click.command(name="tune")
@click.argument("file", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--budget", type=FiniteRange(0, 24, min_open=True), default=0.5, show_default=True,
              help="False alert episodes a patient-day.")  # fmt: skip
@click.option("--headroom", type=FiniteRange(0, 1, max_open=True), default=0.0, show_default=True,
              help="Share of the budget that is left free, for days worse than the mean.")  # fmt: skip
@click.option("--floor", type=FiniteRange(0, 1, min_open=True), default=0.9, show_default=True,
              help="Share of the chosen sensitivity that is the floor.")  # fmt: skip
@click.option("--model", metavar="NAME|FOLDER", help="A shipped model, or the folder of one; default: model.name.")
@click.option("--stays", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Only these: an id a line.")
@click.option("--part", "parts", multiple=True, type=click.Choice(["validation", "calibration"]),
              help="Only the stays of this part of a shipped model's training file; may be repeated.")  # fmt: skip
@click.option("--name", callback=_some_text, default="tuned", show_default=True, help="The name of the policy.")
@click.option(
    "--policy-version", callback=_some_text, metavar="TEXT", help="The version of the policy; default: today's date."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the policy file here.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the trade-off as a PNG here.")
@click.option("--bootstrap", type=click.IntRange(min=0), default=200, show_default=True, help="Rounds of intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    file: Path,
    budget: float,
    headroom: float,
    floor: float,
    model: str | None,
    stays: Path | None,
    parts: tuple[str, ...],
    name: str,
    policy_version: str | None,
    out: Path | None,
    picture: Path | None,
    bootstrap: int,
    as_json: bool,
) -> None:
    """Find raise and resolve thresholds and a minimum duration for a number of false alert episodes a patient-day.

    DATA is a .parquet table in the columns of the PhysioNet/CinC Challenge 2019 with SepsisLabel, or a folder of .psv
    files. An episode is false when it is raised in a stay without sepsis, or is open at no hour from 12 before to 3
    after a septic stay's onset; what comes after those 3 hours is not counted. Half of the stays, by their ids, choose;
    the figures of the chosen policy are of the other half. What the policy says beside that is taken over from the one
    in force, and how a live budget measures and steps; its limits are found here.

    Example: sepsis-monitor tune stays.parquet --budget 0.5 --out icu.toml --picture icu.png
    """
    settings = invocation.settings()
    with failing_on(ArtifactError, CohortError, PolicyError, NothingFitsError):
        model_name = model or settings.model.name
        loaded = load_model(model_name)
        base = policy_for(loaded, settings.policy.file)
        whole = read_cohort(file)
        chosen = chosen_stays(whole, stays)
        if parts:
            of = split(whole).parts()
            chosen &= np.logical_or.reduce([of[part] for part in parts])
        cohort = whole.select(chosen)
        cohort.check_learnable()
        known = provenance(loaded.manifest, model_folder(model_name), whole, chosen)
        if known.warning:
            click.echo(f"sepsis-monitor: {known.warning}", err=True)
        chooses = choosing_stays(cohort)
        with spinner() as say:
            say("scoring")
            choosing, judging = (_trial(loaded, base, cohort.select(part)) for part in (chooses, ~chooses))
            tuned = tune(choosing, budget, floor_share=floor, headroom=headroom, say=say)
            figures = judging.figures(tuned.policy, bootstrap, SEED)
            at_highest = judging.figures(judging.policy(tuned.rule, tuned.highest_threshold), bootstrap, SEED)
    bears = {"false_episodes_per_patient_day": budget, "headroom": headroom}
    report = _report(tuned, figures, budget=bears, trials=(choosing, judging), model=loaded, file=file)
    report["floor"]["judged"] = at_highest["septic_alerted"]
    asked = [*(f"--part {part}" for part in parts), *([f"--stays {stays.name}"] if stays else [])]
    asked += [f"--model {model_name}", f"--budget {budget:g}"]
    asked += [*([f"--headroom {headroom:g}"] if headroom else []), f"--floor {floor:g}"]
    report |= {"command": " ".join(["sepsis-monitor tune", file.name, *asked]), "provenance": known.counts()}
    if picture:
        from monitor.tuning_picture import draw_tuning  # noqa: PLC0415  (matplotlib)

        with failing_on(OSError, what="the picture cannot be written"):
            draw_tuning(tuned, budget, picture)
    if out:
        with failing_on(OSError, what="the policy cannot be written"):
            text = _file_of(tuned.policy, (name, policy_version or report["date"]), loaded, report)
            out.write_text(text, encoding="utf-8")
        with failing_on(PolicyError):
            load_policy(out)  # as a worker will
    if as_json:
        click.echo(json.dumps(plain(report), allow_nan=False))
    else:
        _print(tuned, figures, report)


def _trial(model: StayModel, base: Policy, cohort: Cohort) -> Trial:
    septic = int(cohort.septic.sum()) if cohort.n_stays else 0
    if not septic or septic == cohort.n_stays:
        msg = "each half of the stays needs septic ones and others, and one has not; give more stays"
        raise Failure(msg)
    return Trial(cohort, score_cohort(model, cohort), base)


def _report(
    tuned: Tuned,
    figures: dict[str, Figure],
    *,
    budget: dict[str, float],
    trials: tuple[Trial, Trial],
    model: StayModel,
    file: Path,
) -> dict[str, Any]:
    """Return everything as one object."""
    counts = [{"stays": each.cohort.n_stays, "septic_stays": int(each.cohort.septic.sum())} for each in trials]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "budget": budget,
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
        "data": {"file": file.name, "choosing": counts[0], "judging": counts[1]},
        "policy": {
            **{"raise_threshold": tuned.policy.raise_threshold, "resolve_threshold": tuned.policy.resolve_threshold},
            "raise_minutes": tuned.policy.raise_minutes,
        },
        "floor": {"sensitivity": tuned.least_sensitivity, "highest_threshold": tuned.highest_threshold},
        "lowest_threshold": tuned.lowest_threshold,
        "judged": {"false_episodes_per_patient_day": false_a_day(figures), **figures},
        "chosen": msgspec.to_builtins(tuned.chosen),
        "by_rule": msgspec.to_builtins(tuned.by_rule),
        "curve": msgspec.to_builtins(tuned.curve),
    }


def _file_of(policy: Policy, called: tuple[str, str], model: StayModel, report: dict[str, Any]) -> str:
    name, version = called
    named = msgspec.structs.replace(policy, name=name, version=version, model=f"{model.name} {model.version}")
    return policy_toml(named, _chosen_by(report))


def _chosen_by(report: dict[str, Any]) -> str:
    """Return what the policy was chosen by, in words and figures."""
    data, judged, floor = report["data"], report["judged"], report["floor"]
    budget, headroom = report["budget"]["false_episodes_per_patient_day"], report["budget"]["headroom"]
    free = f", {headroom:.0%} of them left free for days above the mean," if headroom else ","
    return (
        f"{report['command']}, {report['date']}: for {budget:g} false alert episodes a patient-day{free} on "
        f"{data['choosing']['stays']} stays ({data['choosing']['septic_stays']} septic) of {data['file']}, by the "
        f"model with the digest {report['model']['digest']}. On {data['judging']['stays']} other stays of it "
        f"({data['judging']['septic_stays']} septic), which did not choose: "
        f"{judged['false_episodes_per_patient_day']:.2f} false and {judged['episodes_per_patient_day'].value:.2f} "
        f"episodes a patient-day in all, {judged['septic_alerted'].value:.0%} of the septic and "
        f"{judged['other_ever_alerted'].value:.0%} of the other stays ever alerted, "
        f"{judged['ppv_episode'].value:.0%} of the episodes right, a median lead of "
        f"{judged['lead_hours_median'].value:g} h. The floor of sensitivity is {floor['sensitivity']:.0%}: "
        f"raise thresholds above {floor['highest_threshold']:.6f} fall below it on the stays that chose, and the live "
        f"budget goes no higher; there it is {floor['judged'].value:.0%} on the others. "
        f"Nor does it go below {report['lowest_threshold']:.6f}, where it would be twice the budget, or falls again."
    )


def _print(tuned: Tuned, figures: dict[str, Figure], report: dict[str, Any]) -> None:
    data, policy = report["data"], tuned.policy
    counts = data["choosing"]
    click.echo(f"The trade-off on the {counts['stays']} stays that chose ({counts['septic_stays']} septic):\n")
    at = np.linspace(0, len(tuned.curve) - 1, min(_SHOWN, len(tuned.curve))).round().astype(int).tolist()
    at = sorted({*at, tuned.curve.index(tuned.chosen)}, reverse=True)
    headings = ("", "raise at", "false/day", "septic alerted", "episodes right", "median lead", "others ever alerted")
    print_table(headings, [_row(tuned.curve[each], tuned.chosen) for each in at])
    click.echo(
        f"\nChosen: raise at {policy.raise_threshold:.6f} held for {policy.raise_minutes:g} minutes, resolve below "
        f"{policy.resolve_threshold:.6f}.\nRaise thresholds above {tuned.highest_threshold:.6f} fall below the floor "
        f"of sensitivity, {tuned.least_sensitivity:.0%} on these stays.\nA live budget may move it from "
        f"{tuned.lowest_threshold:.6f} to {tuned.highest_threshold:.6f}.\n"
    )
    counts = data["judging"]
    click.echo(f"On the {counts['stays']} stays that did not choose ({counts['septic_stays']} septic):\n")
    false = report["judged"]["false_episodes_per_patient_day"]
    rows = [("false episodes a patient-day", f"{false:.2f}", "")]
    rows += [(title, *_figure(figures[name], title)) for name, title in _JUDGED]
    highest = f"septic stays alerted, at {tuned.highest_threshold:.6f}"
    rows.append((highest, *_figure(report["floor"]["judged"], highest)))
    print_table(("", "", "95 % interval"), rows)


def _row(point: Point, chosen: Point) -> tuple[str, ...]:
    lead = "-" if math.isnan(point.lead_hours_median) else f"{point.lead_hours_median:g} h"
    return (
        "chosen" if point is chosen else "",
        f"{point.raise_threshold:.4f}",
        f"{point.false_per_patient_day:.2f}",
        f"{point.sensitivity:.0%}",
        f"{point.ppv_episode:.0%}" if math.isfinite(point.ppv_episode) else "-",
        lead,
        f"{point.other_ever_alerted:.0%}",
    )


def _figure(figure: Figure, title: str) -> tuple[str, str]:
    form = "{:.1f}" if "hours" in title else "{:.2f}" if "patient-day" in title else "{:.0%}"
    known = figure.low is not None and figure.high is not None
    return form.format(figure.value), f"{form.format(figure.low)} to {form.format(figure.high)}" if known else ""
