"""The law: within the limits, by at most a step, not at all without reason, and the more the more was borne."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.policy import Budget
from monitor.budget.law import Measured, next_threshold

BUDGET = Budget(0.5, 0.01, 0.04)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Budget, float, Measured]:
    """Return a budget, a threshold within its limits, and what was measured."""
    lowest = draw(st.floats(0.0001, 0.5))
    highest = draw(st.floats(lowest, 0.9))
    budget = Budget(
        draw(st.floats(0.01, 5.0)),
        lowest,
        highest,
        least_patient_days=draw(st.floats(0.1, 50.0)),
        tolerance=draw(st.floats(0.0, 1.0)),
        step=draw(st.floats(0.001, 1.0)),
    )
    days = draw(st.one_of(st.just(0.0), st.floats(0.01, 500.0)))
    return budget, draw(st.floats(lowest, highest)), Measured(draw(st.integers(0, 400)), days)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_a_threshold_stays_within_its_limits_and_moves_by_a_step_at_most(case: tuple[Budget, float, Measured]) -> None:
    budget, threshold, measured = case
    after = next_threshold(budget, threshold, measured)
    assert budget.lowest_threshold <= after <= budget.highest_threshold
    most = (1 + budget.step) * (1 + 1e-12)
    assert threshold / most <= after <= threshold * most
    assert after == next_threshold(budget, threshold, measured)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_nothing_moves_without_a_reason_and_never_the_wrong_way(case: tuple[Budget, float, Measured]) -> None:
    budget, threshold, measured = case
    after = next_threshold(budget, threshold, measured)
    allowed = budget.false_episodes_per_patient_day
    enough = measured.patient_days >= budget.least_patient_days
    if measured.burden is None or not enough or abs(measured.burden - allowed) <= budget.tolerance * allowed:
        assert after == threshold
    elif measured.burden > allowed:
        assert after >= threshold
    else:
        assert after <= threshold


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(0, 50))
def test_more_false_alerts_never_lead_to_a_lower_threshold(case: tuple[Budget, float, Measured], more: int) -> None:
    budget, threshold, measured = case
    worse = Measured(measured.episodes + more, measured.patient_days)
    assert next_threshold(budget, threshold, worse) >= next_threshold(budget, threshold, measured)


@settings(max_examples=200, deadline=None)
@given(
    power=st.floats(0.3, 3.5),
    start=st.floats(0.01, 0.04),
    at_budget=st.floats(0.012, 0.033),
    step=st.floats(0.02, 0.5),
)
def test_where_the_burden_falls_with_the_threshold_the_budget_is_reached_and_kept(
    power: float, start: float, at_budget: float, step: float
) -> None:
    budget = Budget(0.5, 0.01, 0.04, step=step)
    threshold, days = start, 1000.0
    for _ in range(200):
        burden = 0.5 * (at_budget / threshold) ** power
        after = next_threshold(budget, threshold, Measured(round(burden * days), days))
        if after == threshold:
            break
        assert abs(math.log(after / at_budget)) <= abs(math.log(threshold / at_budget)) + 1e-3  # never swings away
        threshold = after
    burden = 0.5 * (at_budget / threshold) ** power
    assert abs(burden - 0.5) <= 0.2 * 0.5 + 0.001 or threshold in {0.01, 0.04}


def test_what_chance_gives_moves_nothing() -> None:
    few = Measured(10, 12.0)  # 6 are to be expected, and their root is 2.4
    assert next_threshold(BUDGET, 0.02, few) == 0.02
    assert next_threshold(BUDGET, 0.02, Measured(11, 12.0)) == 0.022


def test_the_step_is_proportionate_where_the_deviation_is_small() -> None:
    fine = Budget(0.5, 0.01, 0.04, tolerance=0.05)
    assert next_threshold(fine, 0.02, Measured(550, 1000.0)) == math.floor(0.02 * math.sqrt(1.1) * 1e6) / 1e6
    assert next_threshold(fine, 0.02, Measured(2000, 1000.0)) == 0.022
    assert next_threshold(fine, 0.02, Measured(0, 1000.0)) == math.ceil(0.02 / 1.1 * 1e6) / 1e6


def test_a_limit_holds_it() -> None:
    assert next_threshold(BUDGET, 0.039, Measured(100, 50.0)) == 0.04
    assert next_threshold(BUDGET, 0.04, Measured(100, 50.0)) == 0.04
    assert next_threshold(BUDGET, 0.0101, Measured(0, 50.0)) == 0.01
