"""A replay's stream: whatever the data set and the options, what a worker relies on holds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.messages import Admission, Observation
from models.cohort import Cohort
from models.vital_signs import NAMES
from monitor.replay import Message, ReplayOptions, ReplayStream, format_time, shortest_decimals

END = datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC)

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
values = st.lists(st.one_of(st.just(float("nan")), finite), min_size=7, max_size=7)


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    rows = [draw(values) for _ in range(sum(lengths))]
    begins = [draw(st.integers(0, 300)) for _ in lengths]
    steps = [begin + hour for begin, length in zip(begins, lengths, strict=True) for hour in range(length)]
    n = len(lengths)
    return Cohort(
        patient_ids=tuple(f"p{i:06d}" for i in range(n)),
        hospitals=tuple(draw(st.sampled_from(["A", "B", ""])) for _ in range(n)),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        values=np.array(rows, dtype=np.float32).reshape(-1, 7),
        steps=np.array(steps, dtype=np.int32),
        labels=None,
        age_years=np.array([draw(st.sampled_from([63.25, np.nan])) for _ in range(n)], dtype=np.float32),
        sex=np.array([draw(st.sampled_from([0, 1, np.nan])) for _ in range(n)], dtype=np.float32),
        hospital_hours=np.array([draw(st.sampled_from([-322.91, 0.03, np.nan])) for _ in range(n)], dtype=np.float32),
        unit_type=np.array([draw(st.integers(0, 2)) for _ in range(n)], dtype=np.int8),
    )


options = st.builds(
    ReplayOptions,
    stays=st.one_of(st.none(), st.integers(1, 6)),
    seed=st.integers(0, 2**32),
    duplicates=st.sampled_from([0.0, 0.3, 1.0]),
    drop=st.sampled_from([0.0, 0.3, 1.0]),
    shuffle=st.booleans(),
    split=st.booleans(),
    spread_hours=st.sampled_from([0.0, 24.0]),
)


def _decoded(message: Message) -> Admission | Observation:
    kind: Any = Admission if message.topic == "admissions" else Observation
    event: Admission | Observation = msgspec.json.decode(message.value, type=kind)
    return event


def _logs(stream: ReplayStream) -> dict[str, list[tuple[Message, Admission | Observation]]]:
    logs: dict[str, list[tuple[Message, Admission | Observation]]] = defaultdict(list)
    for message in stream.messages():
        event = _decoded(message)
        assert message.key == event.patient_id.encode()
        assert event.time == format_time(message.time)
        logs[event.patient_id].append((message, event))
    return logs


@settings(max_examples=60, deadline=None)
@given(cohorts(), options)
def test_every_log_reads_admitted_observations_discharged_all_in_the_past(
    cohort: Cohort, chosen: ReplayOptions
) -> None:
    stream = ReplayStream(cohort, chosen, END)
    logs = _logs(stream)
    assert len(logs) == stream.n_stays == min(cohort.n_stays, chosen.stays or cohort.n_stays)
    for log in logs.values():
        events = [event for _, event in log]
        first, *observations, last = events
        assert isinstance(first, Admission)
        assert isinstance(last, Admission)
        assert (first.type, last.type) == ("admitted", "discharged")
        assert all(isinstance(event, Observation) for event in observations)
        times = [message.time for message, _ in log]
        assert times[0] == min(times)
        assert times[-1] == max(times)
        assert max(times) < END.timestamp()
        fresh = list(dict.fromkeys(time for time in times[1:-1]))
        if not chosen.shuffle:
            assert fresh == sorted(fresh)


@settings(max_examples=40, deadline=None)
@given(cohorts(), st.booleans(), st.booleans())
def test_values_arrive_exactly_as_they_are_recorded_in_the_hour_of_their_row(
    cohort: Cohort, split: bool, shuffle: bool
) -> None:
    stream = ReplayStream(cohort, ReplayOptions(split=split, shuffle=shuffle), END)
    seen = np.full_like(cohort.values, np.nan)
    starts = {event.patient_id: stream.start[i] for i, event in enumerate(map(_decoded, _admissions(stream)))}
    for message in stream.observations():
        event = _decoded(message)
        assert isinstance(event, Observation)
        stay = cohort.patient_ids.index(event.patient_id)
        step = (message.time - starts[event.patient_id]) // 3600
        begin, end = cohort.offsets[stay : stay + 2]
        row = begin + int(np.flatnonzero(cohort.steps[begin:end] == step)[0])
        sent = [getattr(event, name) for name in NAMES]
        assert not split or sum(value is not None for value in sent) == 1
        for i, value in enumerate(sent):
            if value is not None:
                assert np.isnan(seen[row, i])
                seen[row, i] = np.float32(value)
    np.testing.assert_array_equal(seen, cohort.values)


def _admissions(stream: ReplayStream) -> list[Message]:
    return [stream.admission(stay) for stay in range(stream.n_stays)]


@settings(max_examples=25, deadline=None)
@given(cohorts(), options)
def test_the_same_seed_gives_the_same_bytes(cohort: Cohort, chosen: ReplayOptions) -> None:
    assert list(ReplayStream(cohort, chosen, END).messages()) == list(ReplayStream(cohort, chosen, END).messages())


@settings(max_examples=40, deadline=None)
@given(cohorts(), options)
def test_repeats_repeat_and_drops_are_missing(cohort: Cohort, chosen: ReplayOptions) -> None:
    whole = {m.value for m in ReplayStream(cohort, replace(chosen, duplicates=0, drop=0), END).observations()}
    stream = ReplayStream(cohort, chosen, END)
    sent = [message.value for message in stream.observations()]
    assert len(sent) == stream.n_observations
    assert len(set(sent)) == len(sent) - int(stream.repeat.sum())
    assert len(whole) == len(set(sent)) + stream.n_dropped
    if chosen.drop == 1:
        assert not sent
    if chosen.duplicates == 1:
        assert len(sent) == 2 * len(set(sent))
    elif chosen.duplicates == 0:
        assert not stream.repeat.any()


def test_shuffling_changes_places_within_an_hour_only() -> None:
    cohort = _cohort(np.full((20, 7), 50, dtype=np.float32), [20])
    still = ReplayStream(cohort, ReplayOptions(split=True), END)
    moved = ReplayStream(cohort, ReplayOptions(split=True, shuffle=True), END)
    assert list(moved.time) != list(still.time)
    assert list(moved.row) == list(still.row)
    assert list(moved.due) == list(still.due)
    assert sorted(moved.time) == list(still.time)


def test_an_admission_says_what_the_data_set_knows() -> None:
    cohort = _cohort(np.full((3, 7), 50, dtype=np.float32), [3])
    event = _decoded(ReplayStream(cohort, ReplayOptions(), END).admission(0))
    assert isinstance(event, Admission)
    assert event.admitted == event.time
    assert (event.age, event.sex, event.unit_type, event.unit, event.bed) == (63.5, "male", "surgical", "A-SICU", "01")
    assert event.hospital_admitted is not None
    waited = datetime.fromisoformat(event.time) - datetime.fromisoformat(event.hospital_admitted)
    assert np.float32(waited.total_seconds() / 3600) == cohort.hospital_hours[0]


def test_rows_without_a_vital_sign_send_nothing_and_still_lengthen_the_stay() -> None:
    recorded = np.full((4, 7), np.nan, dtype=np.float32)
    recorded[1, 0] = 300
    stream = ReplayStream(_cohort(recorded, [4]), ReplayOptions(), END)
    (observation,) = stream.observations()
    assert observation.value.endswith(b'"heart_rate":300.0}')
    assert stream.end[0] - stream.start[0] == 4 * 3600


@given(st.lists(st.floats(width=32), max_size=20))
def test_shortest_decimals_narrow_to_the_values_they_came_from(numbers: list[float]) -> None:
    single = np.array(numbers, dtype=np.float32)
    np.testing.assert_array_equal(shortest_decimals(single).astype(np.float32), single)


@pytest.mark.parametrize(("value", "text"), [(36.11, "36.11"), (0.1, "0.1"), (16777216.0, "16777216.0")])
def test_shortest_decimals_print_short(value: float, text: str) -> None:
    assert repr(float(shortest_decimals(np.array([value], dtype=np.float32))[0])) == text


def test_times_are_rfc_3339_in_utc() -> None:
    assert format_time(END.timestamp()) == "2026-11-20T12:30:15Z"
    assert format_time(END.timestamp() + 0.25) == "2026-11-20T12:30:15.250000Z"


def _cohort(recorded: np.ndarray[Any, np.dtype[np.float32]], lengths: list[int]) -> Cohort:
    n = len(lengths)
    return Cohort(
        patient_ids=tuple(f"p{i:06d}" for i in range(n)),
        hospitals=("A",) * n,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        values=recorded,
        steps=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        labels=None,
        age_years=np.full(n, 63.5, dtype=np.float32),
        sex=np.ones(n, dtype=np.float32),
        hospital_hours=np.full(n, 322.91, dtype=np.float32),
        unit_type=np.full(n, 2, dtype=np.int8),
    )
