"""The catalogue of bad observations: what gateways, monitors and attackers send, and the reason each is refused for.

`time` is taken as the present, so that each case is wrong in one way only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.messages import ADMISSION_TYPE, OBSERVATION_TYPE

__all__ = ["PATIENT", "BadInput", "bad_inputs"]

PATIENT = "bed-17"
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class BadInput:
    """One bad record: `key` and `value` as they are sent, and the reason code that must come back."""

    name: str
    value: bytes | None
    reason: str
    key: bytes | None = PATIENT.encode()
    headers: tuple[tuple[str, bytes], ...] = ()


def bad_inputs(now: datetime) -> list[BadInput]:
    """Return all cases, with times around `now` (UTC)."""
    time = _text(now)
    return [
        *_not_json(time),
        *_wrong_fields(time),
        *_wrong_values(time),
        *_wrong_times(now),
        *_wrong_identity(time),
        *_wrong_envelope(time),
    ]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _body(time: str, **fields: Any) -> bytes:
    return json.dumps({"patient_id": PATIENT, "time": time, **fields}).encode()


def _raw(time: str, rest: str) -> bytes:
    return f'{{"patient_id": "{PATIENT}", "time": "{time}", {rest}}}'.encode()


def _numeric_time(seconds: int) -> bytes:
    return json.dumps({"patient_id": PATIENT, "time": seconds, "heart_rate": 80}).encode()


def _not_json(time: str) -> list[BadInput]:
    good = _body(time, heart_rate=80)
    return [
        BadInput("plain text", b"heart rate 80", "not_json"),
        BadInput("empty value", b"", "not_json"),
        BadInput("no value (a tombstone)", None, "value_missing"),
        BadInput("truncated JSON", good[:-5], "not_json"),
        BadInput("two documents", good + good, "not_json"),
        BadInput(
            "an HL7 message", b"MSH|^~\\&|MON|ICU|||20261122100007||ORU^R01|1|P|2.6\rOBX|1|NM|8867-4||80", "not_json"
        ),
        BadInput("XML", b"<observation><heart_rate>80</heart_rate></observation>", "not_json"),
        BadInput("a byte order mark", b"\xef\xbb\xbf" + good, "not_json"),
        BadInput("UTF-16", good.decode().encode("utf-16"), "not_utf8"),
        BadInput("invalid UTF-8 in a string", good.replace(b"bed-17", b"bed-\xff7"), "not_utf8"),
        BadInput("invalid UTF-8 in an unknown field", good[:-1] + b', "note": "\xc3\x28"}', "not_utf8"),
        BadInput("a lone surrogate", good[:-1] + b', "event_id": "\\ud800"}', "not_json"),
        BadInput("a NUL byte", good[:-1] + b"\x00}", "not_json"),
        BadInput("NaN", _raw(time, '"heart_rate": NaN'), "not_json"),
        BadInput("Infinity", _raw(time, '"heart_rate": Infinity'), "not_json"),
        BadInput("minus Infinity", _raw(time, '"heart_rate": -Infinity'), "not_json"),
        BadInput("deep nesting", _raw(time, '"x": ' + "[" * 5_000 + "]" * 5_000), "too_deep"),
        BadInput(
            "deeper nesting in a small value", _raw(time, '"x": ' + '{"x":' * 2_000 + "1" + "}" * 2_000), "too_deep"
        ),
        BadInput("a value of 5 MB", _raw(time, '"heart_rate": 80, "x": "' + "x" * 5_000_000 + '"'), "value_too_large"),
        BadInput(
            "20 kB of unknown fields",
            _body(time, heart_rate=80, **{f"f{i}": i for i in range(2_000)}),
            "value_too_large",
        ),
        BadInput("a field that stands twice", _raw(time, '"heart_rate": 80, "heart_rate": 180'), "duplicate_field"),
        BadInput(
            "a patient id that stands twice", _raw(time, '"heart_rate": 80, "patient_id": "bed-18"'), "duplicate_field"
        ),
    ]


def _wrong_fields(time: str) -> list[BadInput]:
    return [
        BadInput("an array", b"[1, 2, 3]", "schema"),
        BadInput("a number", b"80", "schema"),
        BadInput("null", b"null", "schema"),
        BadInput("an empty object", b"{}", "schema"),
        BadInput("no patient id", json.dumps({"time": time, "heart_rate": 80}).encode(), "schema"),
        BadInput("no time", json.dumps({"patient_id": PATIENT, "heart_rate": 80}).encode(), "schema"),
        BadInput("no vital sign", _body(time), "no_vital_sign"),
        BadInput("a vital sign that is null", _body(time, heart_rate=None), "no_vital_sign"),
        BadInput("a misspelt vital sign", _body(time, hart_rate=80), "no_vital_sign"),
        BadInput("a number as a string", _body(time, heart_rate="80"), "schema"),
        BadInput("NaN as a string", _body(time, heart_rate="NaN"), "schema"),
        BadInput("a boolean", _body(time, heart_rate=True), "schema"),
        BadInput("a list of values", _body(time, heart_rate=[80, 81]), "schema"),
        BadInput("a value with its unit", _body(time, temperature={"value": 37, "unit": "Cel"}), "schema"),
        BadInput("a patient id that is a number", _body(time, heart_rate=80).replace(b'"bed-17"', b"17"), "schema"),
        BadInput("1e999", _raw(time, '"heart_rate": 1e999'), "schema"),
        BadInput("a number of 5,000 digits", _raw(time, '"heart_rate": ' + "9" * 5_000), "schema"),
        BadInput(
            "an alert in the wrong topic", json.dumps({"alert_id": "x", "transition": "raised"}).encode(), "schema"
        ),
    ]


def _wrong_values(time: str) -> list[BadInput]:
    return [
        BadInput("Fahrenheit", _body(time, temperature=98.6), "implausible"),
        BadInput("kelvin", _body(time, temperature=310.15), "implausible"),
        BadInput("saturation as a fraction", _body(time, oxygen_saturation=0.97), "implausible"),
        BadInput("saturation of 101 %", _body(time, oxygen_saturation=101), "implausible"),
        BadInput("pressure in kPa", _body(time, systolic_bp=16.0), "implausible"),
        BadInput("a negative heart rate", _body(time, heart_rate=-80), "implausible"),
        BadInput("a heart rate of minus zero", _body(time, heart_rate=-0.0), "implausible"),
        BadInput("leads off: 0", _body(time, heart_rate=0, respiratory_rate=0), "implausible"),
        BadInput("the monitors' code for not available", _body(time, heart_rate=8388607), "implausible"),
        BadInput("1e308", _body(time, heart_rate=1e308), "implausible"),
        BadInput("diastolic above systolic", _body(time, systolic_bp=70, diastolic_bp=120), "contradictory"),
    ]


def _wrong_times(now: datetime) -> list[BadInput]:
    local = now.strftime("%Y-%m-%dT%H:%M:%S")
    return [
        BadInput("a time without an offset", _body(local, heart_rate=80), "time_invalid"),
        BadInput("a date alone", _body(now.strftime("%Y-%m-%d"), heart_rate=80), "time_invalid"),
        BadInput("an HL7 time", _body(now.strftime("%Y%m%d%H%M%S+0000"), heart_rate=80), "time_invalid"),
        BadInput("epoch seconds as a string", _body(str(int(now.timestamp())), heart_rate=80), "time_invalid"),
        BadInput("epoch seconds as a number", _numeric_time(int(now.timestamp())), "schema"),
        BadInput("an empty time", _body("", heart_rate=80), "time_invalid"),
        BadInput("month 13", _body("2025-13-01T00:00:00Z", heart_rate=80), "time_invalid"),
        BadInput("1970", _body("1970-01-01T00:00:00Z", heart_rate=80), "time_implausible"),
        BadInput("year 1", _body("0001-01-01T00:00:00Z", heart_rate=80), "time_implausible"),
        BadInput("ten minutes ahead", _body(_text(now + timedelta(minutes=10)), heart_rate=80), "time_ahead"),
        BadInput("2100", _body("2100-01-01T00:00:00Z", heart_rate=80), "time_ahead"),
        BadInput("year 9999", _body("9999-12-31T23:59:59Z", heart_rate=80), "time_ahead"),
    ]


def _wrong_identity(time: str) -> list[BadInput]:
    def named(patient_id: str) -> bytes:
        return json.dumps({"patient_id": patient_id, "time": time, "heart_rate": 80}).encode()

    good = _body(time, heart_rate=80)
    return [
        BadInput("no key", good, "key_missing", key=None),
        BadInput("an empty key", good, "key_mismatch", key=b""),
        BadInput("another patient's key", good, "key_mismatch", key=b"bed-18"),
        BadInput("a key that is not UTF-8", good, "key_mismatch", key=b"\xff\xfe"),
        BadInput("an empty patient id", named(""), "patient_id_invalid", key=b""),
        BadInput("a patient id of 10 kB", named("p" * 10_000), "patient_id_invalid", key=b"p" * 10_000),
        BadInput("a path as patient id", named("../../etc/passwd"), "patient_id_invalid", key=b"../../etc/passwd"),
        BadInput("markup as patient id", named("<script>alert(1)</script>"), "patient_id_invalid", key=b"<script>"),
        BadInput("SQL as patient id", named("'; DROP TABLE stays; --"), "patient_id_invalid", key=b"';"),
        BadInput("a line break in the patient id", named("bed\n17"), "patient_id_invalid", key=b"bed\n17"),
        BadInput("a homoglyph in the patient id", named("bеd-17"), "patient_id_invalid", key="bеd-17".encode()),
        BadInput("a right-to-left mark", named("bed\u202e17"), "patient_id_invalid", key="bed\u202e17".encode()),
    ]


def _wrong_envelope(time: str) -> list[BadInput]:
    good = _body(time, heart_rate=80)
    future = OBSERVATION_TYPE.replace(".v1", ".v99").encode()
    return [
        BadInput("an unknown version in the value", _body(time, heart_rate=80, schema_version=99), "unknown_version"),
        BadInput("a version that is text", _body(time, heart_rate=80, schema_version="one"), "schema"),
        BadInput("an unknown version in ce_type", good, "unknown_version", headers=(("ce_type", future),)),
        BadInput("CloudEvents 2", good, "unknown_version", headers=(("ce_specversion", b"2.0"),)),
        BadInput("an unknown type", good, "unknown_type", headers=(("ce_type", b"com.example.labs.v1"),)),
        BadInput("a type without a version", good, "unknown_type", headers=(("ce_type", b"\xff\x00"),)),
        BadInput(
            "an admission in the observations", good, "unknown_type", headers=(("ce_type", ADMISSION_TYPE.encode()),)
        ),
    ]
