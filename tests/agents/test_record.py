"""The state record: what goes in comes out, and damage, foreign keys and other versions are found."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core import Core
from agents.record import RECORD_SCHEMA, RecordLayout, UnknownSchemaError, heads, source_offset, version
from models.artifact import load_model, untrained_model
from models.stay_model import StayModel
from tests.agents.logs import (
    HOUR,
    LIMITS,
    MODEL,
    START,
    Record,
    Run,
    admission,
    between,
    never_alerting,
    new_core,
    numbered,
    observation,
    wards,
    work_off,
)

LAYOUT = RecordLayout(MODEL)


def lived() -> Run:
    """Return a patient three steps into an announced stay with an open alert."""
    log = [admission("p", "admitted", START, stay_id="visit-1", unit="ICU 1", age=71, source_offset=5)]
    log += [observation("p", START + hour * HOUR, heart_rate=120, temperature=38 + hour) for hour in range(3)]
    return work_off(numbered(log), core=new_core(between(1e-6, 1e-7)))


RECORD = lived().states[b"p"]


def sealed(record: bytes) -> bytes:
    """Return a record with the checksum of its content."""
    return record[:4] + struct.pack("<I", zlib.crc32(record[8:], zlib.crc32(record[:4]))) + record[8:]


def test_a_record_is_small() -> None:
    assert len(RECORD) == LAYOUT.record_bytes <= 3000


def test_a_record_of_the_shipped_model_is_small() -> None:
    assert RecordLayout(load_model("bedside")).record_bytes <= 3000


@settings(max_examples=25, deadline=None)
@given(wards())
def test_what_is_stored_is_read_back_to_the_last_bit(log: list[Record]) -> None:
    states = work_off(log).states
    loaded = LAYOUT.load(list(states), list(states.values()))
    assert loaded.resets == {}
    assert LAYOUT.dump(loaded.rows) == list(states.values())


def test_rows_come_in_the_order_of_the_keys_and_unknown_patients_are_fresh() -> None:
    loaded = LAYOUT.load([b"new", b"p"], [None, RECORD])
    assert loaded.rows["key"].tolist() == [b"new", b"p"]
    assert loaded.rows["offset"].tolist() == [-1, 3]
    assert loaded.rows["watched"].tolist() == [0, 1]
    assert loaded.resets == {}


@settings(max_examples=300, deadline=None)
@given(st.integers(0, LAYOUT.record_bytes - 1), st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_found_and_costs_that_patient_alone(place: int, flips: int) -> None:
    damaged = bytearray(RECORD)
    damaged[place] ^= flips
    loaded = LAYOUT.load([b"p", b"p"], [bytes(damaged), RECORD])
    assert loaded.resets == {"damaged": 1}
    assert LAYOUT.dump(loaded.rows[1:]) == [RECORD]
    fresh = LAYOUT.fresh(1)
    fresh["key"] = b"p"
    assert loaded.rows[:1].tobytes() == fresh.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, LAYOUT.record_bytes - 1))
def test_a_record_cut_short_is_found(length: int) -> None:
    assert LAYOUT.load([b"p"], [RECORD[:length]]).resets == {"damaged": 1}


def test_a_record_with_bytes_behind_it_is_found() -> None:
    assert LAYOUT.load([b"p"], [RECORD + b"\0"]).resets == {"damaged": 1}


def test_a_record_under_another_patients_key_is_not_used() -> None:
    loaded = LAYOUT.load([b"q"], [RECORD])
    assert loaded.resets == {"foreign_key": 1}
    assert (loaded.rows["key"][0], loaded.rows["watched"][0], loaded.rows["offset"][0]) == (b"q", 0, -1)


def test_a_record_under_another_patients_key_and_a_damaged_one_have_seen_nothing() -> None:
    assert version(b"p", RECORD) == 3
    assert version(b"q", RECORD) == version(b"pp", RECORD) == version(b"p", RECORD[:-1] + b"\xff") == -1
    assert version(b"!not-a-patient", RECORD) == 3


@pytest.mark.parametrize("part", ["h", "c"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_hidden_state_that_is_not_a_number_starts_anew_and_costs_nothing_else(part: str, value: float) -> None:
    rows = LAYOUT.load([b"p"], [RECORD]).rows.copy()
    rows["state"][part][0, 1] = value
    loaded = LAYOUT.load([b"p", b"q"], [LAYOUT.dump(rows)[0], None])
    assert loaded.resets == {"not_finite": 1}
    assert loaded.rows["state"][0].tobytes() == MODEL.initial(1).tobytes()
    assert (loaded.rows["offset"][0], bytes(loaded.rows["stay_id"][0])) == (3, b"visit-1")


def test_a_record_of_a_newer_version_is_refused() -> None:
    newer = sealed(struct.pack("<H", RECORD_SCHEMA + 1) + RECORD[2:])
    with pytest.raises(UnknownSchemaError, match=f"schema {RECORD_SCHEMA + 1}"):
        LAYOUT.load([b"p"], [newer])
    with pytest.raises(UnknownSchemaError):
        new_core().process(0, numbered([observation("p", START, heart_rate=80)]), {b"p": newer}.get)


@pytest.mark.parametrize("other", [untrained_model(2), untrained_model(2, hidden=16)], ids=["same size", "smaller"])
def test_another_model_keeps_stay_and_alert_and_starts_its_hidden_state_anew(other: StayModel) -> None:
    loaded = RecordLayout(other).load([b"p"], [RECORD])
    before, after = LAYOUT.load([b"p"], [RECORD]).rows[0], loaded.rows[0]
    assert loaded.resets == {"model_changed": 1}
    kept = set(LAYOUT.dtype.names or ()) - {"model", "state", "checksum"}
    assert {name: after[name].tobytes() for name in kept} == {name: before[name].tobytes() for name in kept}
    assert after["state"].tobytes() == other.initial(1).tobytes()


def test_an_alert_goes_on_under_another_model() -> None:
    run = lived()
    raised = run.alerts[-1][1]
    core = Core(untrained_model(2), never_alerting(), LIMITS)
    later = numbered([observation("p", START + 4 * HOUR, heart_rate=80, temperature=37)], first=9)
    work_off(later, core=core, onto=run)
    resolved = run.alerts[-1][1]
    assert run.outcomes[-1].state_resets == {"model_changed": 1}
    assert (raised.alert_id, resolved.transition, resolved.sequence) == (resolved.alert_id, "resolved", 2)
    assert work_off(numbered(later, first=10), core=core, onto=run).outcomes[-1].state_resets == {}


def test_a_damaged_patient_starts_anew_and_the_others_go_on() -> None:
    run = work_off(numbered(observation(name, START, heart_rate=90, temperature=38) for name in ("p", "q")))
    run.states[b"p"] = run.states[b"p"][:-1] + b"\xff"
    later = numbered((observation(name, START + HOUR, heart_rate=90) for name in ("p", "q")), first=2)
    work_off(later, onto=run)
    assert run.outcomes[-1].state_resets == {"damaged": 1}
    assert [(score.patient_id, score.step) for score in run.scores[-2:]] == [("p", 0), ("q", 1)]


def test_the_source_offset_and_the_head_are_read_without_the_model() -> None:
    assert source_offset(RECORD) == 3
    assert source_offset(b"") == source_offset(RECORD[:100]) == source_offset(RECORD[:20] + b"x" + RECORD[21:]) == -1
    ended = work_off(numbered([admission("p", "discharged", START + 3 * HOUR)], first=4), onto=lived())
    both = heads([RECORD, ended.states[b"p"]])
    assert (both["key"].tolist(), both["watched"].tolist()) == ([b"p", b"p"], [1, 0])
    assert both["phase"].tolist() == [[1, 0, 0], [0, 0, 0]]


def test_fresh_rows_know_nothing() -> None:
    rows = LAYOUT.fresh(2)
    assert rows["offset"].tolist() == rows["admissions_offset"].tolist() == [-1, -1]
    assert not rows["watched"].any()
    assert rows["state"].tobytes() == MODEL.initial(2).tobytes()
