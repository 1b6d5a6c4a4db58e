"""What a demo makes of risks and alerts, beside what the record says."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from models.cohort import Cohort
from monitor.demo_view import fate_words
from monitor.demo_ward import Fate, Stay, Ward, stays_of
from monitor.replay import ReplayOptions, ReplayStream
from tests.monitor.demo_examples import alert_at, score, stay


def fate_of(known: Stay, alerts: list[tuple[float, float | None]]) -> tuple[Fate, float | None, str]:
    """Return fate, lead and words of a stay with alerts (raised, ended), in hours."""
    ward = Ward([known])
    for number, (raised, ended) in enumerate(alerts):
        ward.take_alert(alert_at(raised, number=number))
        if ended is not None:
            ward.take_alert(alert_at(ended, "resolved", number=number))
    ward.end_all()
    (patient,) = ward.ended
    fate, lead = patient.outcome()
    return fate, lead, fate_words(patient)


@pytest.mark.parametrize(
    ("onset", "alerts", "fate", "lead", "words"),
    [
        (None, [], Fate.QUIET, None, "not septic, quiet"),
        (None, [(3, 5)], Fate.FALSE, None, "not septic, false alert"),
        (54, [], Fate.MISSED, None, "septic at hour 54, missed: no alert"),
        (54, [(47.5, None)], Fate.EARLY, 6.5, "septic at hour 54, alert 6.5 h before onset"),
        (54, [(56, None)], Fate.LATE, -2.0, "septic at hour 54, alert 2.0 h after onset"),
        (54, [(2, 5)], Fate.MISSED, None, "septic at hour 54, missed: its alert had ended long before"),
        (54, [(2, 5), (50, 53)], Fate.EARLY, 4.0, "septic at hour 54, alert 4.0 h before onset"),
        (54, [(20, 43)], Fate.EARLY, 34.0, "septic at hour 54, alert 34.0 h before onset"),
    ],
)
def test_the_fate_of_a_stay(
    onset: float | None, alerts: list[tuple[float, float | None]], fate: Fate, lead: float | None, words: str
) -> None:
    assert fate_of(stay(onset=onset), alerts) == (fate, lead, words)


def test_without_labels_there_is_no_verdict() -> None:
    assert fate_of(stay(labelled=False), [(1, None)]) == (Fate.UNKNOWN, None, "not labelled, alert raised")


def test_repeats_change_nothing() -> None:
    ward = Ward([stay()])
    for _ in range(2):
        ward.take_score(score(closed=(0, 1, 2)))
    assert ward.steps_closed == 3
    assert ward.take_alert(alert_at(1))
    assert not ward.take_alert(alert_at(1))
    assert len(ward.alerts) == ward.transitions()["raised"] == 1


def test_open_alerts_come_first_then_the_higher_risk_and_ended_stays_leave() -> None:
    ward = Ward([stay(name) for name in ("low", "high", "alerting", "ended", "unseen")])
    for name, risk in (("low", 0.01), ("high", 0.9), ("alerting", 0.05)):
        ward.take_score(score(name, risk=risk))
    ward.take_score(score("ended", ended=True))
    ward.take_alert(alert_at(1, patient="alerting"))
    assert [patient.stay.patient_id for patient in ward.watched()] == ["alerting", "high", "low"]
    assert [patient.stay.patient_id for patient in ward.ended] == ["ended"]


def test_onset_is_six_hours_after_the_first_label_in_hours_of_the_stay() -> None:
    cohort = Cohort(
        patient_ids=("a", "b"),
        hospitals=("A", "A"),
        offsets=np.array([0, 4, 6]),
        values=np.ones((6, 7), dtype=np.float32),
        steps=np.array([10, 11, 12, 13, 0, 1], dtype=np.int32),
        labels=np.array([0, 0, 1, 1, 0, 0], dtype=np.uint8),
        age_years=np.full(2, 60, dtype=np.float32),
        sex=np.zeros(2, dtype=np.float32),
        hospital_hours=np.zeros(2, dtype=np.float32),
        unit_type=np.zeros(2, dtype=np.int8),
    )
    known = stays_of(ReplayStream(cohort, ReplayOptions(), datetime.now(UTC)))
    assert [item.onset_hour for item in known] == [18.0, None]
    assert [item.place for item in known] == ["A-ICU/01", "A-ICU/02"]
