"""Columns say of every record what `decode_log_record` says of it by itself: that one is the reference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.columns import Columns, decode_chunk
from agents.control import SettingsSaid, ThresholdSaid
from agents.decoding import Headers, Measured, NamedSaid, decode_log_record
from agents.messages import OBSERVATION_TYPE
from agents.rejection import Rejection
from tests.agents.logs import BUSY, LIMITS, START, Log, Record, observation, settings_record, wards
from tests.agents.told import told_wards
from tests.bad_inputs import bad_inputs

GOOD = observation("p", START, heart_rate=80, temperature=37.2)


@dataclass(frozen=True)
class Said:
    """What one record comes to, whichever way it was decoded."""

    refused: tuple[Rejection, ...] = ()
    named: NamedSaid | None = None
    entry: object = None
    key: bytes = b""


def one_by_one(log: Log) -> list[Said]:
    found = []
    for record in log:
        said = decode_log_record(record.key, record.value, record.headers, record.timestamp, LIMITS)
        if isinstance(said, Rejection):
            found.append(Said((said,)))
        elif isinstance(said, SettingsSaid | ThresholdSaid):
            found.append(Said(named=said))
        elif isinstance(said, Measured):
            values = tuple(np.array(said.values, dtype=np.float32).tobytes())
            partly = (said.partly,) if said.partly else ()
            found.append(Said(partly, None, (said.time_ms, values), said.patient_id.encode()))
        else:
            found.append(Said(entry=said, key=said.patient_id.encode()))
    return found


def as_columns(log: Log) -> list[Said]:
    columns = decode_chunk(log, LIMITS)
    found = {i: Said((refusal,)) for i, refusal in columns.rejected}
    found |= {i: Said(named=said) for i, said in columns.named}
    for at, i in enumerate(columns.place):
        refused = (columns.partly[at],) if at in columns.partly else ()
        if at in columns.others:
            entry: object = columns.others[at]
        else:
            entry = (int(columns.time_ms[at]), tuple(columns.values[at].tobytes()))
        found[i] = Said(refused, None, entry, columns.key[at])
    assert columns.place == sorted(columns.place)
    return [found[i] for i in range(len(log))]


@settings(max_examples=60, deadline=None)
@given(st.one_of(wards(), told_wards()))
def test_whole_logs_come_to_the_same_as_record_by_record(log: list[Record]) -> None:
    assert as_columns(log) == one_by_one(log)


def test_the_catalogue_of_bad_inputs_comes_to_the_same_amid_good_ones() -> None:
    now = datetime.fromtimestamp(START / 1000, UTC)
    log = [GOOD]
    for bad in bad_inputs(now):
        headers: Headers = bad.headers
        log += [Record(bad.key, bad.value, START, tuple(headers)), GOOD]
    assert as_columns(log) == one_by_one(log)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
FIELDS = ("patient_id", "time", "event_id", "heart_rate", "systolic_bp", "diastolic_bp", "schema_version", "note")
TIMES = ("2026-11-22T10:00:00Z", "2026-11-22T11:00:00.0005+01:00", "2026-11-22T10:00:00", "0001-01-01T00:00:00+14:00")
PLAIN = {"patient_id": "p", "time": TIMES[0], "heart_rate": 80}


@st.composite
def odd_observations(draw: st.DrawFn) -> bytes:
    """Draw an observation with some fields of another kind, some twice, and other bytes than it should have."""
    body: dict[str, object] = dict(PLAIN)
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        body[name] = draw(st.one_of(json_values, st.sampled_from(TIMES), st.sampled_from([80, 119.5, 1e300, -0.0])))
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        text = text[:-1] + f', "{draw(st.sampled_from(FIELDS))}": {json.dumps(draw(json_values))}}}'
    raw = bytearray(text.encode(errors="surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 1]))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


@settings(max_examples=300, deadline=None)
@given(st.lists(odd_observations(), min_size=1, max_size=4))
def test_whatever_stands_in_a_value_comes_to_the_same(values: list[bytes]) -> None:
    log = [Record(b"p", value, START) for value in values]
    assert as_columns(log) == one_by_one(log)


def test_a_chunk_of_plain_observations_is_all_columns() -> None:
    typed = Record(b"p", GOOD.value, START, (("ce_type", OBSERVATION_TYPE.encode()),))
    columns = decode_chunk([GOOD, typed, GOOD], LIMITS)
    assert (columns.place, columns.key) == ([0, 1, 2], [b"p"] * 3)
    assert (columns.others, columns.partly, columns.rejected, columns.named) == ({}, {}, [], [])
    assert columns.values[1].tolist()[:3:2] == [80, np.float32(37.2)]


def test_an_empty_chunk_has_no_entries() -> None:
    columns = decode_chunk([], LIMITS)
    assert (columns.place, columns.values.shape) == ([], (0, 7))


def test_parts_and_what_is_left_out_keep_what_belongs_to_each_entry() -> None:
    log = [
        GOOD,
        observation("p", START, heart_rate=80, temperature=99.5),
        settings_record(BUSY),
        observation("q", START, heart_rate=9999),
        observation("q", START, heart_rate=81, temperature=99.5),
        GOOD,
    ]
    columns = decode_chunk(log, LIMITS)
    assert columns.part(0, 4) is columns

    def told(some: Columns) -> list[tuple[int, bytes, float, bool]]:
        return [(i, some.key[at], float(some.values[at, 0]), at in some.partly) for at, i in enumerate(some.place)]

    everything = told(columns)
    assert everything == [(0, b"p", 80, False), (1, b"p", 80, True), (4, b"q", 81, True), (5, b"p", 80, False)]
    assert told(columns.part(1, 3)) == everything[1:3]
    assert told(columns.without([0, 2])) == [everything[1], everything[3]]
    assert columns.without([0]).rejected == columns.rejected
