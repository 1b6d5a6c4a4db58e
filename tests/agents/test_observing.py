"""Many observations of a patient in one chunk come to what they come to one by one, alerts included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core import Core
from agents.policy import Policy
from agents.stretch import Stretch
from tests.agents.logs import (
    BUSY,
    EVENTFUL,
    MINUTE,
    START,
    Record,
    Run,
    command,
    never_alerting,
    new_core,
    numbered,
    observation,
    vital_signs,
    work_off,
)

VITALS = st.lists(st.tuples(st.sampled_from("pqr"), st.integers(0, 2), vital_signs()), min_size=2, max_size=30)


def crowded(drawn: list[tuple[str, int, dict[str, float]]], minutes: int) -> list[Record]:
    """Return a log in which every patient speaks again and again within a few minutes."""
    return numbered(
        [observation(patient, START + (minutes + after) * MINUTE, **values) for patient, after, values in drawn]
    )


def same(one: Run, other: Run) -> bool:
    return (one.states, one.alerts, one.rejected) == (other.states, other.alerts, other.rejected)


@settings(max_examples=40, deadline=None)
@given(VITALS, st.sampled_from([BUSY, EVENTFUL, never_alerting()]))
def test_many_observations_at_once_equal_one_after_the_other(
    drawn: list[tuple[str, int, dict[str, float]]], policy: Policy
) -> None:
    log = crowded(drawn, minutes=3)
    assert same(work_off(log, core=new_core(policy)), work_off(log, core=new_core(policy), cuts=range(len(log))))


def test_an_alert_that_comes_and_goes_within_one_chunk_is_told_both_times() -> None:
    ill = {"heart_rate": 150, "respiratory_rate": 38, "temperature": 35}
    well = {"heart_rate": 70, "respiratory_rate": 14, "temperature": 37}
    log = numbered(observation("p", START + i * MINUTE, **(ill if 10 <= i < 30 else well)) for i in range(60))
    risks = [run.scores[-1].risk for run in (work_off(log[: i + 1]) for i in range(len(log)))]
    between = (min(risks) + max(risks)) / 2
    assert (risks[0] < between, risks[29] < between, risks[59] < between) in {(True, False, True), (False, True, False)}
    policy = Policy("eager", "1", "sha256:02", between, between, cannot_assess_minutes=0)
    at_once = work_off(log, core=new_core(policy))
    assert same(at_once, work_off(log, core=new_core(policy), cuts=range(len(log))))
    assert {"raised", "resolved"} <= {alert.transition for _, alert in at_once.alerts}


@pytest.mark.parametrize("spoken", [False, True])
def test_one_pass_of_the_model_serves_all_that_is_said_within_an_hour(
    monkeypatch: pytest.MonkeyPatch, *, spoken: bool
) -> None:
    """A command splits the run: two passes, not one for each observation."""
    batches = count_batches(monkeypatch)
    log = [observation("p", START + i * MINUTE, heart_rate=70 + i) for i in range(40)]
    if spoken:
        log.insert(20, command("p", "acknowledge", "none", START + 20 * MINUTE))
    work_off(numbered(log), core=new_core(never_alerting()))
    # The first observation begins the stay, and stands alone.
    assert batches == ([1, 19, 20] if spoken else [1, 39])


def count_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the size of every batch of provisional risks will be appended."""
    batches: list[int] = []
    begin: Callable[[Stretch, Any], None] = Stretch._begin

    def counted(stretch: Stretch, rows: Any) -> None:
        begin(stretch, rows)
        provisional = stretch.steps.provisional

        def noted(rows: Any, index: Any, seen: Any = None) -> Any:
            batches.append(len(index))
            return provisional(rows, index, seen)

        monkeypatch.setattr(stretch.steps, "provisional", noted)

    monkeypatch.setattr(Stretch, "_begin", counted)
    return batches


def test_unchanged_repeats_cost_no_pass() -> None:
    core: Core = new_core(never_alerting())
    log = numbered([observation("p", START, heart_rate=80)] * 10)
    outcome = core.process(0, log, lambda _: None)
    assert (outcome.accepted, outcome.repeated, outcome.risks) == (10, 9, 1)
