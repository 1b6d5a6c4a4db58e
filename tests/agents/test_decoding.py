"""Decoding is total, gives every reason its due, and never lets a value of the message into what it says."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decoding import (
    Headers,
    Limits,
    Measured,
    StayChange,
    decode_admission,
    decode_log_record,
    parse_time_ms,
    values_array,
)
from agents.messages import ADMISSION_TYPE, OBSERVATION_TYPE, SCORE_TYPE, STAY_TYPE
from agents.outputs import utc
from agents.rejection import REASONS, Rejection
from models.vital_signs import NAMES, VITAL_SIGNS, VitalSign
from tests.agents.logs import LIMITS, START

NOW = utc(START)
GOOD: dict[str, object] = {"patient_id": "p", "time": NOW, "heart_rate": 80}
ADMITTED: dict[str, object] = {"patient_id": "p", "type": "admitted", "time": NOW}
ENTRY = (Measured, StayChange, Rejection)


def decoded(
    value: bytes | dict[str, object] | None,
    *,
    key: bytes | None = b"p",
    headers: Headers = (),
    timestamp_ms: int = START,
    limits: Limits = LIMITS,
) -> object:
    raw = json.dumps(value).encode() if isinstance(value, dict) else value
    return decode_log_record(key, raw, headers, timestamp_ms, limits)


def measured(**fields: object) -> Measured:
    result = decoded({"patient_id": "p", "time": NOW, **fields})
    assert isinstance(result, Measured)
    return result


def refused(result: object) -> Rejection:
    assert isinstance(result, Rejection)
    assert result.reason in REASONS
    assert result.detail
    return result


def known(result: Measured) -> dict[str, float]:
    return {name: value for name, value in zip(NAMES, result.values, strict=True) if not math.isnan(value)}


# -- totality

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from([*NAMES, "patient_id", "time", "event_id", "type", "schema_version", "age", "admitted", "x"])
_HEADER = st.tuples(
    st.sampled_from(["ce_type", "ce_source", "ce_specversion", "x"]),
    st.none() | st.binary(max_size=12) | st.sampled_from([STAY_TYPE.encode(), b"a.v99999999999", b"/a/9" * 9, b"1.0"]),
)


@settings(max_examples=300, deadline=None)
@given(
    key=st.none() | st.just(b"p") | st.binary(max_size=8),
    value=st.none()
    | st.binary(max_size=40)
    | st.builds(
        lambda fields, known: json.dumps({**known, **fields}).encode(),
        st.dictionaries(_FIELDS, _JSON, max_size=5),
        st.sampled_from([{}, GOOD, ADMITTED]),
    ),
    headers=st.lists(_HEADER, max_size=3),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
)
def test_whatever_comes_is_an_entry_or_a_rejection(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int
) -> None:
    results = (
        decode_log_record(key, value, headers, timestamp_ms, LIMITS),
        decode_admission(key, value, headers, timestamp_ms, LIMITS),
    )
    for result in results:
        assert isinstance(result, ENTRY)
        if isinstance(result, Rejection):
            assert result.reason in REASONS
        else:
            assert result.patient_id.encode() == key


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_a_good_value_with_some_bytes_overwritten_is_an_entry_or_a_rejection(place: int, bad: bytes) -> None:
    good = json.dumps({**GOOD, "event_id": "mon-7:1", "temperature": 38.2, "unknown": {"a": [1]}}).encode()
    assert isinstance(decoded(good[:place] + bad + good[place + len(bad) :]), ENTRY)


@pytest.mark.parametrize(
    "value",
    [
        b'{"patient_id":"p","time":"%s","x":%s}' % (NOW.encode(), b"[" * 8000),
        b'{"patient_id":"p","time":"%s","x":%s%s}' % (NOW.encode(), b"[" * 8000, b"]" * 8000),
        b"[" * 16_000,
        b"\xef\xbb\xbf{}",
        json.dumps(GOOD).encode("utf-16"),
        b'{"patient_id":"p\\u0000","time":"x"}',
        b'{"patient_id":"\\ud800","time":"x"}',
        b'{"patient_id":"p","time":"%s","heart_rate":NaN}' % NOW.encode(),
        b'{"patient_id":"p","time":"%s","heart_rate":Infinity}' % NOW.encode(),
        b'{"patient_id":"p","time":"%s","heart_rate":1e999}' % NOW.encode(),
        b'{"patient_id":"p","time":"%s","heart_rate":%s}' % (NOW.encode(), b"9" * 5000),
        b'{"patient_id":"p","time":"%s","heart_rate":true}' % NOW.encode(),
        b'{"patient_id":"p","time":"%s","heart_rate":"80"}' % NOW.encode(),
        b'{"patient_id":"p","time":"%s","heart_rate":[80]}' % NOW.encode(),
        b"{}",
        b"null",
        b"0",
        b"",
    ],
    ids=lambda value: repr(value[:70]),
)
def test_hostile_values_are_refused(value: bytes) -> None:
    refused(decoded(value))


# -- every reason

_REFUSED_OBSERVATIONS: list[tuple[str, bytes | dict[str, object] | None]] = [
    ("value_missing", None),
    ("value_too_large", {**GOOD, "x": "y" * 20_000}),
    ("not_utf8", b'{"patient_id": "\xff"}'),
    ("not_json", b'{"patient_id": "p", '),
    ("too_deep", b'{"patient_id":"p","time":"t","x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("duplicate_field", b'{"patient_id":"p","time":"%s","heart_rate":80,"heart_rate":81}' % NOW.encode()),
    ("duplicate_field", b'{"patient_id":"p","time":"%s","heart_rate":80,"heart\\u005frate":81}' % NOW.encode()),
    ("schema", {"patient_id": "p"}),
    ("schema", {**GOOD, "heart_rate": "80"}),
    ("unknown_version", {**GOOD, "schema_version": 2}),
    ("patient_id_invalid", {**GOOD, "patient_id": "p\n"}),
    ("patient_id_invalid", {**GOOD, "patient_id": ""}),
    ("patient_id_invalid", {**GOOD, "patient_id": "../../etc/passwd"}),
    ("patient_id_invalid", {**GOOD, "patient_id": "x" * 65}),
    ("patient_id_invalid", {**GOOD, "patient_id": "р"}),  # a Cyrillic letter that looks Latin
    ("key_mismatch", {**GOOD, "patient_id": "q"}),
    ("time_invalid", {**GOOD, "time": "2026-11-22T10:00:07"}),
    ("time_implausible", {**GOOD, "time": "1999-12-31T23:59:59Z"}),
    ("time_ahead", {**GOOD, "time": utc(START + 300_001)}),
    ("no_vital_sign", {"patient_id": "p", "time": NOW}),
    ("no_vital_sign", {**GOOD, "heart_rate": None}),
    ("implausible", {**GOOD, "heart_rate": 0}),
    ("contradictory", {"patient_id": "p", "time": NOW, "systolic_bp": 60, "diastolic_bp": 90}),
]


@pytest.mark.parametrize(("reason", "value"), _REFUSED_OBSERVATIONS)
def test_each_reason_is_reached(reason: str, value: bytes | dict[str, object] | None) -> None:
    assert refused(decoded(value)).reason == reason


def test_every_reason_has_a_test() -> None:
    elsewhere = {
        *("key_missing", "unknown_type", "admission_invalid"),  # below
        "command_invalid",  # see test_control
        "threshold_invalid",  # see test_units
        *("wrong_partition", "too_late", "stay_ended"),  # decided by the state, not by decoding: see test_core
    }
    assert {reason for reason, _ in _REFUSED_OBSERVATIONS} | elsewhere == set(REASONS)


def test_a_record_without_a_key_is_refused() -> None:
    assert refused(decoded(GOOD, key=None)).reason == "key_missing"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ce_type", SCORE_TYPE, "unknown_type"),
        ("ce_type", ADMISSION_TYPE, "unknown_type"),  # only checked admissions stand in the log
        ("ce_type", "nonsense", "unknown_type"),
        ("ce_type", OBSERVATION_TYPE.replace(".v1", ".v2"), "unknown_version"),
        ("ce_type", STAY_TYPE.replace(".v1", ".v2"), "unknown_version"),
        ("ce_specversion", "2.0", "unknown_version"),
    ],
)
def test_headers_of_another_type_or_version_are_refused(name: str, value: str, reason: str) -> None:
    assert refused(decoded(GOOD, headers=[(name, value.encode())])).reason == reason


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_type", None)],
        [("ce_type", OBSERVATION_TYPE.encode()), ("ce_specversion", b"1.0")],
        [("traceparent", b"\xff\x00" * 500)],
    ],
)
def test_headers_may_be_missing_or_strange(headers: Headers) -> None:
    assert isinstance(decoded(GOOD, headers=headers), Measured)


def test_unknown_fields_are_ignored() -> None:
    assert isinstance(decoded({**GOOD, "ward": "3", "nested": {"a": [1, 2]}}), Measured)


# -- vital signs


@pytest.mark.parametrize("sign", VITAL_SIGNS, ids=lambda sign: sign.name)
def test_ranges_include_their_ends(sign: VitalSign) -> None:
    for value in (sign.low, sign.high):
        assert known(measured(**{sign.name: value})) == {sign.name: value}
    for value in (math.nextafter(sign.low, -math.inf), math.nextafter(sign.high, math.inf), -sign.low, 0, 1e308):
        assert refused(decoded({"patient_id": "p", "time": NOW, sign.name: value})).reason == "implausible"


def test_implausible_values_are_named_and_the_others_kept() -> None:
    result = measured(heart_rate=80, temperature=98.6, oxygen_saturation=0.97)
    assert known(result) == {"heart_rate": 80}
    assert result.partly is not None
    assert result.partly.reason == "implausible"
    assert result.partly.detail == "outside the plausible range: temperature, oxygen_saturation"


def test_swapped_pressures_are_dropped_and_the_others_kept() -> None:
    result = measured(heart_rate=80, systolic_bp=70, diastolic_bp=110, mean_arterial_pressure=90)
    assert known(result) == {"heart_rate": 80, "mean_arterial_pressure": 90}
    assert result.partly is not None
    assert result.partly.reason == "contradictory"
    assert "systolic_bp, diastolic_bp" in result.partly.detail


def test_a_mean_over_the_systolic_pressure_is_dropped_without_a_diastolic_one_too() -> None:
    result = measured(systolic_bp=100, mean_arterial_pressure=150)
    assert known(result) == {"systolic_bp": 100}
    assert result.partly == Rejection("contradictory", "these contradict the others: mean_arterial_pressure")


def test_an_implausible_pressure_contradicts_nothing() -> None:
    result = measured(systolic_bp=120, diastolic_bp=5)
    assert known(result) == {"systolic_bp": 120}
    assert result.partly == Rejection("implausible", "outside the plausible range: diastolic_bp")


def test_an_observation_of_all_signs_is_taken_whole() -> None:
    everything: dict[str, object] = {
        "heart_rate": 96,
        "respiratory_rate": 22,
        "temperature": 38.2,
        "oxygen_saturation": 95,
        "systolic_bp": 104,
        "diastolic_bp": 58,
        "mean_arterial_pressure": 73,
    }
    result = measured(event_id="mon-7:118273", schema_version=1, **everything)
    assert (known(result), result.partly, result.time_ms) == (everything, None, START)


def test_values_are_arrays_in_the_order_of_the_table() -> None:
    array = values_array([measured(heart_rate=80), measured(temperature=38.2)])
    assert array.dtype == np.dtype(np.float32)
    assert array.shape == (2, 7)
    assert array[0, 0] == 80
    assert array[1, 2] == np.float32(38.2)
    assert np.isnan(array).sum() == 12
    assert values_array([]).shape == (0, 7)


# -- time


@settings(max_examples=100, deadline=None)
@given(
    st.integers(946_684_800_000, 4_102_444_800_000),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_any_offset_gives_the_same_moment(time_ms: int, offset_minutes: int) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = datetime.fromtimestamp(time_ms // 1000, zone) + timedelta(milliseconds=time_ms % 1000)
    assert parse_time_ms(moment.isoformat(timespec="milliseconds")) == time_ms


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000Z", "2026-11-22t10:00:00z", "2026-11-22T11:30:00+01:30"],
)
def test_times_may_be_written_in_many_ways(text: str) -> None:
    assert parse_time_ms(text) == START


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-22", "2026-11-22T10:00:07", "10:00:07Z", "1795341600", "2026-13-01T00:00:00Z", "now", "2026-W47-7"],
)
def test_times_without_date_or_offset_are_none(text: str) -> None:
    assert parse_time_ms(text) is None


def test_a_monitors_clock_may_run_ahead_by_the_limit_and_no_more() -> None:
    assert isinstance(decoded({**GOOD, "time": utc(START + 300_000)}), Measured)
    wide = Limits(ahead_seconds=3600)
    assert isinstance(decoded({**GOOD, "time": utc(START + 3_600_000)}, limits=wide), Measured)
    assert refused(decoded({**GOOD, "time": utc(START + 3_600_001)}, limits=wide)).reason == "time_ahead"


def test_the_size_limit_includes_its_end() -> None:
    value = json.dumps(GOOD).encode()
    assert isinstance(decoded(value, limits=Limits(value_bytes=len(value))), Measured)
    assert refused(decoded(value, limits=Limits(value_bytes=len(value) - 1))).reason == "value_too_large"
