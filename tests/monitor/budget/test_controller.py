"""One look: when a unit's threshold moves, when it waits, and what it says of it."""

from __future__ import annotations

import msgspec
import pytest

from agents.policy import Policy
from monitor.budget.burden import Burden, milliseconds_of
from monitor.budget.controller import Look, look, reset
from monitor.budget.law import Measured
from monitor.budget.thresholds import Thresholds, log_record, memory_record, moved_to
from tests.monitor.budget.wards import BUDGET, POLICY, ended, hour, ms, seen, steady

NOW_MS = ms(1000)
OTHER = msgspec.structs.replace(POLICY, digest="sha256:other")
WITHOUT = msgspec.structs.replace(POLICY, budget=None)


def looked(burden: Burden, thresholds: Thresholds | None = None, policy: Policy = POLICY, since: float = -1e4) -> Look:
    known = thresholds or Thresholds()
    (found,) = look(burden.by_unit(), known, lambda _: policy, complete_from_ms=ms(since), now_ms=NOW_MS)
    return found


def held(threshold: float, at: float, policy: Policy = POLICY, unit: str = "A") -> Thresholds:
    thresholds = Thresholds()
    thresholds.take(moved_to(unit, policy, threshold, Measured(1, 1.0), until_ms=ms(at), now_ms=NOW_MS))
    return thresholds


def test_too_many_false_alerts_raise_the_threshold_and_the_record_says_what_was_counted() -> None:
    found = looked(steady(20, 24, 40))
    assert found.outcome == "moved"
    record = found.record
    assert record is not None
    assert (record.unit, record.raise_threshold, record.episodes, record.patient_days) == ("A", 0.022, 40, 20.0)
    assert (record.counted_until, record.policy.digest) == (hour(24), POLICY.digest)
    assert found.threshold_after == 0.022


def test_too_few_let_it_fall_and_enough_leave_it() -> None:
    assert looked(steady(40, 24, 2)).threshold_after < POLICY.raise_threshold
    assert looked(steady(40, 24, 21)).outcome == "kept"


@pytest.mark.parametrize(
    ("burden", "thresholds", "since"),
    [
        (steady(40, 23, 60), None, -1e4),  # the unit is younger than the window
        (steady(40, 90, 90), held(0.022, 67), -1e4),  # moved 23 hours ago
        (steady(40, 90, 90), None, 70),  # what was before may be missing
    ],
)
def test_a_whole_window_is_waited_for(burden: Burden, thresholds: Thresholds | None, since: float) -> None:
    found = looked(burden, thresholds, since=since)
    assert (found.outcome, found.record) == ("waiting", None)


def test_a_window_after_a_move_it_moves_again_from_there() -> None:
    found = looked(steady(40, 90, 180), held(0.022, 66))
    assert (found.outcome, found.threshold, found.threshold_after) == ("moved", 0.022, 0.0242)
    assert found.measured.patient_days == pytest.approx(40)


def test_what_was_alerted_under_another_policy_is_not_this_ones() -> None:
    burden = steady(40, 90, 90)
    burden.take_event(ended("before", 70, policy=msgspec.structs.replace(ended("x", 1).policy, digest="sha256:old")))
    assert looked(burden).outcome == "waiting"


def test_a_small_unit_does_not_move() -> None:
    assert looked(steady(5, 30, 20)).outcome == "too_few"


def test_without_a_budget_nothing_moves_but_the_burden_is_shown() -> None:
    found = looked(steady(20, 24, 40), policy=WITHOUT)
    assert (found.outcome, found.record, found.measured.episodes) == ("off", None, 40)
    assert looked(steady(20, 24, 40), held(0.03, 1), WITHOUT).threshold == POLICY.raise_threshold


def test_under_another_policy_a_unit_begins_anew_and_says_so() -> None:
    found = looked(steady(20, 24, 40), held(0.03, 30, OTHER))
    assert (found.outcome, found.threshold_after) == ("begun", POLICY.raise_threshold)
    assert found.record is not None
    assert milliseconds_of(found.record.counted_until) > ms(
        30
    )  # it counts further than the one before, whatever the clock says
    thresholds = held(0.03, 30, OTHER)
    thresholds.take(found.record)
    assert looked(steady(20, 24, 40), thresholds).outcome == "waiting"


def test_at_a_limit_it_stays_and_says_so() -> None:
    found = looked(steady(40, 90, 180), held(BUDGET.highest_threshold, 1))
    assert (found.outcome, found.record) == ("at_limit", None)
    assert found.at("highest")
    assert not found.at("lowest")
    assert looked(steady(40, 90, 0), held(BUDGET.lowest_threshold, 1)).at("lowest")


def test_a_threshold_beyond_the_limits_is_void() -> None:
    assert looked(steady(40, 90, 75), held(0.9, 1)).threshold == POLICY.raise_threshold


def test_an_older_record_holds_nothing_and_is_seen_to_have_been_written_over_a_newer_one() -> None:
    thresholds = held(0.03, 50)
    newest = thresholds.newest["A"]
    thresholds.take(moved_to("A", POLICY, 0.02, Measured(), until_ms=ms(40), now_ms=NOW_MS))
    assert thresholds.newest["A"] == newest
    assert thresholds.overtaken == {"A"}
    thresholds.take(newest)
    assert thresholds.overtaken == set()


def test_a_reset_goes_to_the_policys_own_and_counts_further_than_all_before() -> None:
    record = reset("A", POLICY, held(0.03, 50), until_ms=ms(20), now_ms=NOW_MS)
    assert record.raise_threshold == POLICY.raise_threshold
    assert milliseconds_of(record.counted_until) == ms(50) + 1
    assert reset("", POLICY, Thresholds(), until_ms=ms(20), now_ms=NOW_MS).counted_until == hour(20)


def test_the_same_record_stands_in_the_logs_without_a_key_and_in_the_memory_under_its_unit() -> None:
    record = held(0.03, 50).newest["A"]
    key, value, headers = memory_record(record)
    assert key == b"A"
    assert log_record(record) == (None, value, headers)
    assert msgspec.json.decode(value or b"", type=type(record)) == record
    assert dict(headers)["ce_type"] == b"org.sepsis-monitor.budgets.threshold.v1"


def test_it_looks_at_each_unit_by_itself() -> None:
    burden = steady(20, 24, 40)
    for bed in range(20):
        burden.take_score(seen(f"n{bed}", 24))
    found = look(burden.by_unit(), Thresholds(), lambda _: POLICY, complete_from_ms=0, now_ms=NOW_MS)
    assert [(each.unit, each.outcome) for each in found] == [("", "moved"), ("A", "moved")]
    assert found[0].threshold_after < POLICY.raise_threshold < found[1].threshold_after
