"""A shift's counts: what happened in it, once, and how often the alerts were right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from agents.messages import AlertEvent
from monitor.shift import shift_of
from tests.monitor.alert_examples import alert
from tests.monitor.test_ward_now import NOW

BEGIN = NOW - timedelta(hours=12)


def event(name: str, sequence: int, transition: str, time: str, **fields: Any) -> AlertEvent:
    raised = fields.pop("raised_at", None)
    return alert(
        alert_id=name, event_id=f"{name}-{sequence}", sequence=sequence, transition=transition,
        occurred_at=f"2026-11-22T{time}:00Z", raised_at=raised and f"2026-11-22T{raised}:00Z", **fields,
    )  # fmt: skip


def test_each_event_counts_once_and_only_within_the_shift() -> None:
    inside = event("a", 1, "raised", "01:00")
    shift = shift_of([inside, inside, event("b", 1, "raised", "12:00")], 0.0, BEGIN, NOW)
    assert (shift.raised, shift.raised_per_patient_day, shift.ppv) == (1, None, None)


def test_the_burden_is_told_for_the_days_that_patients_were_there() -> None:
    shift = shift_of([event("a", 1, "raised", "01:00")], 15 / 24, BEGIN, NOW)
    assert shift.patient_days == pytest.approx(15 / 24)
    assert shift.raised_per_patient_day == pytest.approx(24 / 15)


def test_only_the_first_acknowledgement_says_how_long_people_waited() -> None:
    events = [
        event("a", 1, "raised", "01:00", raised_at="01:00"),
        event("a", 2, "acknowledged", "01:20", raised_at="01:00"),
        event("a", 3, "escalated", "02:00", raised_at="01:00"),
        event("a", 4, "acknowledged", "03:00", raised_at="01:00"),
    ]
    shift = shift_of(events, 0.0, BEGIN, NOW)
    assert (shift.acknowledged, shift.median_minutes_to_acknowledge, shift.escalated) == (1, 20.0, 1)


def test_who_acknowledged_before_the_shift_did_not_wait_in_it() -> None:
    before = event("a", 2, "acknowledged", "00:00", raised_at="00:00")
    before = msgspec.structs.replace(before, occurred_at="2026-11-21T23:00:00Z")
    again = event("a", 4, "acknowledged", "03:00", raised_at="00:00")
    assert shift_of([before, again], 0.0, BEGIN, NOW).acknowledged == 0


def test_a_person_whose_clock_is_behind_did_not_wait() -> None:
    early = event("a", 2, "acknowledged", "00:58", raised_at="01:00")
    assert shift_of([early], 0.0, BEGIN, NOW).median_minutes_to_acknowledge == 0


def test_the_last_word_on_an_alert_counts() -> None:
    events = [
        event("a", 2, "marked", "01:00", verdict="true"),
        event("a", 3, "marked", "02:00", verdict="false"),
        event("b", 2, "marked", "01:00", verdict="true"),
        event("c", 2, "resolved", "01:00", verdict="already_treated"),
        event("d", 2, "rejected", "01:00", verdict="true"),  # came too late to be a mark
    ]
    shift = shift_of(events, 0.0, BEGIN, NOW)
    assert (shift.marked_true, shift.marked_false, shift.marked_already_treated) == (1, 1, 1)
    assert shift.ppv == pytest.approx(2 / 3)


def test_technical_alerts_other_units_and_canaries_are_kept_apart() -> None:
    events = [
        event("a", 1, "raised", "01:00", kind="monitoring_lost", unit="MICU"),
        event("b", 1, "raised", "01:00", kind="cannot_assess", unit="MICU"),
        event("c", 1, "raised", "01:00", unit="SICU"),
        event("d", 1, "raised", "01:00", unit="MICU", test=True),
    ]
    shift = shift_of(events, 0.0, BEGIN, NOW, "MICU")
    assert (shift.raised, shift.monitoring_lost, shift.cannot_assess) == (0, 1, 1)
