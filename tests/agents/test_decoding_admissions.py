"""Decoding of admission events, as they come and as they stand in the patient's log; and what refusals may say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decoding import StayChange, decode_admission, decode_log_record
from agents.messages import ADMISSION_TYPE, STAY_TYPE
from agents.outputs import utc
from agents.rejection import Rejection
from models.vital_signs import NAMES
from tests.agents.logs import HOUR, LIMITS, START

ADMITTED: dict[str, object] = {"patient_id": "p", "type": "admitted", "time": utc(START)}
DAY = 24 * HOUR


def decoded(**fields: object) -> StayChange | Rejection:
    value = json.dumps({**ADMITTED, **fields}).encode()
    return decode_admission(b"p", value, (), START, LIMITS)


def accepted(**fields: object) -> StayChange:
    result = decoded(**fields)
    assert isinstance(result, StayChange)
    return result


def reason(**fields: object) -> str:
    result = decoded(**fields)
    assert isinstance(result, Rejection)
    return result.reason


def test_times_become_epoch_milliseconds() -> None:
    change = accepted(admitted=utc(START - HOUR), hospital_admitted=utc(START - DAY))
    assert (change.time_ms, change.admitted_ms, change.hospital_admitted_ms) == (START, START - HOUR, START - DAY)


def test_a_hospital_admission_may_come_after_the_stays_start() -> None:
    assert accepted(admitted=utc(START - HOUR), hospital_admitted=utc(START)).hospital_admitted_ms == START


def test_what_is_not_said_is_not_known() -> None:
    change = accepted()
    assert (change.admitted_ms, change.hospital_admitted_ms, change.admission.age) == (None, None, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"age": -1},
        {"age": 131},
        {"stay_id": ""},
        {"stay_id": "x" * 65},
        {"unit": "ä" * 33},  # 66 bytes
        {"bed": "a\nb"},
        {"bed": "\u202e7"},  # writes what follows from right to left
        {"type": "merged"},
        {"into": "q"},
        {"type": "merged", "into": "p"},
        {"type": "merged", "into": "q/r"},
        {"admitted": utc(START - 401 * DAY)},
    ],
)
def test_events_that_contradict_themselves_are_refused(fields: dict[str, object]) -> None:
    assert reason(**fields) == "admission_invalid"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "vanished"}, "schema"),
        ({"sex": 1}, "schema"),
        ({"age": "71"}, "schema"),
        ({"schema_version": 2}, "unknown_version"),
        ({"patient_id": "q"}, "key_mismatch"),
        ({"time": "yesterday"}, "time_invalid"),
        ({"admitted": "yesterday"}, "time_invalid"),
        ({"admitted": utc(START + DAY)}, "time_ahead"),
        ({"hospital_admitted": "1999-01-01T00:00:00Z"}, "time_implausible"),
    ],
)
def test_events_that_cannot_be_read_are_refused(fields: dict[str, object], expected: str) -> None:
    assert reason(**fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"age": 0},
        {"age": 130},
        {"stay_id": "x" * 64},
        {"unit": "Intensivstation 2, Süd"},
        {"type": "merged", "into": "q"},
        {"admitted": utc(START - 60 * DAY)},
        {"sex": "unknown", "unit_type": "unknown"},
    ],
)
def test_the_limits_are_inclusive(fields: dict[str, object]) -> None:
    accepted(**fields)


def test_a_field_that_stands_twice_is_refused() -> None:
    value = b'{"patient_id":"p","type":"admitted","type":"discharged","time":"%s"}' % utc(START).encode()
    result = decode_admission(b"p", value, (), START, LIMITS)
    assert isinstance(result, Rejection)
    assert result.reason == "duplicate_field"


# -- in the patient's log


@pytest.mark.parametrize(
    ("source", "offset"),
    [
        (b"/stays.admissions.v1/3/118", 118),
        (b"/stays.admissions.v1/3/x", -1),
        (b"/stays.admissions.v1/3/" + b"9" * 30, -1),
        (b"", -1),
        (None, -1),
    ],
)
def test_an_appended_event_carries_its_place_in_the_admissions_topic(source: bytes | None, offset: int) -> None:
    headers = (("ce_type", STAY_TYPE.encode()), ("ce_source", source))
    change = decode_log_record(b"p", json.dumps(ADMITTED).encode(), headers, START, LIMITS)
    assert isinstance(change, StayChange)
    assert change.source_offset == offset


def test_each_topic_takes_its_own_types_only() -> None:
    value = json.dumps(ADMITTED).encode()
    for kind in (STAY_TYPE, "org.sepsis-monitor.alerts.raised.v1"):
        refused = decode_admission(b"p", value, (("ce_type", kind.encode()),), START, LIMITS)
        assert isinstance(refused, Rejection)
        assert refused.reason == "unknown_type"
    headers = (("ce_type", ADMISSION_TYPE.encode()),)
    assert isinstance(decode_admission(b"p", value, headers, START, LIMITS), StayChange)


# -- what refusals may say

CANARY = "Canary"
_PLANTED = st.sampled_from(
    [
        CANARY,
        f"{CANARY} x",
        f'"{CANARY}"',
        f"{CANARY}\n",
        f"`{CANARY}`",
        f"$.{CANARY}",
        f"{CANARY}'s",
        f"'{CANARY}'",
        1e30,
    ]
)
_ALL_FIELDS = (*NAMES, "patient_id", "time", "event_id", "schema_version", CANARY, "type", "age", "sex", "unit", "bed")


@settings(max_examples=200, deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from([*_ALL_FIELDS, "stay_id", "unit_type", "admitted", "hospital_admitted", "into"]),
        _PLANTED | st.lists(_PLANTED, max_size=1) | st.dictionaries(st.just(CANARY), _PLANTED, max_size=1),
        min_size=1,
    ),
    key=st.sampled_from([b"p", CANARY.encode()]),
    kind=st.sampled_from([b"org.sepsis-monitor.vitals.observed.v1", STAY_TYPE.encode(), CANARY.encode()]),
    cut=st.integers(0, 3),
)
def test_no_value_of_the_message_is_in_the_refusal(
    fields: dict[str, object], key: bytes, kind: bytes, cut: int
) -> None:
    value = json.dumps({**ADMITTED, "heart_rate": 80, **fields}).encode()
    value = value[: len(value) - cut]
    for result in (
        decode_log_record(key, value, (("ce_type", kind),), START, LIMITS),
        decode_admission(key, value, (), START, LIMITS),
    ):
        if isinstance(result, Rejection):
            assert CANARY not in result.detail
            assert "e30" not in result.detail
            assert "\n" not in result.detail
