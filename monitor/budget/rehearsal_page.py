"""Shows the live budget on a ward of real stays: `python -m monitor.budget.rehearsal_page DATA --policy FILE`.

Prints the table that docs/policies.md has, and draws its picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import numpy as np

from agents.policy import Budget, Policy, load_policy
from models.artifact import load_model
from models.cohort import read_cohort
from models.scoring import score_cohort
from models.split import split
from monitor.budget.law import Measured
from monitor.budget.rehearsal import Day, rehearse
from monitor.finite_range import FiniteRange

__all__ = ["command"]

_SIZE, _DPI = (10.4, 3.6), 100
_WEEK = 7
_SHOWN = 4  # weeks at the beginning, and the last


@click.command()
@click.argument("file", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--policy", "policy_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--start", type=FiniteRange(0, 1, min_open=True, max_open=True),
              help="The raise threshold of the first day; else the policy's.")  # fmt: skip
@click.option("--part", "parts", multiple=True, type=click.Choice(["validation", "calibration"]), help="Which stays.")
@click.option("--model", default="bedside", show_default=True)
@click.option("--beds", type=click.IntRange(1), default=40, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the days as a PNG here.")
def command(
    *,
    file: Path,
    policy_file: Path,
    start: float | None,
    parts: tuple[str, ...],
    model: str,
    beds: int,
    seed: int,
    picture: Path | None,
) -> None:
    """Let a ward's stays come one after the other into its beds, with the live budget and without."""
    policy = load_policy(policy_file)
    if start is not None:
        policy = msgspec.structs.replace(
            policy, raise_threshold=start, resolve_threshold=start * policy.resolve_threshold / policy.raise_threshold
        )
    whole = read_cohort(file)
    of = split(whole).parts()
    cohort = whole.select(np.logical_or.reduce([of[part] for part in parts])) if parts else whole
    scored = score_cohort(load_model(model), cohort)
    without = msgspec.structs.replace(policy, budget=None)
    days, fixed = (rehearse(cohort, scored, each, beds=beds, seed=seed) for each in (policy, without))
    click.echo(f"{beds} beds, {len(days)} days, {cohort.n_stays} stays ({int(cohort.septic.sum())} septic)\n")
    click.echo(_table(days, fixed))
    click.echo(_summary(days, fixed, policy))
    if picture is not None and policy.budget is not None:
        _draw(days, fixed, policy, policy.budget, picture)


def _table(days: Sequence[Day], fixed: Sequence[Day]) -> str:
    rows = []
    for begin in range(0, len(days) - _WEEK + 1, _WEEK):
        week, other = days[begin : begin + _WEEK], fixed[begin : begin + _WEEK]
        if begin // _WEEK < _SHOWN or begin + 2 * _WEEK > len(days):
            cells = (
                f"{begin // _WEEK + 1}",
                _range(week),
                f"{sum(day.moves for day in week)}",
                _burden(week),
                _burden(other),
            )
            rows.append("| " + " | ".join(cells) + " |")
    head = "| week | raise at | moves | false a patient-day | with the first threshold |\n|---|---|---|---|---|"
    return "\n".join([head, *rows])


def _summary(days: Sequence[Day], fixed: Sequence[Day], policy: Policy) -> str:
    """Return what all days come to, with the live budget and without."""
    mean = f"\nAll days: {_burden(days)} false a patient-day, {_burden(fixed)} with the first threshold"
    if policy.budget is None:
        return mean
    allowed = policy.budget.false_episodes_per_patient_day
    within = [sum((day.measured.burden or 0.0) <= allowed for day in some) / len(some) for some in (days, fixed)]
    return f"{mean}; within {allowed:g} on {within[0]:.0%} and {within[1]:.0%} of them."


def _range(days: Sequence[Day]) -> str:
    at = [day.threshold for day in days]
    return f"{min(at):.4f} to {max(at):.4f}"


def _burden(days: Sequence[Day]) -> str:
    return f"{_mean(days):.2f}"


def _mean(days: Sequence[Day]) -> float:
    measured = [day.measured for day in days]
    return Measured(sum(each.episodes for each in measured), sum(each.patient_days for each in measured)).burden or 0.0


def _draw(days: Sequence[Day], fixed: Sequence[Day], policy: Policy, budget: Budget, file: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (only where a picture is wanted)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for some, colour, name in ((fixed, "#b45f06", "without"), (days, "#0b5394", "with the live budget")):
        weeks = [_mean(some[max(0, at - _WEEK + 1) : at + 1]) for at in range(len(some))]
        left.plot(weeks, color=colour, label=name)
        right.step(range(len(some)), [day.threshold for day in some], color=colour)
    allowed = budget.false_episodes_per_patient_day
    left.axhspan(allowed * (1 - budget.tolerance), allowed * (1 + budget.tolerance), color="#777777", alpha=0.2)
    left.set_ylabel("false a patient-day, over 7 days")
    right.set_ylabel("raise threshold")
    for limit in (budget.lowest_threshold, budget.highest_threshold):
        right.axhline(limit, color="#777777", linestyle=":")
    for axes in (left, right):
        axes.set_xlabel("day")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize="small")
    figure.suptitle(
        f"{policy.name} {policy.version}: budget {allowed:g} (grey: its tolerance; dotted: limits)", fontsize="medium"
    )
    figure.savefig(file, dpi=_DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    command()
