"""Decoding of commands, of what the clock says and of settings, and the way of a command into the log."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.appending import checked, decode_command
from agents.control import ClockSaid, CommandFaulty, CommandSaid, SettingsSaid, ThresholdSaid
from agents.decoding import decode_log_record
from agents.messages import CLOCK_TYPE, COMMAND_TYPE, OBEYED_TYPE, SETTINGS_TYPE, THRESHOLD_TYPE
from agents.outputs import utc
from agents.policy import load_policy
from agents.rejection import Rejection
from tests.agents.logs import (
    BUSY,
    HOUR,
    ILL,
    LIMITS,
    START,
    Record,
    clock,
    command,
    numbered,
    observation,
    settings_record,
    threshold_record,
    work_off,
)

SAID: dict[str, Any] = {
    "command_id": "c-1",
    "patient_id": "p",
    "alert_id": "9f645011-4f13-5e22-aa40-c0bac1f33490",
    "type": "acknowledge",
    "time": utc(START),
}
# Of which nobody could tell whose they are, or on what: these are kept as they came.
UNREADABLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"command_id": ""}, "command_invalid"),
    ({"command_id": "x" * 65}, "command_invalid"),
    ({"alert_id": "a\nb"}, "command_invalid"),
    ({"alert_id": None}, "schema"),
    ({"patient_id": "q"}, "key_mismatch"),
    ({"schema_version": 2}, "unknown_version"),
)
# These are answered.
FAULTY: tuple[tuple[dict[str, Any], str], ...] = (
    ({"by": "a\nb"}, "command_invalid"),
    ({"minutes": 30}, "command_invalid"),  # belongs to a snooze
    ({"type": "snooze"}, "command_invalid"),
    ({"type": "snooze", "minutes": 0}, "command_invalid"),
    ({"type": "dismiss"}, "command_invalid"),
    ({"type": "dismiss", "reason": "x" * 257}, "command_invalid"),
    ({"type": "mark"}, "command_invalid"),
    ({"type": "mark", "verdict": "perhaps"}, "schema"),
    ({"type": "mark", "verdict": "perhaps", "time": None}, "schema"),
    ({"type": "forget"}, "schema"),
    ({"sequence": "1"}, "schema"),
    ({"time": "yesterday"}, "time_invalid"),
    ({"time": utc(START + HOUR)}, "time_ahead"),
)


def decoded(**fields: Any) -> object:
    return decode_command(b"p", json.dumps({**SAID, **fields}).encode(), (), START, LIMITS)


def in_log(record: Record) -> object:
    return decode_log_record(record.key, record.value, record.headers, record.timestamp, LIMITS)


@pytest.mark.parametrize(
    "fields",
    [
        {"by": "nurse", "sequence": 2},
        {"type": "snooze", "minutes": 30.5},
        {"type": "dismiss", "reason": "artefact"},
        *({"type": "mark", "verdict": verdict} for verdict in ("true", "false", "already_treated")),
        {"unknown": 1},
    ],
)
def test_commands_are_read(fields: dict[str, Any]) -> None:
    said = decoded(**fields)
    assert isinstance(said, CommandSaid)
    assert (said.patient_id, said.time_ms, said.source_offset) == ("p", START, -1)
    assert said.command.type == fields.get("type", "acknowledge")


@pytest.mark.parametrize(("fields", "reason"), UNREADABLE)
def test_commands_that_do_not_name_themselves_are_refused(fields: dict[str, Any], reason: str) -> None:
    said = decoded(**fields)
    assert isinstance(said, Rejection)
    assert said.reason == reason


@pytest.mark.parametrize(("fields", "reason"), FAULTY)
def test_commands_that_nobody_can_obey_are_answered_from_the_log(fields: dict[str, Any], reason: str) -> None:
    value = json.dumps({**SAID, **fields, "time": fields.get("time", utc(START - HOUR))}).encode()
    record = Record(b"p", value, START, (), 7, "alerts.commands.v1", 3)
    ((key, kept, headers),), refused = checked(decode_command, [record], 3, LIMITS, lambda _: 3)
    assert (key, kept, refused) == (b"p", value, [])
    log = [observation("p", START - HOUR, **ILL), Record(key, kept, START, headers)]
    run = work_off(numbered([*log, log[1]]))
    assert run.rejected == []
    ((offset, answer),) = run.alerts
    assert (offset, answer.transition, answer.reason) == (1, "rejected", reason)
    assert (answer.command_id, answer.alert_id, answer.by) == (SAID["command_id"], SAID["alert_id"], None)
    assert answer.cause
    known = reason == "command_invalid"
    assert answer.occurred_at == utc(START - HOUR if known else START)
    assert run.alerts == work_off(numbered([*log, log[1]]), cuts=[1, 2]).alerts


def test_a_command_of_another_type_is_refused_by_its_header() -> None:
    value = json.dumps(SAID).encode()
    good = decode_command(b"p", value, (("ce_type", COMMAND_TYPE.encode()),), START, LIMITS)
    wrong = decode_command(b"p", value, (("ce_type", OBEYED_TYPE.encode()),), START, LIMITS)
    assert isinstance(good, CommandSaid)
    assert isinstance(wrong, Rejection)
    assert wrong.reason == "unknown_type"


def test_a_command_goes_into_the_log_with_its_own_bytes_and_its_place() -> None:
    value = json.dumps({**SAID, "note": "kept"}).encode()
    records = [Record(b"p", value, START, (), 7, "alerts.commands.v1", 3), Record(b"p", None, START)]
    records.append(Record(b"p", b"{}", START))
    ((key, kept, headers),), refused = checked(decode_command, records, 3, LIMITS, lambda _: 3)
    assert (key, kept, [(i, said.reason) for i, said in refused]) == (b"p", value, [(2, "schema")])
    said = decode_log_record(key, kept, headers, START, LIMITS)
    assert isinstance(said, CommandSaid)
    assert (said.command.command_id, said.source_offset) == ("c-1", 7)
    _, elsewhere = checked(decode_command, records[:1], 3, LIMITS, lambda _: 1)
    assert [rejection.reason for _, rejection in elsewhere] == ["wrong_partition"]


def test_what_stands_in_the_log_is_read_as_what_it_is() -> None:
    assert isinstance(in_log(command("p", "acknowledge", "a", START)), CommandSaid)
    said = in_log(clock("p", START, "escalate", "something_new"))
    assert said == ClockSaid("p", START, frozenset({"escalate", "something_new"}))
    settings_said = in_log(settings_record(BUSY))
    assert isinstance(settings_said, SettingsSaid)
    assert settings_said.settings.policy == BUSY
    assert in_log(threshold_record("MICU", 0.05, BUSY)) == ThresholdSaid("MICU", 0.05, START, BUSY.digest)


def test_policies_of_many_units_fit_into_one_record() -> None:
    units = {f"unit {number}": BUSY for number in range(200)}
    record = settings_record(BUSY, START, units)
    assert len(record.value or b"") > 10 * LIMITS.value_bytes
    said = in_log(record)
    assert isinstance(said, SettingsSaid)
    assert said.settings.units == units
    more = in_log(settings_record(BUSY, START, {f"unit {number}": BUSY for number in range(2_000)}))
    assert isinstance(more, Rejection)
    assert more.reason == "value_too_large"


def test_a_policy_is_the_same_after_its_way_through_the_log() -> None:
    said = in_log(settings_record(load_policy()))
    assert isinstance(said, SettingsSaid)
    assert said.settings.policy == load_policy()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([OBEYED_TYPE, CLOCK_TYPE, SETTINGS_TYPE, THRESHOLD_TYPE]),
    st.one_of(
        st.none(),
        st.binary(max_size=40),
        st.dictionaries(
            st.sampled_from([*SAID, "due", "policy", "model", "unit", "counted_until"]), st.text(max_size=5)
        ).map(msgspec.json.encode),
    ),
)
def test_whatever_is_appended_is_read_or_refused(ce_type: str, value: bytes | None) -> None:
    record = Record(b"p", value, START, (("ce_type", ce_type.encode()),))
    read = Rejection | ClockSaid | CommandSaid | CommandFaulty | SettingsSaid | ThresholdSaid
    assert isinstance(in_log(record), read)
