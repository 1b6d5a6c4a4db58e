"""What the live budget appends is what the workers read: a threshold that holds in its unit from there on."""

from __future__ import annotations

import pytest

from agents.in_force import InForce, settings_key
from monitor.budget.law import Measured
from monitor.budget.thresholds import log_record, moved_to
from tests.agents.logs import START, Record, new_core
from tests.monitor.budget.wards import POLICY


@pytest.mark.parametrize(("threshold", "holds"), [(0.03, True), (0.05, False)])
def test_workers_take_the_record_as_it_is_written(threshold: float, *, holds: bool) -> None:
    said = moved_to("A", POLICY, threshold, Measured(3, 4.5), until_ms=START, now_ms=START)
    key, value, headers = log_record(said)
    core = new_core(POLICY)
    outcome = core.process(0, [Record(key, value, START, tuple(headers))], lambda _: None)
    rules = InForce.load(outcome.states.get(settings_key(0))).newest(core.own)
    assert rules.of_unit("A").raise_threshold == (threshold if holds else POLICY.raise_threshold)
    assert rules.of_unit("B") == POLICY
    assert [refusal.reason for _, refusal in outcome.rejected] == ([] if holds else ["threshold_invalid"])
