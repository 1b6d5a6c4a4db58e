"""A ward from its topics: who is on which list, whoever writes last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agents.messages import Admission, AlertEvent, ClosedStep, Doubt, Identity, RiskScore, SourcePosition
from monitor.ward_now import WardNow
from tests.monitor.alert_examples import alert

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_SCORE = RiskScore(
    patient_id="p1", stay_id="p1-1", time="2026-11-22T11:00:00Z", step=5, risk=0.001, closed=[], assessable=True,
    ages_minutes={}, news2_partial=3, qsofa_partial=0, sirs_partial=1, model=Identity("bedside", "1", "sha256:0"),
    source=SourcePosition(0, 1),
)  # fmt: skip


def score(**changes: Any) -> RiskScore:
    return msgspec.structs.replace(_SCORE, **changes)


def dismissed(patient_id: str, **changes: Any) -> AlertEvent:
    return alert(
        **{
            "patient_id": patient_id, "stay_id": "p1-1", "transition": "resolved", "state": "ended", "command_id": "c",
            "occurred_at": "2026-11-22T10:30:00Z", "reason": "postoperative", "by": "nurse-7", **changes,
        }
    )  # fmt: skip


_MARK = {"transition": "marked", "reason": None, "verdict": "false", "sequence": 3}


def ward(*scores: RiskScore, unit: str | None = None) -> WardNow:
    made = WardNow(lambda _: 0.01, lambda _: 0.016, unit)
    for each in scores:
        made.take_score(each.patient_id, each)
    return made


def names(patients: list[Any]) -> list[str]:
    return [patient.patient_id for patient in patients]


def test_a_patient_is_there_until_the_stay_ends() -> None:
    made = ward(score())
    assert names(made.present()) == ["p1"]
    made.take_score("p1", score(ended=True))
    assert made.present() == []
    assert names(made.known()) == ["p1"]
    made.take_score("p1", None)
    assert made.known() == []


def test_an_overtaken_event_that_is_repeated_late_is_no_news() -> None:
    made = ward(score())
    raised = alert(patient_id="p1", sequence=1, log=SourcePosition(2, 40))
    over = alert(patient_id="p1", sequence=2, log=SourcePosition(2, 44), transition="resolved", state="ended")
    for event in (raised, over, raised):
        made.take_alert("p1", event)
    assert made.alerting() == []
    again = alert(patient_id="p1", alert_id="another", sequence=1, log=SourcePosition(2, 50))
    for event in (again, over):
        made.take_alert("p1", event)
    assert names(made.alerting()) == ["p1"]
    made.take_alert("p1", None)
    made.take_alert("p1", raised)
    assert names(made.alerting()) == ["p1"]  # of whom nothing was left, the first word counts


def test_near_is_told_since_when_and_ends_with_the_risk_or_an_alert() -> None:
    made = ward(score(risk=0.012), score(risk=0.015, time="2026-11-22T11:30:00Z"))
    (patient,) = made.near()
    assert patient.near_since == NOW - timedelta(hours=1)
    made.take_alert("p1", alert(patient_id="p1"))
    assert made.near() == []
    assert names(made.alerting()) == ["p1"]
    made.take_alert("p1", alert(patient_id="p1", state="ended", transition="resolved"))
    assert names(made.near()) == ["p1"]
    made.take_score("p1", score(risk=0.009))
    assert made.near() == []


def at_hour(hour: int, risk: float, **changes: Any) -> RiskScore:
    """Return the score that a patient's hourly observation gives: it closes the step before."""
    closed = [ClosedStep(hour - 1, risk)] if hour else []
    return score(step=hour, risk=risk, time=f"2026-11-22T{hour:02}:30:00Z", closed=closed, **changes)


def test_since_when_is_exact_where_scores_reach_back_to_the_beginning() -> None:
    made = ward(*(at_hour(hour, risk) for hour, risk in ((3, 0.001), (4, 0.012), (5, 0.013))))
    (patient,) = made.near()
    assert (patient.near_since, patient.near_longer) == (NOW.replace(hour=4, minute=30), False)
    (patient,) = ward(at_hour(0, 0.012), at_hour(1, 0.012)).near()
    assert (patient.near_since, patient.near_longer) == (NOW.replace(hour=0, minute=30), False)


def test_since_when_is_a_least_where_scores_before_have_been_compacted_away() -> None:
    (patient,) = ward(at_hour(5, 0.012), at_hour(6, 0.012)).near()
    assert (patient.near_since, patient.near_longer) == (NOW.replace(hour=5, minute=30), True)
    # Nobody knows what was between hours 2 and 5, nor in a stay before.
    (patient,) = ward(at_hour(2, 0.012), at_hour(5, 0.012)).near()
    assert (patient.near_since, patient.near_longer) == (NOW.replace(hour=5, minute=30), True)
    (patient,) = ward(at_hour(4, 0.012), at_hour(5, 0.012, stay_id="p1-2")).near()
    assert (patient.near_since, patient.near_longer) == (NOW.replace(hour=5, minute=30), True)
    doubtful = {"assessable": False, "doubt": Doubt("too_few", None)}
    (patient,) = ward(at_hour(4, 0.01, **doubtful), at_hour(5, 0.01, **doubtful)).unassessable()
    assert (patient.unassessable_since, patient.unassessable_longer) == (NOW.replace(hour=4, minute=30), True)
    (patient,) = ward(at_hour(4, 0.01), at_hour(5, 0.01, **doubtful)).unassessable()
    assert (patient.unassessable_since, patient.unassessable_longer) == (NOW.replace(hour=5, minute=30), False)


def test_near_goes_by_the_unit_and_by_its_threshold_as_it_stands() -> None:
    risks: dict[str | None, float] = {None: 0.02, "MICU": 0.01}
    made = WardNow(risks.__getitem__, lambda _: 0.016)
    made.take_score("p1", score(risk=0.012))
    assert made.near() == []
    made.take_admission(Admission("p1", "transferred", "2026-11-22T11:10:00Z", unit="MICU"))
    (patient,) = made.near()
    assert patient.near_since == NOW - timedelta(hours=1)
    made.take_score("p1", score(risk=0.015, time="2026-11-22T11:30:00Z"))
    assert made.near()[0].near_since == NOW - timedelta(hours=1)
    risks["MICU"] = 0.02
    assert made.near() == []
    assert patient.near_since is None


def test_a_dismissed_patient_stands_apart_while_the_risk_is_over_the_resolve_threshold() -> None:
    made = ward(score(risk=0.02))
    made.take_alert("p1", dismissed("p1"))
    assert (names(made.dismissed()), made.near()) == (["p1"], [])
    made.take_alert("p1", dismissed("p1", **_MARK))
    assert names(made.dismissed()) == ["p1"]
    made.take_score("p1", score(risk=0.012))
    assert (made.dismissed(), names(made.near())) == ([], ["p1"])
    made.take_score("p1", score(risk=0.03))
    made.take_alert("p1", alert(patient_id="p1", alert_id="next"))
    assert (made.dismissed(), names(made.alerting())) == ([], ["p1"])
    made.take_alert("p1", alert(patient_id="p1", alert_id="next", transition="resolved", state="ended"))
    assert (made.dismissed(), names(made.near())) == ([], ["p1"])


def test_a_dismissal_says_nothing_of_another_stay_nor_of_one_who_is_held() -> None:
    made = ward(score(risk=0.02, stay_id="p1-2"), score(patient_id="p2", risk=0.02, held_until="2026-11-23T08:00:00Z"))
    made.take_alert("p1", dismissed("p1"))
    made.take_alert("p2", dismissed("p2", alert_id="p2", stay_id="p1-1"))
    assert made.dismissed() == []
    assert (names(made.near()), names(made.held())) == (["p1"], ["p2"])
    made.take_score("p2", score(patient_id="p2", risk=0.02))
    assert names(made.dismissed()) == ["p2"]
    made.take_alert("p2", None)
    assert names(made.near()) == ["p1", "p2"]


def test_a_dismissed_silence_lasts_until_something_comes_and_is_of_its_stay_alone() -> None:
    since = "2026-11-22T11:01:00Z"
    for first in (True, False):
        made = WardNow(lambda _: 0.01, lambda _: 0.016)
        said = dismissed("p1", kind="monitoring_lost", since=since)
        for step in (first, not first):  # the topics are read in any order
            if step:
                made.take_score("p1", score())
            else:
                made.take_alert("p1:monitoring_lost", said)
        assert names(made.silent()) == ["p1"]
        made.take_alert("p1:monitoring_lost", dismissed("p1", **_MARK, kind="monitoring_lost", since=since))
        assert names(made.silent()) == ["p1"]
        made.take_score("p1", score(time="2026-11-22T11:06:00Z"))  # measured before, by a clock that is ahead
        assert names(made.silent()) == ["p1"]
        made.take_score("p1", score(time="2026-11-22T11:06:01Z"))
        assert made.silent() == []
        made.take_score("p1", score(stay_id="p1-2"))
        assert made.silent() == []


def test_a_silence_that_ended_by_itself_is_none() -> None:
    made = ward(score())
    ended = {"transition": "resolved", "state": "ended", "since": "2026-11-22T11:01:00Z", "stay_id": "p1-1"}
    made.take_alert("p1:monitoring_lost", alert(patient_id="p1", kind="monitoring_lost", **ended))
    assert made.silent() == []


def test_a_risk_that_means_nothing_is_never_near_and_stands_on_its_own_list() -> None:
    made = ward(score(risk=0.5, assessable=False, doubt=Doubt("too_old", "temperature")))
    assert made.near() == []
    assert names(made.unassessable()) == ["p1"]


def test_the_most_pressing_alert_comes_first_and_snoozed_ones_stand_apart() -> None:
    made = WardNow(lambda _: 0.01, lambda _: 0.016)
    for name, priority, state, raised in [
        ("a", "medium", "active", "08"),
        ("b", "high", "active", "09"),
        ("c", "medium", "acknowledged", "07"),
        ("d", "high", "snoozed", "06"),
    ]:
        made.take_alert(
            name,
            alert(patient_id=name, priority=priority, state=state, raised_at=f"2026-11-22T{raised}:00:00Z"),
        )
    assert names(made.alerting()) == ["b", "c", "a"]
    assert names(made.snoozed()) == ["d"]


def test_kinds_of_alerts_stand_beside_each_other_and_go_by_their_keys() -> None:
    made = ward(score())
    made.take_alert("p1", alert(patient_id="p1"))
    made.take_alert("p1:monitoring_lost", alert(patient_id="p1", kind="monitoring_lost", since="2026-11-22T10:00:00Z"))
    assert names(made.silent()) == names(made.alerting()) == ["p1"]
    made.take_alert("p1:monitoring_lost", None)
    assert made.silent() == []
    assert names(made.alerting()) == ["p1"]


def test_a_unit_sees_its_own_patients_where_they_were_last_said_to_be() -> None:
    made = WardNow(lambda _: 0.01, lambda _: 0.016, "MICU")
    for name, unit in [("p1", "MICU"), ("p2", "SICU"), ("p3", None)]:
        made.take_admission(Admission(name, "admitted", "2026-11-22T08:00:00Z", unit=unit, bed="1"))
        made.take_score(name, score(patient_id=name))
    assert names(made.present()) == ["p1"]
    made.take_admission(Admission("p2", "transferred", "2026-11-22T09:00:00Z", unit="MICU"))
    assert names(made.present()) == ["p1", "p2"]


def test_what_came_after_a_time_is_left_out() -> None:
    made = ward(score(risk=0.02), score(patient_id="p2", risk=0.02))
    made.take_alert("p1", alert(patient_id="p1", raised_at="2026-11-22T09:00:00Z", occurred_at="2026-11-22T10:45:00Z"))
    made.take_alert("p1:cannot_assess", alert(patient_id="p1", kind="cannot_assess", raised_at="2026-11-22T10:45:00Z"))
    made.take_alert("p2", dismissed("p2"))
    made.leave_out_after(NOW - timedelta(hours=1.5))
    assert (names(made.alerting()), made.unassessable(), names(made.dismissed())) == (["p1"], [], ["p2"])
    made.leave_out_after(NOW - timedelta(hours=2))
    assert (made.dismissed(), names(made.near())) == ([], ["p2"])


def test_canaries_are_no_patients() -> None:
    made = ward(score(test=True))
    made.take_alert("p2", alert(patient_id="p2", test=True))
    assert made.known() == made.alerting() == []
