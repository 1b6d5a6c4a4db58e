"""The rehearsal: the same every time, within the limits, and on its way to the budget."""

from __future__ import annotations

import msgspec
import pytest

from agents.policy import Budget, Policy
from monitor.budget.rehearsal import Day, rehearse
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
