"""A chunk of log records as columns: what most records are is checked for all of them at once.

A plain observation (as the contract shows it, with every value in its range) is decoded straight into typed fields and
judged by columns. Whatever is not plain goes through `agents.decoding` one by one, which alone says why a record is
refused: here nothing is ever refused, and a record is plain only where `decode_log_record` would take all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.checking import PATIENT_ID, YEAR_2000_MS, Limits, Refused, kind_of
from agents.control import SettingsSaid, ThresholdSaid
from agents.decoding import OBSERVATION_KIND, STRING_FIELDS, Entry, Measured, NamedSaid, decode_log_record
from agents.messages import SCHEMA_VERSION, Observation
from agents.outcome import LogRecord
from agents.rejection import Rejection
from models.vital_signs import N_VITAL_SIGNS, NAMES, VITAL_SIGNS, contradictory

__all__ = ["Columns", "decode_chunk"]

_LOW = np.array([sign.low for sign in VITAL_SIGNS])
_HIGH = np.array([sign.high for sign in VITAL_SIGNS])
# An Observation whose time is parsed on the way.
_Plain: Any = msgspec.defstruct(
    "_Plain",
    [
        (each.name, Annotated[datetime, msgspec.Meta(tz=True)] if each.name == "time" else each.type)
        if each.required
        else (each.name, each.type, each.default)
        for each in msgspec.structs.fields(Observation)
    ],
    gc=False,
)
_decode = msgspec.json.Decoder(_Plain, strict=True).decode
_values_of = attrgetter(*NAMES)


@dataclass
class Columns:
    """The entries of a chunk in log order; (E) of each, and what has no place among them.

    `others` and `partly` are by entry: what is no observation, and what was refused of one that was taken.
    """

    place: list[int]  # in the chunk
    key: list[bytes]  # the patient's
    time_ms: NDArray[np.int64]  # of measurement, epoch; 0 of others
    values: NDArray[np.float32]  # (E, 7) NaN = not measured
    others: dict[int, Entry] = field(default_factory=dict)
    partly: dict[int, Rejection] = field(default_factory=dict)
    named: list[tuple[int, NamedSaid]] = field(default_factory=list)  # by place in the chunk
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)  # the same

    def part(self, begin: int, end: int) -> Columns:
        """Return the entries from `begin` to `end` (not included)."""
        if (begin, end) == (0, len(self.place)):
            return self
        return Columns(
            self.place[begin:end],
            self.key[begin:end],
            self.time_ms[begin:end],
            self.values[begin:end],
            {at - begin: entry for at, entry in self.others.items() if begin <= at < end},
            {at - begin: refusal for at, refusal in self.partly.items() if begin <= at < end},
        )

    def without(self, unwanted: Sequence[int]) -> Columns:
        """Return all entries but these."""
        gone = set(unwanted)
        kept = [at for at in range(len(self.place)) if at not in gone]
        new = {at: number for number, at in enumerate(kept)}
        return Columns(
            [self.place[at] for at in kept],
            [self.key[at] for at in kept],
            self.time_ms[kept],
            self.values[kept],
            {new[at]: entry for at, entry in self.others.items() if at in new},
            {new[at]: refusal for at, refusal in self.partly.items() if at in new},
            self.named,
            self.rejected,
        )


def decode_chunk(records: Sequence[LogRecord], limits: Limits) -> Columns:
    """Decode the records of the observations topic; never raises."""
    plain, said = _plain(records, limits)
    times = [round(each.time.timestamp() * 1000) for each in said]
    numbers = np.array([_values_of(each) for each in said], dtype=np.float64).reshape(-1, N_VITAL_SIGNS)
    stamps = [records[i].timestamp for i in plain]
    sound = _sound(numbers, np.array(times, dtype=np.int64), np.array(stamps, dtype=np.int64), limits)
    sound &= _every_field_once([records[i].value or b"" for i in plain], said, numbers)
    with np.errstate(over="ignore"):  # of those that are out of range
        values = numbers.astype(np.float32)
    sound &= ~contradictory(values).any(axis=1)
    kept = np.flatnonzero(sound)
    columns = Columns(
        [plain[at] for at in kept.tolist()],
        [records[plain[at]].key or b"" for at in kept.tolist()],
        np.array(times, dtype=np.int64)[kept],
        values[kept],
    )
    return columns if len(kept) == len(records) else _with_others(columns, records, limits)


def _plain(records: Sequence[LogRecord], limits: Limits) -> tuple[list[int], list[Any]]:
    """Return which records may be plain observations, and what they say."""
    plain: list[int] = []
    said: list[Any] = []
    for i, record in enumerate(records):
        value, key = record.value, record.key
        if value is None or key is None or len(value) > limits.value_bytes or not value.isascii():
            continue
        if record.headers and not _is_observation(record):
            continue
        try:
            each = _decode(value)
        except (msgspec.MsgspecError, RecursionError):
            continue
        patient = each.patient_id
        if patient.encode() == key and PATIENT_ID.fullmatch(patient) and each.schema_version == SCHEMA_VERSION:
            plain.append(i)
            said.append(each)
    return plain, said


def _is_observation(record: LogRecord) -> bool:
    try:
        return kind_of(record.headers, OBSERVATION_KIND) == OBSERVATION_KIND
    except Refused:
        return False


def _sound(
    numbers: NDArray[np.float64], times: NDArray[np.int64], stamps: NDArray[np.int64], limits: Limits
) -> NDArray[np.bool_]:
    """Tell which observations (N) have a possible time, and vital signs of which each is plausible."""
    with np.errstate(invalid="ignore"):
        outside = ((numbers < _LOW) | (numbers > _HIGH)).any(axis=1)
    timely = (times >= YEAR_2000_MS) & (times <= stamps + limits.ahead_seconds * 1000)
    sound: NDArray[np.bool_] = timely & ~outside & ~np.isnan(numbers).all(axis=1)
    return sound


def _every_field_once(values: Sequence[bytes], said: Sequence[Any], numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which values (N) have no more quotes than the fields that were found in them (see `agents.decoding`)."""
    named = np.array([each.event_id is not None for each in said], dtype=np.int64)
    fields = (~np.isnan(numbers)).sum(axis=1) + STRING_FIELDS + named
    strings = STRING_FIELDS + named
    found = np.array([value.count(b'"') for value in values], dtype=np.int64)
    once: NDArray[np.bool_] = found == 2 * (fields + strings)
    return once


def _with_others(plain: Columns, records: Sequence[LogRecord], limits: Limits) -> Columns:
    """Return the columns with the records that are not plain, looked at one by one."""
    done = set(plain.place)
    place: list[int] = []
    times: list[int] = []
    values: list[list[float]] = []
    others: dict[int, Entry] = {}
    partly: dict[int, Rejection] = {}
    found = Columns([], [], plain.time_ms, plain.values)
    for i in range(len(records)):
        if i in done:
            continue
        record = records[i]
        entry = decode_log_record(record.key, record.value, record.headers, record.timestamp, limits)
        if isinstance(entry, Rejection):
            found.rejected.append((i, entry))
        elif isinstance(entry, SettingsSaid | ThresholdSaid):
            found.named.append((i, entry))
        else:
            measured = isinstance(entry, Measured)
            place.append(i)
            times.append(entry.time_ms if measured else 0)
            values.append(entry.values if isinstance(entry, Measured) else _NOTHING)
            if not isinstance(entry, Measured):
                others[i] = entry
            elif entry.partly:
                partly[i] = entry.partly
    every = np.array([*plain.place, *place], dtype=np.intp)
    order = np.argsort(every, kind="stable")
    found.place = every[order].tolist()
    found.key = [records[i].key or b"" for i in found.place]
    found.time_ms = np.concatenate([plain.time_ms, np.array(times, dtype=np.int64)])[order]
    more = np.array(values, dtype=np.float32).reshape(-1, N_VITAL_SIGNS)
    found.values = np.concatenate([plain.values, more])[order]
    number = {i: at for at, i in enumerate(found.place)} if others or partly else {}
    found.others = {number[i]: entry for i, entry in others.items()}
    found.partly = {number[i]: refusal for i, refusal in partly.items()}
    return found


_NOTHING = [np.nan] * N_VITAL_SIGNS
