"""What stands in a log beside measurements and stays: commands of people, the wall clock, settings, thresholds.

From bytes to checked entries; a check that fails raises `Refused`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from agents.checking import (
    Headers,
    Limits,
    Refused,
    check_every_field_once,
    check_identity,
    check_time,
    parsed,
    source_offset_of,
)
from agents.messages import SCHEMA_VERSION, Clock, Command, NamedCommand, Settings, UnitThreshold
from agents.rejection import Rejection

__all__ = [
    "LARGEST_SETTINGS",
    "ClockSaid",
    "CommandFaulty",
    "CommandSaid",
    "SettingsSaid",
    "ThresholdSaid",
    "clock_said",
    "command_said",
    "settings_said",
    "threshold_said",
]

LARGEST_SETTINGS = 350_000  # bytes: the policies of some 256 units

_LONGEST_ID = 64
_LONGEST_TEXT = 256
_LONGEST_UNIT = 64
_FIELD_OF = {"snooze": "minutes", "dismiss": "reason", "mark": "verdict"}  # what a command of a type needs


class _Named(NamedCommand, frozen=True, gc=False):
    schema_version: int = SCHEMA_VERSION


_named_decoder = msgspec.json.Decoder(_Named, strict=True)
_command_decoder = msgspec.json.Decoder(Command, strict=True)
_clock_decoder = msgspec.json.Decoder(Clock, strict=True)
_settings_decoder = msgspec.json.Decoder(Settings, strict=True)
_threshold_decoder = msgspec.json.Decoder(UnitThreshold, strict=True)


@dataclass(frozen=True, slots=True)
class CommandSaid:
    """A checked command; `time_ms` is when it was given."""

    patient_id: str
    time_ms: int
    command: Command
    source_offset: int = -1  # its offset in the commands topic; -1 when it did not come from there


@dataclass(frozen=True, slots=True)
class CommandFaulty:
    """A command that nobody could ever obey, but that says enough to be answered: `rejection` is the answer.

    `time_ms` is when it was given, or where that cannot be read when it came.
    """

    patient_id: str
    time_ms: int
    command: NamedCommand
    rejection: Rejection
    source_offset: int = -1  # as that of a CommandSaid


@dataclass(frozen=True, slots=True)
class ClockSaid:
    """What the wall clock said of a patient at `time_ms`."""

    patient_id: str
    time_ms: int
    due: frozenset[str]
    log_begins: int = 0  # the first offset that the log held, where it is to let go of a patient


@dataclass(frozen=True, slots=True)
class SettingsSaid:
    """The settings for what stands after it in the partition."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class ThresholdSaid:
    """A unit's raise threshold for what stands after it in the partition, and the digest of the policy it follows."""

    unit: str
    raise_threshold: float
    counted_until_ms: int
    policy: str


def command_said(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, limits: Limits
) -> CommandSaid | CommandFaulty:
    """Decode a command; only one that does not even name itself, its alert and its patient is refused."""
    named = parsed(value, _named_decoder, limits)
    check_every_field_once(value or b"")
    check_identity(named.patient_id, key, named.schema_version)
    _check_texts({"command_id": named.command_id, "alert_id": named.alert_id}, _LONGEST_ID)
    time_ms, offset = timestamp_ms, source_offset_of(headers)
    try:
        said = parsed(value, _command_decoder, limits)
        time_ms = check_time(said.time, "time", timestamp_ms, limits)
        _check_command(said)
    except Refused as refused:
        return CommandFaulty(named.patient_id, time_ms, named, refused.rejection, offset)
    return CommandSaid(said.patient_id, time_ms, said, offset)


def _check_command(said: Command) -> None:
    _check_texts({"by": said.by}, _LONGEST_ID)
    _check_texts({"reason": said.reason}, _LONGEST_TEXT)
    for kind, name in _FIELD_OF.items():
        given = getattr(said, name) is not None
        if said.type == kind and not given:
            raise Refused(Rejection("command_invalid", f"a {kind} command needs {name}"))
        if given and said.type != kind:
            raise Refused(Rejection("command_invalid", f"{name} belongs to a {kind} command, not to {said.type}"))
    if said.minutes is not None and not said.minutes > 0:
        raise Refused(Rejection("command_invalid", "minutes must be above 0"))


def _check_texts(texts: Mapping[str, str | None], most: int) -> None:
    for name, text in texts.items():
        if text is not None and not (0 < len(text.encode()) <= most and text.isprintable()):
            raise Refused(Rejection("command_invalid", f"{name} must be 1 to {most} bytes of printable text"))


def clock_said(key: bytes | None, value: bytes | None, timestamp_ms: int, limits: Limits) -> ClockSaid:
    """Decode what the wall clock said."""
    said = parsed(value, _clock_decoder, limits)
    check_identity(said.patient_id, key, said.schema_version)
    time_ms = check_time(said.time, "time", timestamp_ms, limits)
    log_begins = max((due.log_begins for due in said.due), default=0)
    return ClockSaid(said.patient_id, time_ms, frozenset(due.what for due in said.due), log_begins)


def settings_said(value: bytes | None, limits: Limits) -> SettingsSaid:
    """Decode settings."""
    said = parsed(value, _settings_decoder, replace(limits, value_bytes=max(limits.value_bytes, LARGEST_SETTINGS)))
    if said.schema_version != SCHEMA_VERSION:
        raise Refused(Rejection("unknown_version", f"schema_version is not {SCHEMA_VERSION}"))
    size = len(msgspec.json.encode(said)) if said.units else 0
    if size > LARGEST_SETTINGS:
        raise Refused(
            Rejection("value_too_large", f"in full the settings have {size} bytes, more than is kept of them")
        )
    return SettingsSaid(said)


def threshold_said(value: bytes | None, timestamp_ms: int, limits: Limits) -> ThresholdSaid:
    """Decode a unit's threshold."""
    said = parsed(value, _threshold_decoder, limits)
    check_every_field_once(value or b"")
    if said.schema_version != SCHEMA_VERSION:
        raise Refused(Rejection("unknown_version", f"schema_version is not {SCHEMA_VERSION}"))
    if len(said.unit.encode()) > _LONGEST_UNIT or not said.unit.isprintable():
        raise Refused(Rejection("threshold_invalid", f"unit must be up to {_LONGEST_UNIT} bytes of printable text"))
    counted_until_ms = check_time(said.counted_until, "counted_until", timestamp_ms, limits)
    return ThresholdSaid(said.unit, said.raise_threshold, counted_until_ms, said.policy.digest)
