"""The reasons in alert events: a function of the patient's log, that adds up, or is withheld."""

from __future__ import annotations

import math

import pytest

from agents.core import Core
from agents.messages import AlertEvent
from agents.policy import Policy
from agents.reasons import tell
from models.artifact import load_model
from models.reasons import METHOD, Explanation, SignReason
from models.vital_signs import HEART_RATE, RESPIRATORY_RATE, TEMPERATURE
from tests.agents.logs import HOUR, LIMITS, MINUTE, START, Record, between, numbered, observation, work_off

BEDSIDE = load_model("bedside")
WELL = {"heart_rate": 80, "respiratory_rate": 16, "temperature": 36.8, "systolic_bp": 120, "oxygen_saturation": 97}
FEVER_FROM = 20  # hour


def feverish(patient: str = "p", hours: int = 29) -> list[Record]:
    """Return the observations of a healthy stay in whose last hours only the temperature rises."""
    log = []
    for minute in range(0, hours * 60, 20):
        rise = max(minute / 60 - FEVER_FROM, 0) * 0.7
        log.append(observation(patient, START + minute * MINUTE, **{**WELL, "temperature": round(36.8 + rise, 1)}))
    return log


def core(policy: Policy) -> Core:
    return Core(BEDSIDE, policy, LIMITS)


RAISING = between(0.015, 0.004)  # reached by the fever alone


def raised(log: list[Record]) -> AlertEvent:
    run = work_off(numbered(log), core=core(RAISING))
    (event,) = [event for _, event in run.alerts if event.transition == "raised"]
    return event


def test_only_the_temperature_rises_and_leads_the_reasons() -> None:
    event = raised(feverish())
    first = event.reasons[0]
    assert first.vital_sign == "temperature"
    assert first.contribution > 0
    assert all(abs(reason.contribution) < 0.1 * first.contribution for reason in event.reasons[1:])
    assert first.baseline == pytest.approx(36.8, abs=0.3)
    assert first.now is not None
    assert first.change is not None
    assert first.hours is not None
    assert first.change == pytest.approx(first.now - 36.8, abs=0.01)
    assert event.summary == f"temperature up {first.change:.1f} °C over {first.hours} h"
    assert sum(first.by_hour) == pytest.approx(first.contribution, abs=0.005)
    assert event.reasons_method == METHOD


def test_contributions_lead_from_the_baseline_risk_to_the_risk() -> None:
    event = raised(feverish())
    assert event.risk is not None
    assert event.baseline_risk is not None
    assert event.reasons_delta is not None
    odds = [math.log(risk / (1 - risk)) for risk in (event.risk, event.baseline_risk)]
    told = sum(reason.contribution for reason in event.reasons) - event.reasons_delta
    assert told == pytest.approx(odds[0] - odds[1], abs=0.01)


def test_reasons_do_not_depend_on_who_else_is_in_the_chunk_or_where_it_is_cut() -> None:
    alone = raised(feverish())
    crowd = [record for records in zip(*(feverish(name) for name in "pqr"), strict=True) for record in records]
    together = work_off(numbered(crowd), core=core(RAISING))
    cut = None
    log = numbered(feverish())
    for start in range(0, len(log), 7):
        cut = work_off(log[start : start + 7], core=core(RAISING), onto=cut)
    assert cut is not None
    for run in (together, cut):
        (event,) = [event for _, event in run.alerts if event.patient_id == "p" and event.transition == "raised"]
        for name in ("reasons", "summary", "baseline_risk", "reasons_delta", "scores_disagreeing"):
            assert getattr(event, name) == getattr(alone, name), name


def test_a_resolved_alert_has_no_reasons() -> None:
    log = feverish()
    for hour in range(26, 60):  # never quite the same: a monitor that stands still resolves nothing
        swing = {"heart_rate": 80 + hour % 3, "respiratory_rate": 15 + hour % 2, "systolic_bp": 119 + hour % 4}
        log.append(observation("p", START + hour * HOUR, **(WELL | swing)))
    run = work_off(numbered(log), core=core(RAISING))
    resolved = run.alerts[-1][1]
    assert resolved.transition == "resolved"
    assert (resolved.reasons, resolved.summary, resolved.baseline_risk, resolved.reasons_method) == ([], None) + (
        None,
    ) * 2
    assert resolved.scores_disagreeing == []


def test_scores_that_see_it_otherwise_are_marked() -> None:
    event = raised(feverish())
    assert (event.news2_partial, event.qsofa_partial, event.sirs_partial) < (5, 2, 2)
    assert event.scores_disagreeing == ["news2_partial", "qsofa_partial", "sirs_partial"]


SIGNS = (
    SignReason(HEART_RATE, (0.0, -0.2), 90.0, 95.5, own=True, change=-4.0, hours=6),
    SignReason(RESPIRATORY_RATE, (0.0001, 0.0002), 16.0, 16.0, own=True, change=0.0, hours=6),
    SignReason(TEMPERATURE, (0.1, 0.30004), 38.9, 36.97, own=False, change=1.4, hours=5),
)


def test_reasons_are_rounded_and_the_strongest_come_first() -> None:
    told = tell(Explanation(SIGNS, 0.012, 0.0, 1e-9, -0.0004))
    assert [(reason.vital_sign, reason.contribution) for reason in told.reasons] == [
        ("temperature", 0.4),
        ("heart_rate", -0.2),
    ]
    assert [reason.baseline for reason in told.reasons] == [None, 95.5]
    assert told.reasons[0].by_hour == [0.1, 0.3]
    assert (told.summary, told.baseline_risk) == ("temperature up 1.4 °C over 5 h", 0.012)
    assert str(told.delta) == "0.0"


def test_reasons_that_do_not_add_up_are_withheld_and_it_says_so() -> None:
    told = tell(Explanation(SIGNS, 0.012, 0.0, 0.001, 0.31))
    assert told.reasons == []
    assert told.baseline_risk is None
    assert told.delta == 0.311
    assert told.summary == "the reasons are withheld: they miss 0.31 of the log-odds that they should explain"
