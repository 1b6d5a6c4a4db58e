"""The life of a stay in the log: how it starts, what changes, how it ends, and where observations after it go."""

from __future__ import annotations

from typing import Any

import pytest

from agents.messages import AlertEvent
from agents.outputs import utc
from agents.record import RecordLayout
from tests.agents.logs import (
    HOUR,
    MINUTE,
    MODEL,
    START,
    Record,
    Run,
    admission,
    between,
    closed_risks,
    never_alerting,
    new_core,
    numbered,
    observation,
    work_off,
)

SEEN = {"heart_rate": 120, "temperature": 39, "respiratory_rate": 30}


def lived(*records: Record, alerting: bool = False) -> Run:
    policy = between(1e-6, 1e-7) if alerting else never_alerting()
    return work_off(numbered(records), core=new_core(policy))


def seen(minute: int) -> Record:
    return observation("p", START + minute * MINUTE, **SEEN)


def said(kind: str, minute: int, *, source_offset: int | None = None, **fields: object) -> Record:
    return admission("p", kind, START + minute * MINUTE, source_offset=source_offset, **fields)


def stays(run: Run) -> list[tuple[str, int, bool]]:
    """Return stay, step and whether it ended of every score."""
    return [(score.stay_id, score.step, score.ended) for score in run.scores]


def value(run: Run, name: str) -> object:
    return RecordLayout(MODEL).load([b"p"], [run.states[b"p"]]).rows[name][0].item()


def transitions(run: Run) -> list[tuple[str, str, str]]:
    alerts: list[AlertEvent] = [alert for _, alert in run.alerts]
    return [(alert.stay_id, alert.transition, alert.cause) for alert in alerts]


# -- starts


def test_an_unannounced_stay_starts_with_its_first_observation() -> None:
    assert stays(lived(seen(0), seen(60))) == [("p-1", 1, False)]


def test_an_announced_stay_starts_when_the_patient_was_admitted() -> None:
    run = lived(said("admitted", 30, admitted=utc(START)), seen(90))
    assert stays(run) == [("p-1", 1, False)]
    assert [step for step, _ in closed_risks(run)["p"]] == [0]


def test_a_stay_counts_from_the_events_own_time_where_it_names_no_other() -> None:
    assert stays(lived(said("admitted", 0), seen(119))) == [("p-1", 1, False)]


def test_an_admission_alone_gives_a_risk_that_cannot_be_assessed() -> None:
    (score,) = lived(said("admitted", 0, age=80)).scores
    assert (score.assessable, score.ages_minutes, score.step) == (False, {}, 0)


def test_an_admission_adopts_the_stay_that_its_observations_began() -> None:
    run = lived(seen(0), said("admitted", 20, stay_id="visit-9", age=64), seen(70))
    assert stays(run) == [("visit-9", 1, False)]
    assert value(run, "start_ms") == START
    assert value(run, "age_years") == 64


def test_the_stay_id_is_kept_once_an_alert_was_made_from_it() -> None:
    run = lived(seen(0), said("admitted", 20, stay_id="visit-9"), said("discharged", 30), alerting=True)
    assert [(stay, transition) for stay, transition, _ in transitions(run)] == [("p-1", "raised"), ("p-1", "expired")]


def test_details_reach_the_model() -> None:
    details: dict[str, Any] = {
        "age": 80,
        "sex": "male",
        "unit_type": "surgical",
        "hospital_admitted": utc(START - 48 * HOUR),
    }
    run = lived(said("admitted", 0, **details), seen(0))
    assert (value(run, "age_years"), value(run, "sex"), value(run, "unit_type")) == (80, 1, 2)
    assert value(run, "hospital_hours") == 48
    assert run.scores[-1].risk != lived(said("admitted", 0), seen(0)).scores[-1].risk


# -- changes


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    run = lived(said("admitted", 0, age=80, unit="ICU 1", bed="4"), seen(0), said("updated", 5, sex="female"))
    assert (value(run, "age_years"), value(run, "sex"), value(run, "unit")) == (80, 0, b"ICU 1")


def test_a_transfer_keeps_the_stay_and_moves_the_bed() -> None:
    run = lived(said("admitted", 0, unit="ICU 1", bed="4"), seen(0), said("transferred", 70, unit="ICU 2"), seen(80))
    assert stays(run)[-1] == ("p-1", 1, False)
    assert (value(run, "unit"), value(run, "bed")) == (b"ICU 2", b"4")


def test_an_alert_names_unit_and_bed() -> None:
    run = lived(said("admitted", 0, unit="ICU 1", bed="4"), seen(0), alerting=True)
    assert [(alert.unit, alert.bed) for _, alert in run.alerts] == [("ICU 1", "4")]


@pytest.mark.parametrize("kind", ["updated", "transferred", "discharged"])
def test_without_an_open_stay_only_an_admission_makes_sense(kind: str) -> None:
    run = lived(said(kind, 0))
    assert run.reasons == ["admission_invalid"]
    assert run.scores == []
    assert lived(said("merged", 0, into="q")).reasons == ["admission_invalid"]


def test_an_event_that_was_appended_twice_counts_once() -> None:
    first = said("admitted", 0, source_offset=7, age=50)
    again = lived(first, said("updated", 1, source_offset=8, age=51), first, said("discharged", 10, source_offset=9))
    assert value(again, "age_years") == 51
    assert again.reasons == []
    ended_twice = lived(
        first, seen(0), said("discharged", 10, source_offset=9), said("discharged", 10, source_offset=9)
    )
    assert ended_twice.reasons == []


# -- ends


def test_a_discharge_closes_the_open_step_and_ends_the_stay() -> None:
    run = lived(seen(0), seen(70), said("discharged", 80))
    assert [step for step, _ in closed_risks(run)["p"]] == [0, 1]
    assert stays(run) == [("p-1", 1, True)]
    assert run.scores[-1].risk == closed_risks(run)["p"][-1][1]
    assert not value(run, "watched")


def test_a_discharge_closes_the_empty_hours_before_it() -> None:
    run = lived(seen(0), said("discharged", 200))
    assert [step for step, _ in closed_risks(run)["p"]] == [0, 1, 2]


def test_a_discharge_after_a_long_silence_closes_no_hours_that_nobody_watched() -> None:
    run = lived(seen(0), said("discharged", 8 * 24 * 60))
    assert [step for step, _ in closed_risks(run)["p"]] == [0]


def test_the_end_of_a_stay_ends_its_alert() -> None:
    run = lived(seen(0), said("discharged", 10), alerting=True)
    assert transitions(run)[1:] == [("p-1", "expired", "the stay ended: discharged")]
    assert not RecordLayout(MODEL).load([b"p"], [run.states[b"p"]]).rows["phase"].any()


def test_a_merge_ends_the_stay() -> None:
    run = lived(seen(0), said("merged", 10, into="q"), alerting=True)
    assert transitions(run)[1:] == [("p-1", "expired", "the stay ended: merged")]
    assert stays(run) == [("p-1", 0, True)]


def test_another_admission_ends_the_first_stay() -> None:
    run = lived(said("admitted", 0, stay_id="a"), seen(0), said("admitted", 90, stay_id="b"), seen(95), alerting=True)
    assert stays(run) == [("a", 0, True), ("b", 0, False)]
    assert [stay_and_move[:2] for stay_and_move in transitions(run)] == [
        ("a", "raised"),
        ("a", "expired"),
        ("b", "raised"),
    ]


@pytest.mark.parametrize("stay_id", [None, "a"])
def test_the_same_admission_said_again_changes_nothing(stay_id: str | None) -> None:
    fields: dict[str, Any] = {} if stay_id is None else {"stay_id": stay_id}
    run = lived(said("admitted", 0, **fields), seen(0), said("admitted", 0, **fields), seen(70))
    assert stays(run) == [(stay_id or "p-1", 1, False)]


def test_a_patient_who_was_never_measured_leaves_the_ward_too() -> None:
    log = [said("admitted", 0), said("discharged", 10)]
    assert stays(lived(*log)) == [("p-1", 0, True)]
    cut = work_off(numbered(log), cuts=[1], core=new_core(never_alerting()))
    assert stays(cut) == [("p-1", 0, False), ("p-1", 0, True)]


def test_an_admission_after_a_long_silence_does_not_adopt_the_old_stay() -> None:
    month = 30 * 24 * 60
    run = lived(seen(0), said("admitted", month, stay_id="visit-9", age=64), seen(month))
    assert stays(run) == [("p-1", 0, True), ("visit-9", 0, False)]
    assert value(run, "age_years") == 64


def test_an_admission_said_again_does_not_end_a_stay_whose_alert_kept_its_id() -> None:
    run = lived(seen(0), said("admitted", 0, stay_id="visit-9"), said("admitted", 0, stay_id="visit-9"), alerting=True)
    assert [move for _, move, _ in transitions(run)] == ["raised"]
    assert stays(run) == [("p-1", 0, False)]


# -- after the end


def test_a_stay_that_goes_on_after_its_discharge_makes_no_alert_id_twice() -> None:
    again = [said("admitted", 60, stay_id="visit-9"), seen(60)]
    run = lived(said("admitted", 0, stay_id="visit-9"), seen(0), said("discharged", 30), *again, alerting=True)
    events = [alert.event_id for _, alert in run.alerts]
    assert [move for _, move, _ in transitions(run)] == ["raised", "expired", "raised"]
    assert len(set(events)) == 3


def test_an_observation_of_the_ended_stay_does_not_enter_the_next_one() -> None:
    run = lived(seen(0), said("discharged", 30), said("admitted", 60), seen(20), seen(60))
    assert run.reasons == ["stay_ended"]
    assert run.scores[-1].risk == lived(said("admitted", 60), seen(60)).scores[-1].risk


def test_an_observation_of_a_stay_that_has_ended_is_refused() -> None:
    run = lived(seen(0), said("discharged", 30), seen(20), seen(30))
    assert run.reasons == ["stay_ended", "stay_ended"]


def test_an_observation_after_the_end_starts_the_next_stay_from_nothing() -> None:
    run = lived(said("admitted", 0, age=80, unit="ICU 1"), seen(0), said("discharged", 30), seen(31))
    fresh = lived(seen(31))
    assert stays(run)[-1] == ("p-2", 0, False)
    assert run.scores[-1].risk == fresh.scores[-1].risk
    assert value(run, "unit") == b""


def test_the_same_measurements_give_the_same_alerts_in_the_next_stay_under_ids_of_its_own() -> None:
    run = lived(seen(0), said("discharged", 30), seen(31), alerting=True)
    first, _, second = (alert for _, alert in run.alerts)
    assert (first.sequence, second.sequence) == (1, 1)
    assert first.alert_id != second.alert_id


def test_a_silence_longer_than_the_gap_starts_a_new_stay() -> None:
    week = 168 * 60
    assert [stay for stay, _, _ in stays(lived(seen(0), seen(week)))] == ["p-1"]
    run = lived(seen(0), seen(week + 1), alerting=True)
    assert stays(run) == [("p-1", 0, True), ("p-2", 0, False)]
    assert transitions(run)[1] == ("p-1", "expired", "the stay ended: nothing was measured for too long")


def test_an_announced_stay_may_wait_long_for_its_first_observation() -> None:
    run = lived(said("admitted", 0), seen(20 * 24 * 60))
    assert stays(run) == [("p-1", 20 * 24, False)]
    assert stays(run) == [("p-1", 20 * 24, False)]


def test_a_stay_knows_nothing_of_what_was_measured_in_the_one_before() -> None:
    """The second one began, as is said afterwards, while the first was still being measured."""
    second = said("admitted", 95, stay_id="b", admitted=utc(START + HOUR))
    pulse = observation("p", START + 125 * MINUTE, heart_rate=90)
    late = observation("p", START + 70 * MINUTE, temperature=40)
    after = lived(said("admitted", 0, stay_id="a"), seen(90), second, pulse, late)
    alone = lived(second, pulse, late)
    assert (after.scores[-1].stay_id, after.scores[-1].step) == ("b", 1)
    assert after.scores[-1].risk == alone.scores[-1].risk
    assert after.scores[-1].ages_minutes == alone.scores[-1].ages_minutes == {"heart_rate": 0, "temperature": 55}


@pytest.mark.parametrize("kind", ["updated", "transferred", "discharged"])
def test_an_event_that_names_another_stay_is_refused(kind: str) -> None:
    run = lived(said("admitted", 0, stay_id="S-1"), seen(10), said(kind, 20, stay_id="S-2"))
    assert [rejection.reason for _, rejection in run.rejected] == ["admission_invalid"]
    assert value(run, "watched") == 1
    assert value(run, "stay_id") == b"S-1"


def test_an_event_may_name_a_stay_that_had_no_name_yet() -> None:
    run = lived(said("admitted", 0), seen(10), said("discharged", 20, stay_id="S-2"))
    assert run.rejected == []
    assert value(run, "watched") == 0


def test_a_detail_that_comes_late_changes_the_risk_at_once() -> None:
    before = lived(said("admitted", 0), seen(10))
    after = lived(said("admitted", 0), seen(10), said("updated", 20, age=95))
    assert after.scores[-1].risk != before.scores[-1].risk
    assert after.scores[-1].risk == lived(said("admitted", 0, age=95), seen(10)).scores[-1].risk


def test_an_alert_that_ends_with_the_stay_ends_at_the_stays_end() -> None:
    run = lived(seen(0), said("discharged", 90), alerting=True)
    (_, raised), (_, resolved) = run.alerts
    assert (raised.occurred_at, resolved.occurred_at) == (utc(START), utc(START + 90 * MINUTE))


def test_an_admission_event_counts_once_by_its_id_wherever_it_comes_again() -> None:
    log = [said("admitted", 0, stay_id="V1", event_id="e1", source_offset=1), seen(10)]
    log += [said("discharged", 60, event_id="e2", source_offset=2)]
    log += [said("admitted", 0, stay_id="V1", event_id="e1", source_offset=3)]
    run = lived(*log)
    assert (value(run, "stay_number"), value(run, "watched")) == (1, 0)
    assert run.rejected == []


def test_an_admission_into_the_time_of_the_stay_before_is_refused() -> None:
    run = lived(said("admitted", 0, stay_id="V1"), seen(10), said("discharged", 60), said("admitted", 30))
    assert [rejection.reason for _, rejection in run.rejected] == ["admission_invalid"]
    assert value(run, "stay_number") == 1


def test_a_discharge_before_the_stays_start_is_refused() -> None:
    run = lived(said("admitted", 0), seen(10), said("discharged", -6000))
    assert [rejection.reason for _, rejection in run.rejected] == ["admission_invalid"]
    assert value(run, "watched") == 1


def test_an_admissions_topic_that_was_created_anew_does_not_go_unseen() -> None:
    run = lived(said("admitted", 0, source_offset=50), seen(10), said("updated", 20, age=70, source_offset=3))
    assert [rejection.reason for _, rejection in run.rejected] == ["admission_invalid"]


def test_two_patients_under_one_stay_id_have_alerts_of_their_own() -> None:
    log = []
    for patient in ("p", "q"):
        log += [admission(patient, "admitted", START, stay_id="X"), observation(patient, START, **SEEN)]
    run = work_off(numbered(log), core=new_core(between(1e-6, 1e-7)))
    assert len({alert.alert_id for _, alert in run.alerts}) == 2
