"""What goes out: times as text, the last readings, and the names of model and policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decoding import parse_time_ms
from agents.messages import Reading
from agents.outputs import utc
from tests.agents.logs import (
    BUSY,
    HOUR,
    ILL,
    MINUTE,
    MODEL,
    START,
    admission,
    between,
    clock,
    command,
    never_alerting,
    new_core,
    numbered,
    observation,
    work_off,
)


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (START, "2026-11-22T10:00:00Z"),
        (START + 60, "2026-11-22T10:00:00.060Z"),
        (2**31 * 1000, "2038-01-19T03:14:08Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00Z"),
    ],
)
def test_times_are_utc_with_milliseconds_only_where_there_are_any(time_ms: int, text: str) -> None:
    assert utc(time_ms) == text


@given(st.integers(946_684_800_000, 253_402_300_799_999))
def test_a_time_that_is_written_is_read_back(time_ms: int) -> None:
    assert parse_time_ms(utc(time_ms)) == time_ms
    assert datetime.fromisoformat(utc(time_ms)) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


def test_readings_are_the_last_ones_with_their_ages_in_whole_minutes() -> None:
    log = [
        observation("p", START, heart_rate=80, temperature=38.123),
        observation("p", START + 61 * MINUTE + 59_000, heart_rate=150, respiratory_rate=30),
    ]
    core = new_core(between(1e-6, 1e-7))
    run = work_off(numbered(log[1:]), core=core, onto=work_off(numbered(log[:1]), core=new_core()))
    assert run.alerts == []  # the first offset is held already
    run = work_off(numbered(log[1:], first=1), core=core, onto=run)
    assert run.alerts[-1][1].vital_signs == {
        "heart_rate": Reading(150, 0),
        "respiratory_rate": Reading(30, 0),
        "temperature": Reading(38.12, 61),
    }


def test_late_readings_count_by_their_own_time() -> None:
    log = [
        observation("p", START + 2 * HOUR, heart_rate=80, temperature=37),
        observation("p", START + HOUR, temperature=40, respiratory_rate=30),
    ]
    (score,) = work_off(numbered(log)).scores
    assert score.ages_minutes == {"heart_rate": 0, "temperature": 0, "respiratory_rate": 60}
    assert score.time == utc(START + 2 * HOUR)
    assert (score.news2_partial, score.sirs_partial) == (3, 1)  # respiration 30, temperature 37


def test_outputs_name_model_policy_and_place() -> None:
    log = numbered([observation("p", START, heart_rate=150, temperature=40)], first=41)
    run = work_off(log, core=new_core(between(1e-6, 1e-7)))
    alert, score = run.alerts[0][1], run.scores[0]
    assert (score.model.name, score.model.version, score.model.digest) == (MODEL.name, MODEL.version, MODEL.digest)
    assert alert.model == score.model
    assert (alert.policy.name, alert.policy.version, alert.policy.digest) == ("test", "1.0.0", BUSY.digest)
    assert (alert.log, score.source) == (score.source, alert.log)
    assert (score.source.partition, score.source.offset) == (0, 41)
    assert (alert.kind, alert.source, alert.priority) == ("sepsis_risk", "physiological", "medium")


def test_an_answer_on_a_patient_of_whom_nothing_is_known_makes_nothing_up() -> None:
    here = [observation("p", START, **ILL), admission("p", "discharged", START + HOUR)]
    gone = [*here, clock("p", START + 200 * HOUR, "forget")]
    asked = command("p", "acknowledge", "9f645011-4f13-5e22-aa40-c0bac1f33490", START + 200 * HOUR)
    for log in ([asked], [*gone, asked]):
        answer = work_off(numbered(log), core=new_core(never_alerting())).alerts[-1][1]
        assert (answer.transition, answer.reason, answer.stay_id) == ("rejected", "unknown_alert", "")
        assert (answer.risk, answer.vital_signs) == (None, {})
        assert (answer.news2_partial, answer.qsofa_partial, answer.sirs_partial) == (0, 0, 0)
