"""The life of an alert, driven by hand: each rule once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from agents.alerts import Alerts
from agents.control import CommandSaid
from agents.messages import Command
from agents.moves import BLIND, SEPSIS
from agents.policy import Policy
from agents.record import SEEN_COMMANDS
from agents.rules import RowRules, Rules
from tests.agents.bed import POLICY, Bed
from tests.agents.logs import HOUR, MINUTE, START


def septic(policy: Policy = POLICY) -> Bed:
    return Bed(policy).see(0.08)


# -- raising and resolving


def test_an_alert_is_raised_and_resolved_by_the_risk() -> None:
    bed = septic().pass_by(5).see(0.05).pass_by(5).see(0.03)
    assert bed.story() == [("raised", "active"), ("resolved", "ended")]
    assert (bed.told[0].risk, bed.told[0].threshold, bed.told[1].threshold) == (0.08, 0.06, 0.04)
    assert bed.told[1].raised_at == bed.told[0].occurred_at


def test_a_minimum_duration_passes_over_a_short_rise_and_a_short_fall() -> None:
    bed = Bed(structs.replace(POLICY, raise_minutes=10, resolve_minutes=10))
    bed.see(0.08).pass_by(9).see(0.05).pass_by(1).see(0.08).pass_by(9).see(0.08)
    assert bed.told == []
    assert bed.pass_by(1).see(0.07).story() == [("raised", "active")]
    bed.pass_by(1).see(0.03).pass_by(9).see(0.03)
    assert len(bed.told) == 1
    assert bed.pass_by(1).see(0.01).story()[1:] == [("resolved", "ended")]


def test_what_cannot_be_assessed_neither_counts_nor_forgets_time() -> None:
    bed = Bed(structs.replace(POLICY, raise_minutes=10)).see(0.08).pass_by(5).see(None).pass_by(5).see(0.08)
    assert bed.story() == [("raised", "active")]


def test_no_alert_within_the_refractory_time_of_the_last() -> None:
    bed = septic(structs.replace(POLICY, refractory_minutes=30)).pass_by(1).see(0.03)
    assert len(bed.pass_by(29).see(0.08).told) == 2
    assert bed.pass_by(1).see(0.08).story()[2:] == [("raised", "active")]


def test_a_risk_over_the_higher_threshold_is_of_high_priority_from_the_start() -> None:
    assert [event.priority for event in Bed().see(0.35).told] == ["high"]


# -- news


def test_a_moved_risk_is_told_but_not_too_often() -> None:
    bed = septic().pass_by(19).see(0.2).pass_by(1).see(0.2).pass_by(20).see(0.16).pass_by(20).see(0.15)
    assert [(event.transition, event.risk) for event in bed.told] == [
        ("raised", 0.08),
        ("updated", 0.2),
        ("updated", 0.15),
    ]


def test_a_high_risk_escalates_once_and_takes_the_acknowledgement_away() -> None:
    bed = septic().order("acknowledge").pass_by(1).see(0.3).pass_by(1).see(0.31)
    assert bed.story() == [("raised", "active"), ("acknowledged", "acknowledged"), ("escalated", "active")]
    assert [event.priority for event in bed.told] == ["medium", "medium", "high"]


def test_an_alert_that_nobody_acknowledges_escalates_by_the_wall_clock() -> None:
    bed = septic().pass_by(29.9).clock()
    assert len(bed.told) == 1
    bed.pass_by(0.1).clock().clock().pass_by(60).clock("escalate")
    assert bed.story()[1:] == [("escalated", "active")]
    assert bed.told[-1].priority == "high"
    assert septic().order("acknowledge").pass_by(60).clock("escalate").story()[1:] == [("acknowledged", "acknowledged")]


def test_the_priority_rises_step_by_step() -> None:
    bed = septic(structs.replace(POLICY, priority="low"))
    for _ in range(3):
        bed.pass_by(30).clock("escalate")
    assert [event.priority for event in bed.told] == ["low", "medium", "high"]


# -- people


def test_a_snooze_is_quiet_until_it_is_over() -> None:
    bed = septic().order("snooze", minutes=60, by="nurse").pass_by(30).see(0.17).clock()
    assert bed.story() == [("raised", "active"), ("snoozed", "snoozed")]
    assert (bed.told[1].by, bed.told[1].snoozed_until) == ("nurse", "2026-11-22T11:00:00Z")
    assert bed.pass_by(30).see(0.08).story()[2:] == [("updated", "active")]


def test_the_wall_clock_ends_a_snooze_where_nothing_is_measured() -> None:
    bed = septic().order("snooze", minutes=60).pass_by(59).clock()
    assert bed.pass_by(1).clock("snooze_over").clock("snooze_over").story()[2:] == [("updated", "active")]


def test_a_risen_risk_or_a_critical_vital_sign_ends_a_snooze() -> None:
    rose = septic().order("snooze", minutes=60).pass_by(1).see(0.17).pass_by(1).see(0.18)
    assert [(event.transition, event.priority) for event in rose.told[2:]] == [("escalated", "high")]
    crossed = septic().order("snooze", minutes=60).pass_by(1).see(0.08, heart_rate=131)
    assert crossed.story()[2:] == [("escalated", "active")]


def test_a_vital_sign_that_was_critical_at_the_snooze_must_come_back_first() -> None:
    bed = Bed().see(0.08, heart_rate=140).order("snooze", minutes=60).pass_by(1).see(0.08, heart_rate=150)
    assert len(bed.told) == 2
    assert bed.pass_by(1).see(0.08, 100).pass_by(1).see(0.08, 140).story()[2:] == [("escalated", "active")]


def test_a_dismissed_alert_comes_back_only_after_the_risk_has_fallen_or_when_it_rises() -> None:
    bed = septic().order("dismiss", reason="artefact").pass_by(1).see(0.08)
    assert bed.story() == [("raised", "active"), ("resolved", "ended")]
    assert bed.told[1].reason == "artefact"
    assert bed.pass_by(1).see(0.03).pass_by(1).see(0.08).story()[2:] == [("raised", "active")]
    rose = septic().order("dismiss", reason="artefact").pass_by(1).see(0.18)
    assert rose.story()[2:] == [("raised", "active")]
    assert rose.told[2].alert_id != rose.told[0].alert_id


def test_what_is_already_treated_is_held_back_and_says_so() -> None:
    bed = septic().order("mark", verdict="already_treated").pass_by(119).see(0.35)
    assert bed.story() == [("raised", "active"), ("resolved", "ended")]
    assert (bed.told[1].verdict, bed.told[1].held_until) == ("already_treated", "2026-11-22T12:00:00Z")
    assert bed.pass_by(1).see(0.08).story()[2:] == [("raised", "active")]


def test_an_ended_alert_can_be_marked_for_a_while() -> None:
    bed = septic().pass_by(1).see(0.03).pass_by(60).order("mark", verdict="false")
    assert [(event.transition, event.state, event.verdict) for event in bed.told[2:]] == [("marked", "ended", "false")]
    assert [event.sequence for event in bed.told] == [1, 2, 3]
    assert bed.pass_by(121).order("mark", verdict="true").told[-1].reason == "too_late_to_mark"


@pytest.mark.parametrize(
    ("before", "kind", "fields", "reason"),
    [
        ((), "acknowledge", {"of": "nothing"}, "unknown_alert"),
        ((), "acknowledge", {"sequence": 7}, "stale_sequence"),
        (("acknowledge",), "acknowledge", {}, "already_acknowledged"),
        ((), "snooze", {"minutes": 241}, "snooze_too_long"),
    ],
)
def test_what_cannot_be_obeyed_is_answered(before: tuple[str, ...], kind: str, fields: Any, reason: str) -> None:
    bed = septic()
    for earlier in before:
        bed.order(earlier)
    moved = len(bed.told)
    rows = bed.rows.copy()
    bed.order(kind, name="last", **fields)
    (answer,) = bed.told[moved:]
    assert (answer.transition, answer.reason, answer.command_id) == ("rejected", reason, "last")
    rows["commands"] = bed.rows["commands"]
    assert rows.tobytes() == bed.rows.tobytes()
    assert bed.order(kind, name="last", **fields).told[moved:] == [answer]


def test_an_ended_alert_cannot_be_acknowledged() -> None:
    answer = septic().pass_by(1).see(0.03).order("acknowledge").told[-1]
    assert (answer.transition, answer.reason, answer.sequence) == ("rejected", "alert_ended", 2)


def come_and_gone(times: int) -> Bed:
    bed = Bed()
    for _ in range(times):
        bed.pass_by(1).see(0.08).pass_by(1).see(0.03)
    return bed


def test_a_mark_on_an_earlier_alert_of_the_stay_says_that_it_came_too_late() -> None:
    bed = come_and_gone(66)
    raised = [event.alert_id for event in bed.told if event.transition == "raised"]
    answers = [bed.order("mark", alert, verdict="false").told[-1] for alert in raised]
    assert [answer.reason for answer in answers] == ["unknown_alert", *["earlier_alert"] * 64, None]
    assert [answer.alert_id for answer in answers] == raised
    assert {(answer.state, answer.sequence) for answer in answers[:-1]} == {("ended", 0)}
    assert "another of its kind" in answers[1].cause
    late = bed.order("acknowledge", raised[-2]).told[-1]
    assert (late.reason, late.cause) == ("alert_ended", "the alert has ended")


def test_the_answer_on_an_earlier_alert_is_of_its_kind() -> None:
    bed = Bed()
    for _ in range(2):
        bed.see(None).pass_by(60).see(None).pass_by(1).see(0.01).pass_by(1)
    earlier = bed.told[0].alert_id
    bed.see(0.08)
    answer = bed.order("mark", earlier, verdict="false").told[-1]
    assert (answer.kind, answer.reason, answer.state) == ("cannot_assess", "earlier_alert", "ended")


def test_an_answer_repeats_the_state_of_an_alert_that_is_known() -> None:
    beds = [septic(), septic().order("acknowledge"), septic().order("snooze", minutes=60)]
    answers = [bed.order("acknowledge", bed.told[0].alert_id, sequence=7).told[-1] for bed in beds]
    assert {answer.reason for answer in answers} == {"stale_sequence"}
    told = [(answer.state, answer.sequence) for answer in answers]
    assert told == [("active", 1), ("acknowledged", 2), ("snoozed", 2)]


def test_commands_that_are_appended_twice_count_once_however_many() -> None:
    bed = septic()
    commands = [
        CommandSaid("p", bed.now_ms, Command(f"c{at}", "p", bed.told[0].alert_id, "acknowledge", ""), at)
        for at in range(2 * SEEN_COMMANDS)
    ]
    for said in commands:
        bed.alerts.obey(0, 0, said, bed.now_ms)
    answers = list(bed.told[1:])
    assert [event.reason for event in answers] == [None, *["already_acknowledged"] * (2 * SEEN_COMMANDS - 1)]
    before = bed.rows.tobytes()
    for said in commands:
        bed.alerts.obey(0, 0, said, bed.now_ms)
    assert bed.told[1:] == answers
    assert bed.rows.tobytes() == before


# -- latching


def test_a_latched_alert_waits_for_somebody() -> None:
    latching = structs.replace(POLICY, latching=True, latch_hours=2)
    fallen: Callable[[], Bed] = lambda: septic(latching).pass_by(10).see(0.03)  # noqa: E731
    assert fallen().story() == [("raised", "active"), ("updated", "latched")]
    assert fallen().pass_by(5).order("acknowledge").story()[2:] == [("resolved", "ended")]
    snoozed = fallen().pass_by(5).order("snooze", minutes=60)
    assert snoozed.story()[2:] == [("resolved", "ended")]
    assert snoozed.pass_by(5).see(0.07).story()[3:] == [("raised", "active")]
    assert fallen().pass_by(5).see(0.07).story()[2:] == [("updated", "active")]
    assert fallen().pass_by(119).see(0.03).pass_by(1).see(0.03).story()[2:] == [("resolved", "ended")]
    seen = septic(latching).order("acknowledge").pass_by(10).see(0.03)
    assert seen.story()[1:] == [("acknowledged", "acknowledged"), ("resolved", "ended")]
    none = septic(structs.replace(latching, latch_hours=0)).pass_by(10).see(0.03)
    assert none.story()[1:] == [("resolved", "ended")]


# -- not knowing


def test_a_silent_patient_is_told_of_until_data_return() -> None:
    bed = Bed().see(0.01).pass_by(89.9).clock()
    assert bed.told == []
    bed.pass_by(0.1).clock().clock().pass_by(5).see(0.01)
    assert [(event.kind, event.transition) for event in bed.told] == [
        ("monitoring_lost", "raised"),
        ("monitoring_lost", "resolved"),
    ]
    lost = bed.told[0]
    assert (lost.source, lost.risk, lost.threshold, lost.since) == ("technical", None, None, "2026-11-22T10:00:00Z")
    assert (lost.missing, lost.vital_signs["heart_rate"].age_minutes) == (["heart_rate"], 90)


def test_an_observation_in_between_cancels_what_the_clock_says() -> None:
    assert Bed().see(0.01).pass_by(10).see(0.01).pass_by(80).clock().told == []


def test_nobody_waits_for_data_that_came_long_after_they_were_taken() -> None:
    bed = Bed()
    bed.alerts.arrived(np.array([0]), np.array([START + 91 * MINUTE]), np.array([START]))
    assert bed.pass_by(1000).clock().told == []


def test_an_open_sepsis_alert_outlives_the_silence_and_ends_with_the_stay() -> None:
    bed = septic().pass_by(90).clock("monitoring_lost")
    bed.alerts.end_stay(0, 0, bed.now_ms, "the stay ended: discharged")
    assert [(event.kind, event.transition) for event in bed.told] == [
        ("sepsis_risk", "raised"),
        ("monitoring_lost", "raised"),
        ("sepsis_risk", "expired"),
        ("monitoring_lost", "expired"),
    ]
    assert bed.story()[2:] == [("expired", "ended")] * 2


def test_a_patient_who_cannot_be_assessed_is_told_of_after_a_while() -> None:
    bed = Bed().see(None).pass_by(59).see(None)
    assert bed.told == []
    (told,) = bed.pass_by(1).see(None).told
    assert (told.kind, told.transition, told.since, told.priority) == (
        "cannot_assess",
        "raised",
        "2026-11-22T10:00:00Z",
        "low",
    )
    assert "heart_rate" not in told.missing
    assert len(told.missing) == 6
    assert bed.pass_by(1).see(0.01).story()[1:] == [("resolved", "ended")]


# -- many at once


def test_many_rows_are_each_decided_on_as_alone() -> None:
    rng = np.random.default_rng(0)
    risks, known = rng.choice([0.01, 0.05, 0.08, 0.2, 0.35], (40, 6)), rng.random((40, 6)) < 0.4
    rows = np.concatenate([Bed().rows for _ in range(6)])
    rows["key"] = [b"p%d" % row for row in range(6)]
    together: dict[int, list[tuple[str, int]]] = {row: [] for row in range(6)}
    rules = RowRules(Rules(POLICY), rows)
    many = Alerts(rows, rules, lambda said: together[said.row].append((said.transition, said.at_ms)))
    alone = [Bed() for _ in range(6)]
    index = np.arange(6)
    for step in range(40):
        now = np.full(6, START + step * HOUR // 4)
        rows["clock_ms"], rows["risk"] = now, risks[step]
        many.arrived(index, now, now)
        many.observe(index, [0] * 6, now, risk=risks[step], assessable=known[step])
        for row, bed in enumerate(alone):
            bed.minute = step * 15
            bed.rows["clock_ms"], bed.rows["risk"] = now[row], risks[step, row]
            bed.alerts.arrived(np.array([0]), now[:1], now[:1])
            bed.alerts.observe(
                np.array([0]), [0], now[:1], risk=risks[step, row : row + 1], assessable=known[step, row : row + 1]
            )
    for row, bed in enumerate(alone):
        assert [name for name, _ in together[row]] == [event.transition for event in bed.told]
    assert {SEPSIS, BLIND} <= {kind for row in rows["episode"] for kind in np.flatnonzero(row).tolist()}
