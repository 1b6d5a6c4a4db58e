"""The rehearsal: the same every time, within the limits, and on its way to the budget."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from agents.policy import SHIPPED_POLICY, Budget, Policy, load_policy
from models.artifact import load_model
from models.cohort import read_cohort
from models.scoring import score_cohort
from monitor.budget.rehearsal import Day, rehearse
from monitor.budget.rehearsal_page import command
from tests.monitor.test_tuning import BASE, TRIALS

POLICY = msgspec.structs.replace(
    BASE, raise_threshold=0.2, resolve_threshold=0.15, budget=Budget(1.0, 0.1, 0.7, least_patient_days=1.0, step=0.2)
)


def rehearsed(policy: Policy = POLICY, seed: int = 1) -> list[Day]:
    return rehearse(TRIALS[0].cohort, TRIALS[0].scored, policy, beds=3, seed=seed)


def test_the_threshold_goes_from_window_to_window_within_its_limits() -> None:
    days = rehearsed()
    assert days == rehearsed()
    assert days != rehearsed(seed=2)
    thresholds = [day.threshold for day in days]
    assert all(0.1 <= threshold <= 0.7 for threshold in thresholds)
    assert sum(day.moves for day in days) <= len(days)
    assert all(day.measured.patient_days == pytest.approx(3.0) for day in days)
    assert max(thresholds) > 0.2  # these stays alert all the time


def test_without_a_budget_nothing_moves() -> None:
    days = rehearsed(msgspec.structs.replace(POLICY, budget=None))
    assert {(day.threshold, day.moves) for day in days} == {(0.2, 0)}
    assert sum(day.measured.episodes for day in days) > 0


def test_people_are_told_on_how_many_days_the_budget_was_kept() -> None:
    data = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"
    file = str(resources.files("agents").joinpath("policies", f"{SHIPPED_POLICY}.toml"))
    result = CliRunner().invoke(command, [str(data), "--policy", file, "--beds", "10"], catch_exceptions=False)
    cohort, policy = read_cohort(data), load_policy()
    scored = score_cohort(load_model("bedside"), cohort)
    without = msgspec.structs.replace(policy, budget=None)
    shares = []
    for each in (policy, without):
        days = rehearse(cohort, scored, each, beds=10, seed=1)
        shares.append(sum(day.measured.episodes <= 0.5 * day.measured.patient_days for day in days) / len(days))
    assert result.stdout.splitlines()[-1].endswith(f"within 0.5 on {shares[0]:.0%} and {shares[1]:.0%} of them.")
