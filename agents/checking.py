"""Checks that every kind of event goes through: size, UTF-8, JSON, types, version, patient id, key, time.

A check that fails raises `Refused`, which the entrances in `agents.decoding` turn into a `Rejection`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from agents.messages import SCHEMA_VERSION
from agents.rejection import Rejection

__all__ = [
    "PATIENT_ID",
    "YEAR_2000_MS",
    "Headers",
    "Limits",
    "Refused",
    "base_of",
    "check_every_field_once",
    "check_identity",
    "check_time",
    "kind_of",
    "parse_time_ms",
    "parsed",
    "source_offset_of",
]

PATIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
YEAR_2000_MS = 946_684_800_000
_TYPE_VERSION = re.compile(r"(.+)\.v([0-9]{1,9})")
_LONGEST_TYPE = 200
_T = TypeVar("_T")
_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Limits:
    """What is refused, and when a stay is over (configuration section `limits`)."""

    ahead_seconds: float = 300.0  # how far a time may lie after the record's Kafka timestamp
    late_hours: float = 24.0  # how far behind the patient's newest observation one may come
    value_bytes: int = 16_384
    gap_hours: float = 168.0  # an unbroken silence after which the next observation starts a new stay


class Refused(Exception):  # noqa: N818 (named for its effect, like Skip)
    """Ends the decoding of an event; caught at the entrances in `agents.decoding`."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.reason)
        self.rejection = rejection


def parse_time_ms(text: str) -> int | None:
    """Return epoch milliseconds of an RFC 3339 time with an offset, or None if it is not one."""
    try:
        moment = msgspec.convert(text, _AwareDatetime)
    except msgspec.ValidationError:
        return None
    return round(moment.timestamp() * 1000)


def base_of(ce_type: str) -> str:
    """Return a CloudEvents type without its version."""
    return ce_type.rpartition(".v")[0]


def parsed(value: bytes | None, decoder: msgspec.json.Decoder[_T], limits: Limits) -> _T:
    """Return a value as the decoder's type."""
    if value is None:
        raise Refused(Rejection("value_missing", "the record has no value"))
    if len(value) > limits.value_bytes:
        raise Refused(
            Rejection("value_too_large", f"the value has {len(value)} bytes; the limit is {limits.value_bytes}")
        )
    try:
        if not value.isascii():
            value.decode()
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise Refused(Rejection("schema", _without_values(str(error)))) from error
    except RecursionError as error:
        raise Refused(Rejection("too_deep", "the value is nested too deeply")) from error
    except UnicodeError as error:
        raise Refused(Rejection("not_utf8", "the value is not valid UTF-8")) from error
    except msgspec.DecodeError as error:
        raise Refused(Rejection("not_json", _without_values(str(error)))) from error


def _without_values(text: str) -> str:
    """Keep msgspec's message but for what it quotes of the value, which may be a patient's."""
    return re.sub(r"^Invalid enum value .* - at", "Invalid enum value - at", text, flags=re.DOTALL)


def kind_of(headers: Headers, default: str) -> str:
    """Return the CloudEvents type without its version; a record without one is of the topic's default type."""
    kind = default
    for name, raw in headers:
        if name == "ce_type" and raw is not None:
            match = _TYPE_VERSION.fullmatch(raw[:_LONGEST_TYPE].decode(errors="replace"))
            if match is None:
                raise Refused(Rejection("unknown_type", "header ce_type is not a known type with a version"))
            if int(match[2]) != SCHEMA_VERSION:
                raise Refused(
                    Rejection("unknown_version", f"header ce_type has a major version other than {SCHEMA_VERSION}")
                )
            kind = match[1]
        elif name == "ce_specversion" and raw is not None and not raw.startswith(b"1."):
            raise Refused(Rejection("unknown_version", "header ce_specversion is not 1.x"))
    return kind


def source_offset_of(headers: Headers) -> int:
    """Return a record's offset in the topic it was appended from, by its ce_source; -1 where it names none."""
    for name, raw in headers:
        if name == "ce_source" and raw is not None:
            tail = raw.rpartition(b"/")[2]
            return int(tail) if tail.isdigit() and len(tail) < 19 else -1  # noqa: PLR2004 (fits 64 bits)
    return -1


def check_identity(patient_id: str, key: bytes | None, version: int) -> None:
    """Refuse an unknown schema version, and a patient id that is not one or not the key."""
    if version != SCHEMA_VERSION:
        raise Refused(Rejection("unknown_version", f"schema_version is not {SCHEMA_VERSION}"))
    if not PATIENT_ID.fullmatch(patient_id):
        raise Refused(Rejection("patient_id_invalid", "patient_id may have 1 to 64 letters, digits, '_' and '-'"))
    if key is None:
        raise Refused(Rejection("key_missing", "the record has no key; it must be the patient id"))
    if key != patient_id.encode():
        raise Refused(Rejection("key_mismatch", "the record's key is not its patient_id"))


def check_time(text: str, name: str, timestamp_ms: int, limits: Limits) -> int:
    """Return a time as epoch milliseconds; one that lies too far after the record's own timestamp is refused."""
    time_ms = parse_time_ms(text)
    if time_ms is None:
        raise Refused(Rejection("time_invalid", f"{name} is not RFC 3339 with an offset, as 2026-11-22T10:00:07Z"))
    if time_ms < YEAR_2000_MS:
        raise Refused(Rejection("time_implausible", f"{name} lies before the year 2000"))
    if time_ms > timestamp_ms + limits.ahead_seconds * 1000:
        ahead = f"more than {limits.ahead_seconds:g} s after the record's own timestamp"
        raise Refused(Rejection("time_ahead", f"{name} lies {ahead}"))
    return time_ms


def check_every_field_once(value: bytes) -> None:
    """Refuse a field that stands twice: which one counts would depend on the reader."""

    def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        found = list(pairs)
        result = dict(found)
        if len(result) != len(found):
            raise Refused(Rejection("duplicate_field", "a field stands twice in the value"))
        return result

    try:
        json.loads(value, object_pairs_hook=unique, parse_int=len, parse_float=len)  # numbers of any length
    except RecursionError as error:
        raise Refused(Rejection("too_deep", "the value is nested too deeply")) from error
    except ValueError as error:
        raise Refused(Rejection("not_json", "the value is not well-formed JSON")) from error
