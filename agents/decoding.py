"""From the bytes of a log record to a checked entry or a rejection: total, it never raises.

Order of checks: size, UTF-8, JSON, fields and types, version, patient id and key, time, then each vital sign against
its plausible range. An observation with some implausible values keeps the others: it is both accepted and reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.checking import (
    PATIENT_ID,
    Headers,
    Limits,
    Refused,
    base_of,
    check_every_field_once,
    check_identity,
    check_time,
    kind_of,
    parse_time_ms,
    parsed,
    source_offset_of,
)
from agents.control import (
    ClockSaid,
    CommandFaulty,
    CommandSaid,
    SettingsSaid,
    ThresholdSaid,
    clock_said,
    command_said,
    settings_said,
    threshold_said,
)
from agents.messages import (
    ADMISSION_TYPE,
    CLOCK_TYPE,
    COMMAND_TYPE,
    OBEYED_TYPE,
    OBSERVATION_TYPE,
    SETTINGS_TYPE,
    STAY_TYPE,
    THRESHOLD_TYPE,
    Admission,
    Observation,
)
from agents.rejection import Rejection
from models.vital_signs import NAMES, VITAL_SIGNS, contradictory

__all__ = [
    "LONGEST_WAIT_MS",
    "OBSERVATION_KIND",
    "STRING_FIELDS",
    "Entry",
    "Headers",
    "Limits",
    "Measured",
    "NamedSaid",
    "StayChange",
    "decode_admission",
    "decode_command",
    "decode_log_record",
    "parse_time_ms",
    "values_array",
]

_OLDEST_YEARS = 130
LONGEST_WAIT_MS = 60 * 24 * 3_600_000  # from a stay's start to its first observation: bounds the steps one event closes
_LABEL_BYTES = 64  # what the state record keeps of a stay id, a unit or a bed
STRING_FIELDS = 2  # patient_id and time; event_id is the optional third

_observation_decoder = msgspec.json.Decoder(Observation, strict=True)
_admission_decoder = msgspec.json.Decoder(Admission, strict=True)
_LOW = tuple(sign.low for sign in VITAL_SIGNS)
_HIGH = tuple(sign.high for sign in VITAL_SIGNS)


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


Entry = Measured | StayChange | CommandSaid | CommandFaulty | ClockSaid
NamedSaid = SettingsSaid | ThresholdSaid  # it is no patient's: from there on a partition is decided on otherwise

_ELSEWHERE = Rejection("unknown_type", "header ce_type names a type that does not belong in this topic")
OBSERVATION_KIND, _STAY, _ADMISSION = map(base_of, (OBSERVATION_TYPE, STAY_TYPE, ADMISSION_TYPE))
_COMMAND, _APPENDED_COMMAND, _CLOCK = map(base_of, (COMMAND_TYPE, OBEYED_TYPE, CLOCK_TYPE))
_SETTINGS, _THRESHOLD = map(base_of, (SETTINGS_TYPE, THRESHOLD_TYPE))


def decode_log_record(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> Entry | NamedSaid | Rejection:
    """Decode one record of the observations topic; never raises."""
    try:
        kind = kind_of(headers, OBSERVATION_KIND)
        if kind != OBSERVATION_KIND:
            return _appended(kind, key, value, headers, timestamp_ms, limits)
        observation = parsed(value, _observation_decoder, limits)
        _check_repeats(value or b"", observation)
        check_identity(observation.patient_id, key, observation.schema_version)
        return _vital_signs(observation, check_time(observation.time, "time", timestamp_ms, limits))
    except Refused as refused:
        return refused.rejection


def _appended(  # noqa: PLR0917 (a record as it stands, and its kind)
    kind: str, key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> Entry | NamedSaid | Rejection:
    if kind == _STAY:
        return _stay_change(key, value, headers, timestamp_ms, limits)
    if kind == _APPENDED_COMMAND:
        return command_said(key, value, headers, timestamp_ms, limits)
    if kind == _CLOCK:
        return clock_said(key, value, timestamp_ms, limits)
    if kind == _SETTINGS:
        return settings_said(value, limits)
    if kind == _THRESHOLD:
        return threshold_said(value, timestamp_ms, limits)
    return _ELSEWHERE


def decode_admission(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> StayChange | Rejection:
    """Decode one record of the admissions topic; never raises."""
    try:
        if kind_of(headers, _ADMISSION) != _ADMISSION:
            return _ELSEWHERE
        return _stay_change(key, value, headers, timestamp_ms, limits)
    except Refused as refused:
        return refused.rejection


def decode_command(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> CommandSaid | CommandFaulty | Rejection:
    """Decode one record of the commands topic; never raises."""
    try:
        if kind_of(headers, _COMMAND) != _COMMAND:
            return _ELSEWHERE
        return command_said(key, value, headers, timestamp_ms, limits)
    except Refused as refused:
        return refused.rejection


def _stay_change(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> StayChange:
    said = parsed(value, _admission_decoder, limits)
    check_every_field_once(value or b"")
    check_identity(said.patient_id, key, said.schema_version)
    _check_admission(said)
    time_ms = check_time(said.time, "time", timestamp_ms, limits)
    admitted, hospital = (
        None if text is None else check_time(text, name, timestamp_ms, limits)
        for name, text in (("admitted", said.admitted), ("hospital_admitted", said.hospital_admitted))
    )
    if admitted is not None and abs(time_ms - admitted) > LONGEST_WAIT_MS:
        raise Refused(Rejection("admission_invalid", "admitted lies more than 60 days from time"))
    return StayChange(said.patient_id, time_ms, said, admitted, hospital, source_offset_of(headers))


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
            raise Refused(Rejection("admission_invalid", f"{name} must be 1 to {_LABEL_BYTES} bytes of printable text"))
    if said.age is not None and not 0 <= said.age <= _OLDEST_YEARS:
        raise Refused(Rejection("admission_invalid", f"age must be 0 to {_OLDEST_YEARS} years"))
    if (said.type == "merged") != (said.into is not None):
        raise Refused(Rejection("admission_invalid", "into belongs to a merged event, and a merged event needs it"))
    if said.into is not None and (not PATIENT_ID.fullmatch(said.into) or said.into == said.patient_id):
        raise Refused(Rejection("admission_invalid", "into must be another patient id"))


def _check_repeats(value: bytes, observation: Observation) -> None:
    """Refuse a field that stands twice: which one counts would depend on the reader.

    The quotes of a plain observation can be counted; only a value with more of them is parsed a second time.
    """
    fields = sum(getattr(observation, name) is not None for name in NAMES) + STRING_FIELDS
    strings = STRING_FIELDS
    if observation.event_id is not None:
        fields, strings = fields + 1, strings + 1
    if value.count(b'"') != 2 * (fields + strings):
        check_every_field_once(value)


def values_array(entries: Sequence[Measured]) -> NDArray[np.float32]:
    """Return the values of observations, (N, 7) float32, NaN = not measured."""
    return np.asarray([entry.values for entry in entries], dtype=np.float32).reshape(-1, len(NAMES))
