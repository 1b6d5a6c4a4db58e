"""From the bytes of a log record to a checked entry or a rejection: total, it never raises.

Order of checks: size, UTF-8, JSON, fields and types, version, patient id and key, time, then each vital sign against
its plausible range. An observation with some implausible values keeps the others: it is both accepted and reported.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.messages import ADMISSION_TYPE, OBSERVATION_TYPE, SCHEMA_VERSION, STAY_TYPE, Admission, Observation
from agents.rejection import Rejection
from models.vital_signs import NAMES, VITAL_SIGNS, contradictory

__all__ = [
    "LONGEST_WAIT_MS",
    "Entry",
    "Limits",
    "Measured",
    "StayChange",
    "decode_admission",
    "decode_log_record",
    "parse_time_ms",
    "values_array",
]

_PATIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_YEAR_2000_MS = 946_684_800_000
_TYPE_VERSION = re.compile(r"(.+)\.v([0-9]{1,9})")
_LONGEST_TYPE = 200
_OLDEST_YEARS = 130
LONGEST_WAIT_MS = 60 * 24 * 3_600_000  # from a stay's start to its first observation: bounds the steps one event closes
_LABEL_BYTES = 64  # what the state record keeps of a stay id, a unit or a bed
_STRING_FIELDS = 2  # patient_id and time; event_id is the optional third
_T = TypeVar("_T")
_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]

_observation_decoder = msgspec.json.Decoder(Observation, strict=True)
_admission_decoder = msgspec.json.Decoder(Admission, strict=True)
_LOW = tuple(sign.low for sign in VITAL_SIGNS)
_HIGH = tuple(sign.high for sign in VITAL_SIGNS)
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Limits:
    """What is refused, and when a stay is over (configuration section `limits`)."""

    ahead_seconds: float = 300.0  # how far a time may lie after the record's Kafka timestamp
    late_hours: float = 24.0  # how far behind the patient's newest observation one may come
    value_bytes: int = 16_384
    gap_hours: float = 168.0  # an unbroken silence after which the next observation starts a new stay


@dataclass(frozen=True, slots=True)
class Measured:
    """A checked observation: time in epoch milliseconds, values in the order of VITAL_SIGNS, NaN = not in it."""

    patient_id: str
    time_ms: int
    values: list[float]
    partly: Rejection | None = None  # some of its values were refused; the others count


@dataclass(frozen=True, slots=True)
class StayChange:
    """A checked admission event, its times in epoch milliseconds."""

    patient_id: str
    time_ms: int
    admission: Admission
    admitted_ms: int | None
    hospital_admitted_ms: int | None
    source_offset: int = -1  # its offset in the admissions topic; -1 when it did not come from there


Entry = Measured | StayChange


def parse_time_ms(text: str) -> int | None:
    """Return epoch milliseconds of an RFC 3339 time with an offset, or None if it is not one."""
    try:
        moment = msgspec.convert(text, _AwareDatetime)
    except msgspec.ValidationError:
        return None
    return round(moment.timestamp() * 1000)


def _base(ce_type: str) -> str:
    return ce_type.rpartition(".v")[0]


_OBSERVATION, _STAY, _ADMISSION = map(_base, (OBSERVATION_TYPE, STAY_TYPE, ADMISSION_TYPE))


class _Refused(Exception):  # noqa: N818 (named for its effect, like Skip)
    """Ends the decoding of an event; caught at the two entrances below."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.reason)
        self.rejection = rejection


def decode_log_record(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> Entry | Rejection:
    """Decode one record of the observations topic; never raises."""
    try:
        kind = _kind(headers, _OBSERVATION)
        if kind == _STAY:
            return _stay_change(key, value, headers, timestamp_ms, limits)
        if kind != _OBSERVATION:
            return Rejection("unknown_type", "header ce_type names a type that does not belong in this topic")
        observation = _parsed(value, _observation_decoder, limits)
        _check_repeats(value or b"", observation)
        _check_identity(observation.patient_id, key, observation.schema_version)
        return _vital_signs(observation, _checked_time(observation.time, "time", timestamp_ms, limits))
    except _Refused as refused:
        return refused.rejection


def decode_admission(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> StayChange | Rejection:
    """Decode one record of the admissions topic; never raises."""
    try:
        if _kind(headers, _ADMISSION) != _ADMISSION:
            return Rejection("unknown_type", "header ce_type names a type that does not belong in this topic")
        return _stay_change(key, value, headers, timestamp_ms, limits)
    except _Refused as refused:
        return refused.rejection


def _stay_change(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> StayChange:
    said = _parsed(value, _admission_decoder, limits)
    _check_every_field_once(value or b"")
    _check_identity(said.patient_id, key, said.schema_version)
    _check_admission(said)
    time_ms = _checked_time(said.time, "time", timestamp_ms, limits)
    admitted, hospital = (
        None if text is None else _checked_time(text, name, timestamp_ms, limits)
        for name, text in (("admitted", said.admitted), ("hospital_admitted", said.hospital_admitted))
    )
    if admitted is not None and abs(time_ms - admitted) > LONGEST_WAIT_MS:
        raise _Refused(Rejection("admission_invalid", "admitted lies more than 60 days from time"))
    return StayChange(said.patient_id, time_ms, said, admitted, hospital, _admissions_offset(headers))


def _parsed(value: bytes | None, decoder: msgspec.json.Decoder[_T], limits: Limits) -> _T:
    if value is None:
        raise _Refused(Rejection("value_missing", "the record has no value"))
    if len(value) > limits.value_bytes:
        raise _Refused(
            Rejection("value_too_large", f"the value has {len(value)} bytes; the limit is {limits.value_bytes}")
        )
    try:
        if not value.isascii():
            value.decode()
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise _Refused(Rejection("schema", _without_values(str(error)))) from error
    except RecursionError as error:
        raise _Refused(Rejection("too_deep", "the value is nested too deeply")) from error
    except UnicodeError as error:
        raise _Refused(Rejection("not_utf8", "the value is not valid UTF-8")) from error
    except msgspec.DecodeError as error:
        raise _Refused(Rejection("not_json", _without_values(str(error)))) from error


def _without_values(text: str) -> str:
    """Keep msgspec's message but for what it quotes of the value, which may be a patient's."""
    return re.sub(r"^Invalid enum value .* - at", "Invalid enum value - at", text, flags=re.DOTALL)


def _kind(headers: Headers, default: str) -> str:
    """Return the CloudEvents type without its version; a record without one is of the topic's default type."""
    kind = default
    for name, raw in headers:
        if name == "ce_type" and raw is not None:
            match = _TYPE_VERSION.fullmatch(raw[:_LONGEST_TYPE].decode(errors="replace"))
            if match is None:
                raise _Refused(Rejection("unknown_type", "header ce_type is not a known type with a version"))
            if int(match[2]) != SCHEMA_VERSION:
                raise _Refused(
                    Rejection("unknown_version", f"header ce_type has a major version other than {SCHEMA_VERSION}")
                )
            kind = match[1]
        elif name == "ce_specversion" and raw is not None and not raw.startswith(b"1."):
            raise _Refused(Rejection("unknown_version", "header ce_specversion is not 1.x"))
    return kind


def _admissions_offset(headers: Headers) -> int:
    for name, raw in headers:
        if name == "ce_source" and raw is not None:
            tail = raw.rpartition(b"/")[2]
            return int(tail) if tail.isdigit() and len(tail) < 19 else -1  # noqa: PLR2004 (fits 64 bits)
    return -1


def _check_identity(patient_id: str, key: bytes | None, version: int) -> None:
    if version != SCHEMA_VERSION:
        raise _Refused(Rejection("unknown_version", f"schema_version is not {SCHEMA_VERSION}"))
    if not _PATIENT_ID.fullmatch(patient_id):
        raise _Refused(Rejection("patient_id_invalid", "patient_id may have 1 to 64 letters, digits, '_' and '-'"))
    if key is None:
        raise _Refused(Rejection("key_missing", "the record has no key; it must be the patient id"))
    if key != patient_id.encode():
        raise _Refused(Rejection("key_mismatch", "the record's key is not its patient_id"))


def _checked_time(text: str, name: str, timestamp_ms: int, limits: Limits) -> int:
    time_ms = parse_time_ms(text)
    if time_ms is None:
        raise _Refused(Rejection("time_invalid", f"{name} is not RFC 3339 with an offset, as 2026-11-22T10:00:07Z"))
    if time_ms < _YEAR_2000_MS:
        raise _Refused(Rejection("time_implausible", f"{name} lies before the year 2000"))
    if time_ms > timestamp_ms + limits.ahead_seconds * 1000:
        ahead = f"more than {limits.ahead_seconds:g} s after the record's own timestamp"
        raise _Refused(Rejection("time_ahead", f"{name} lies {ahead}"))
    return time_ms


def _vital_signs(observation: Observation, time_ms: int) -> Measured | Rejection:
    values: list[float] = []
    refused: list[str] = []
    found = 0
    for name, low, high in zip(NAMES, _LOW, _HIGH, strict=True):
        value = getattr(observation, name)
        if value is None:
            values.append(math.nan)
            continue
        found += 1
        if low <= value <= high:
            values.append(value)
        else:
            values.append(math.nan)
            refused.append(name)
    if not found:
        return Rejection("no_vital_sign", "the observation carries no vital sign")
    partly = Rejection("implausible", "outside the plausible range: " + ", ".join(refused)) if refused else None
    if observation.systolic_bp is not None or observation.diastolic_bp is not None:
        wrong = contradictory(np.asarray([values], dtype=np.float32))[0]
        if wrong.any():
            names = [name for name, bad in zip(NAMES, wrong, strict=True) if bad]
            values = [math.nan if bad else value for value, bad in zip(values, wrong, strict=True)]
            partly = Rejection("contradictory", "these contradict the others: " + ", ".join(names + refused))
    if partly and all(map(math.isnan, values)):
        return partly
    return Measured(observation.patient_id, time_ms, values, partly)


def _check_admission(said: Admission) -> None:
    for name, text in (("stay_id", said.stay_id), ("unit", said.unit), ("bed", said.bed)):
        if text is not None and not (0 < len(text.encode()) <= _LABEL_BYTES and text.isprintable()):
            raise _Refused(
                Rejection("admission_invalid", f"{name} must be 1 to {_LABEL_BYTES} bytes of printable text")
            )
    if said.age is not None and not 0 <= said.age <= _OLDEST_YEARS:
        raise _Refused(Rejection("admission_invalid", f"age must be 0 to {_OLDEST_YEARS} years"))
    if (said.type == "merged") != (said.into is not None):
        raise _Refused(Rejection("admission_invalid", "into belongs to a merged event, and a merged event needs it"))
    if said.into is not None and (not _PATIENT_ID.fullmatch(said.into) or said.into == said.patient_id):
        raise _Refused(Rejection("admission_invalid", "into must be another patient id"))


def _check_repeats(value: bytes, observation: Observation) -> None:
    """Refuse a field that stands twice: which one counts would depend on the reader.

    The quotes of a plain observation can be counted; only a value with more of them is parsed a second time.
    """
    fields = sum(getattr(observation, name) is not None for name in NAMES) + _STRING_FIELDS
    strings = _STRING_FIELDS
    if observation.event_id is not None:
        fields, strings = fields + 1, strings + 1
    if value.count(b'"') != 2 * (fields + strings):
        _check_every_field_once(value)


def _check_every_field_once(value: bytes) -> None:
    def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        found = list(pairs)
        result = dict(found)
        if len(result) != len(found):
            raise _Refused(Rejection("duplicate_field", "a field stands twice in the value"))
        return result

    try:
        json.loads(value, object_pairs_hook=unique, parse_int=len, parse_float=len)  # numbers of any length
    except RecursionError as error:
        raise _Refused(Rejection("too_deep", "the value is nested too deeply")) from error
    except ValueError as error:
        raise _Refused(Rejection("not_json", "the value is not well-formed JSON")) from error


def values_array(entries: Sequence[Measured]) -> NDArray[np.float32]:
    """Return the values of observations, (N, 7) float32, NaN = not measured."""
    return np.asarray([entry.values for entry in entries], dtype=np.float32).reshape(-1, len(NAMES))
