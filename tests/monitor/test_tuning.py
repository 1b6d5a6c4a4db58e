"""Tuning: the budget is kept where it chooses, a greater one gives no higher threshold; files are read back."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.policy import Budget, Policy, load_policy
from models.doubt import Doubts
from models.scoring import Scored
from monitor.policy_file import policy_toml
from monitor.tuning import RULES, NothingFitsError, Rule, Trial, choosing_stays, false_a_day, tune
from tests.models.stays import made_up_cohort

BASE = Policy("test", "1", "sha256:0", 0.5, 0.3, model="m 1", escalate_threshold=0.5)
RULE = Rule(0.8, 0.0)
BUDGETS = st.floats(0.05, 6.0)


def trial(seed: int) -> Trial:
    """Return made-up stays with risks at random, higher where the label says sepsis."""
    cohort, rng = made_up_cohort(seed), np.random.default_rng(seed)
    n = cohort.n_rows
    risk = np.round(np.clip(rng.random(n) * 0.5 + 0.3 * (cohort.known_labels > 0), 0.001, 0.999), 6)
    assessable = rng.random(n) < 0.9
    doubt = Doubts((~assessable).astype(np.uint8), np.full(n, -1, dtype=np.int8))
    return Trial(cohort, Scored(np.zeros(n), risk, assessable, rng.random(n) < 0.9, doubt), BASE)


TRIALS = [trial(seed) for seed in range(3)]


@settings(max_examples=25, deadline=None)
@given(tried=st.sampled_from(TRIALS), rule=st.sampled_from(RULES), one=BUDGETS, other=BUDGETS)
def test_a_greater_budget_never_gives_a_higher_threshold(tried: Trial, rule: Rule, one: float, other: float) -> None:
    small, great = (tried.within(rule, budget) for budget in sorted((one, other)))
    for point, budget in zip((small, great), sorted((one, other)), strict=True):
        assert point is None or point.false_per_patient_day <= budget
    if small is not None:
        assert great is not None
        assert great.raise_threshold <= small.raise_threshold


def test_the_chosen_rule_gains_most_and_the_floor_lies_above_it() -> None:
    tried = TRIALS[0]
    found = tune(tried, 1.0, floor_share=0.8)
    assert found.chosen in found.curve
    assert found.chosen.gain == max(point.gain for point in found.by_rule)
    assert found.policy.raise_threshold <= found.highest_threshold
    at_most = tried.at(found.rule, found.highest_threshold)
    assert at_most.sensitivity >= 0.8 * found.chosen.sensitivity == found.least_sensitivity
    assert (found.policy.escalate_threshold or 0) >= found.policy.raise_threshold
    assert found.policy.budget == Budget(1.0, found.lowest_threshold, found.highest_threshold)


def test_headroom_is_left_free_and_the_live_budget_is_the_whole() -> None:
    for tried in TRIALS:
        found = tune(tried, 1.0, floor_share=0.8, headroom=0.25)
        assert found.policy == msgspec.structs.replace(
            tune(tried, 0.75, floor_share=0.8).policy,
            budget=Budget(1.0, found.lowest_threshold, found.highest_threshold),
        )
        assert found.chosen.false_per_patient_day <= 0.75
        assert found.lowest_threshold <= tune(tried, 0.75, floor_share=0.8).lowest_threshold


def test_between_the_limits_of_a_live_budget_the_burden_rises_as_the_threshold_falls() -> None:
    for tried in TRIALS:
        found = tune(tried, 0.8, floor_share=0.8)
        lower = [
            point.false_per_patient_day
            for point in found.curve
            if found.lowest_threshold <= point.raise_threshold <= found.chosen.raise_threshold
        ]
        assert lower == sorted(lower, reverse=True)
        assert max(lower) <= 1.6


def test_how_a_live_budget_measures_and_steps_is_taken_over() -> None:
    base = replace(TRIALS[0], base=WITH_BUDGET, _known={})
    budget = tune(base, 1.0, floor_share=0.8, rules=[RULE]).policy.budget
    assert budget is not None
    assert (budget.tolerance, budget.false_episodes_per_patient_day) == (0.1, 1.0)


def test_the_figures_of_a_point_are_those_of_its_policy() -> None:
    tried = TRIALS[1]
    point = tried.at(RULE, 0.3)
    figures = tried.figures(tried.policy(RULE, 0.3))
    assert point.sensitivity == figures["septic_alerted"].value
    assert point.false_per_patient_day == false_a_day(figures)
    assert 0 < point.false_per_patient_day < point.episodes_per_patient_day


def test_a_budget_that_nothing_keeps_is_said() -> None:
    same = replace(TRIALS[0].scored, risk=np.full(TRIALS[0].cohort.n_rows, 0.4))
    with pytest.raises(NothingFitsError, match="greater --budget"):
        tune(Trial(TRIALS[0].cohort, same, BASE), 1e-9, floor_share=0.9, rules=[RULE])


def test_a_policy_that_alerts_nobody_is_not_chosen() -> None:
    cohort = TRIALS[0].cohort
    septic = np.repeat(cohort.septic, cohort.lengths)
    never = replace(TRIALS[0].scored, risk=np.where(septic, 0.001, TRIALS[0].scored.risk))
    with pytest.raises(NothingFitsError, match="finds a septic stay"):
        tune(Trial(cohort, never, BASE), 0.01, floor_share=0.9)


def test_the_least_threshold_gives_a_policy_that_can_be_read(tmp_path: Path) -> None:
    policy = TRIALS[0].policy(Rule(0.5, 0.0), 1e-6)
    (tmp_path / "policy.toml").write_text(policy_toml(policy, ""))
    assert load_policy(tmp_path / "policy.toml").resolve_threshold == 1e-6


def test_who_chooses_does_not_depend_on_the_order_of_the_stays() -> None:
    cohort = made_up_cohort(5)
    some = np.arange(cohort.n_stays) % 2 == 0
    assert np.array_equal(choosing_stays(cohort)[some], choosing_stays(cohort.select(some)))
    assert 0 < choosing_stays(cohort).sum() < cohort.n_stays


WITH_BUDGET = msgspec.structs.replace(BASE, budget=Budget(0.5, 0.4, 0.6, tolerance=0.1))


@pytest.mark.parametrize(
    "policy", [load_policy(), BASE, msgspec.structs.replace(BASE, escalate_threshold=None), WITH_BUDGET]
)
def test_a_written_policy_is_read_back(policy: Policy, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    long = "For so many episodes a patient-day, as 'said' by \\ and " + ", ".join(f"figure {n}" for n in range(60))
    for text in ('chosen "so"\nand so \x7f, on \U0001f3e5.parquet', long, "two  blanks " * 20):
        file.write_text(policy_toml(policy, text), encoding="utf-8")
        read = load_policy(file)
        assert msgspec.structs.replace(read, digest=policy.digest) == policy
        assert tomllib.loads(file.read_text(encoding="utf-8"))["chosen_by"] == text
        assert len(max(file.read_text(encoding="utf-8").splitlines(), key=len)) <= 120 or text != long
