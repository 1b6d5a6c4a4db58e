"""The open step's arrays against statistics.median and dictionaries."""

from __future__ import annotations

import statistics
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents import open_step
from agents.open_step import SLOTS, STEP_MS, UNIT_MS
from agents.record import RecordLayout, Rows
from models.vital_signs import DIASTOLIC_BP, HEART_RATE, MEAN_ARTERIAL_PRESSURE, SYSTOLIC_BP
from tests.agents.logs import MODEL, START

SLOT_MS = STEP_MS // SLOTS
ONE = np.array([0])
_MEASURED = st.lists(
    st.tuples(st.integers(0, STEP_MS - 1) | st.sampled_from([0, 1, SLOT_MS - 1, SLOT_MS]), st.integers(30, 40)),
    min_size=1,
    max_size=30,
)


def empty(n: int = 1, step: int = 0) -> Rows:
    rows = RecordLayout(MODEL).fresh(n)
    index = np.arange(n)
    open_step.clear(rows, index)
    rows["last_value"] = np.nan
    rows["start_ms"] = START
    rows["open_step"] = step
    return rows


def keep(rows: Rows, within_ms: int, **signs: float) -> bool:
    """Put one observation into row 0; `within_ms` from the open step's start."""
    time_ms = START + int(rows["open_step"][0]) * STEP_MS + within_ms
    return bool(open_step.keep_measured(rows, ONE, np.array([time_ms]), values(**signs))[0])


def values(**signs: float) -> NDArray[np.float32]:
    places = {
        "heart_rate": HEART_RATE,
        "systolic_bp": SYSTOLIC_BP,
        "diastolic_bp": DIASTOLIC_BP,
        "mean_arterial_pressure": MEAN_ARTERIAL_PRESSURE,
    }
    row = np.full((1, 7), np.nan, dtype=np.float32)
    for name, value in signs.items():
        row[0, places[name]] = value
    return row


@st.composite
def runs(draw: st.DrawFn) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float32]]:
    """Draw observations of some of four rows' open steps (the third hour), by row; rising, but for a few."""
    row, within, measured = [], [], []
    for number in sorted(draw(st.sets(st.integers(0, 3), min_size=1))):
        time = draw(st.integers(0, STEP_MS // 2))
        for _ in range(draw(st.integers(1, 6))):
            row.append(number)
            within.append(time)
            time += draw(
                st.sampled_from([UNIT_MS, UNIT_MS + 1, 60_000, SLOT_MS, *draw(st.sampled_from([(), (0, -7)]))])
            )
            measured.append(draw(st.lists(st.sampled_from([np.nan, 40, 60, 61]), min_size=7, max_size=7)))
    times = START + 2 * STEP_MS + np.clip(within, 0, STEP_MS - 1)
    return np.array(row), times.astype(np.int64), np.array(measured, dtype=np.float32)


@settings(max_examples=150, deadline=None)
@given(runs(), st.lists(st.tuples(st.integers(0, 3), st.integers(0, STEP_MS), st.integers(50, 70)), max_size=6))
def test_what_comes_in_order_is_kept_at_once_as_one_by_one(
    run: tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float32]], earlier: list[tuple[int, int, int]]
) -> None:
    row, times, measured = run
    rows = empty(4, step=2)
    for number, before, value in earlier:  # in the hour before, or early in this one
        index, when = np.array([number]), np.array([START + 2 * STEP_MS + before // 4 - STEP_MS // 8])
        keep_it = open_step.keep_measured if when[0] >= START + 2 * STEP_MS else open_step.keep_late
        keep_it(rows, index, when, values(heart_rate=value, systolic_bp=value))
    chosen = open_step.in_order(rows, row, times)[row]
    row, times, measured = row[chosen], times[chosen], measured[chosen]
    one_by_one = rows.copy()
    expected = []
    for number, time, some in zip(row, times, measured, strict=True):
        changed = open_step.keep_measured(one_by_one, np.array([number]), np.array([time]), some[None])
        assert changed[0] == (~np.isnan(some)).any()
        expected.append(open_step.glimpse(one_by_one, np.array([number])))
    if not len(row):
        return
    seen = open_step.keep_in_order(rows, row, times, measured)
    assert rows.tobytes() == one_by_one.tobytes()
    for name in ("slot_value", "late_value", "late_ms"):
        assert getattr(seen, name).tobytes() == b"".join(getattr(each, name).tobytes() for each in expected)


def test_order_is_by_more_than_the_unit_of_time_and_after_all_that_is_known() -> None:
    rows = empty(3, step=0)
    open_step.keep_measured(rows, np.array([1]), np.array([START + 60_000]), values(heart_rate=80))
    rows["open_step"][2] = 1
    row = np.array([0, 0, 1, 1, 2])
    times = START + np.array([0, UNIT_MS, 60_000 + UNIT_MS, 90_000, 5_000])
    assert open_step.in_order(rows, row, times).tolist() == [True, True, False]  # the last one is late
    assert open_step.in_order(rows, row, times - np.array([0, 1, 0, 0, 0])).tolist() == [False, True, False]
    assert open_step.in_order(rows, row, times - np.array([0, 0, 1, 0, 0])).tolist() == [True, False, False]
    assert open_step.in_order(rows, row[:0], times[:0]).tolist() == [False] * 3


@settings(max_examples=100, deadline=None)
@given(_MEASURED, st.randoms(use_true_random=False))
def test_the_steps_value_is_the_median_of_the_slots_latest_measurements(
    measured: list[tuple[int, int]], random: Random
) -> None:
    rows = empty(step=3)
    slots: dict[int, tuple[int, int]] = {}
    for within, value in measured:
        keep(rows, within, heart_rate=value)
        slots[within // SLOT_MS] = max(slots.get(within // SLOT_MS, (-1, 0)), (within // UNIT_MS, value))
    result = open_step.glimpse(rows, ONE).step_values()
    assert result[0, HEART_RATE] == np.float32(statistics.median(value for _, value in slots.values()))
    assert np.isnan(np.delete(result[0], HEART_RATE)).all()
    shuffled = empty(step=3)
    random.shuffle(measured)
    for within, value in measured:
        keep(shuffled, within, heart_rate=value)
    assert shuffled.tobytes() == rows.tobytes()


def test_one_artefact_does_not_move_the_value() -> None:
    rows = empty()
    for slot, value in enumerate([80, 81, 250, 80, 81]):
        keep(rows, slot * SLOT_MS, heart_rate=value)
    assert open_step.glimpse(rows, ONE).step_values()[0, HEART_RATE] == 81


def test_a_repeat_or_an_older_one_of_the_slot_changes_nothing() -> None:
    rows = empty()
    assert keep(rows, 60_000, heart_rate=80)
    assert not keep(rows, 60_000, heart_rate=80)
    assert not keep(rows, 30_000, heart_rate=200)
    assert keep(rows, 90_000, heart_rate=70)


def test_of_two_at_the_same_moment_the_greater_counts() -> None:
    for order in ((80, 90), (90, 80)):
        rows = empty()
        for value in order:
            keep(rows, 60_000, heart_rate=value)
        assert open_step.glimpse(rows, ONE).step_values()[0, HEART_RATE] == 90
        assert rows["last_value"][0, HEART_RATE] == 90


@pytest.mark.parametrize(
    ("signs", "missing"),
    [
        ({"systolic_bp": 120, "diastolic_bp": 80, "mean_arterial_pressure": 93}, set()),
        ({"systolic_bp": 80, "diastolic_bp": 120, "mean_arterial_pressure": 93}, {SYSTOLIC_BP, DIASTOLIC_BP}),
        ({"systolic_bp": 120, "diastolic_bp": 80, "mean_arterial_pressure": 60}, {MEAN_ARTERIAL_PRESSURE}),
        ({"systolic_bp": 120, "mean_arterial_pressure": 130}, {MEAN_ARTERIAL_PRESSURE}),
    ],
)
def test_values_that_contradict_each_other_are_missing(signs: dict[str, float], missing: set[int]) -> None:
    rows = empty()
    for slot, (name, value) in enumerate(signs.items()):
        keep(rows, slot * SLOT_MS, **{name: value})
    given_signs = set(np.flatnonzero(~np.isnan(values(**signs)[0])).tolist())
    present = set(np.flatnonzero(~np.isnan(open_step.glimpse(rows, ONE).step_values()[0])).tolist())
    assert present == given_signs - missing


def test_rows_keep_to_themselves() -> None:
    rows = empty(3)
    index = np.array([2, 0])
    both = np.concatenate([values(heart_rate=80), values(heart_rate=90)])
    open_step.keep_measured(rows, index, np.array([START, START + SLOT_MS]), both)
    medians = open_step.glimpse(rows, np.arange(3)).step_values()[:, HEART_RATE]
    assert np.array_equal(medians, np.array([90, np.nan, 80], dtype=np.float32), equal_nan=True)


def test_closing_empties_the_step_and_remembers_what_it_knew() -> None:
    rows = empty(step=2)
    keep(rows, 60_000, heart_rate=80)
    open_step.close(rows, ONE)
    assert rows["open_step"][0] == 3
    assert np.isnan(open_step.glimpse(rows, ONE).step_values()).all()
    assert rows["closed_ms"][0].tolist() == [START + 2 * STEP_MS + 60_004, 0, 0, 0, 0, 0, 0]
    assert rows["last_value"][0, HEART_RATE] == 80
    open_step.close(rows, ONE)
    assert rows["closed_ms"][0, HEART_RATE] == START + 2 * STEP_MS + 60_004


def offered(rows: Rows, time_ms: int, **signs: float) -> tuple[bool, int]:
    changed, overtaken = open_step.keep_late(rows, ONE, np.array([time_ms]), values(**signs))
    return bool(changed[0]), int(overtaken[0])


def test_a_late_value_counts_only_where_no_closed_step_knows_a_newer_one() -> None:
    rows = empty()
    keep(rows, 600_000, heart_rate=80)
    open_step.close(rows, ONE)
    assert offered(rows, START + 300_000, heart_rate=99, systolic_bp=120) == (True, 1)
    assert offered(rows, START + 600_000, heart_rate=99) == (False, 0)
    late, steps = open_step.glimpse(rows, ONE).late_values(rows["start_ms"][ONE])
    assert np.flatnonzero(~np.isnan(late[0])).tolist() == [SYSTOLIC_BP]
    assert steps[0, SYSTOLIC_BP] == 0
    assert offered(rows, START + 601_000, heart_rate=70) == (True, 0)
    assert rows["last_value"][0, HEART_RATE] == 70


@pytest.mark.parametrize("within", [0, 1, 3, 4, 299_999, 300_000, STEP_MS - 1])
def test_a_closed_step_knows_its_newest_measurement_whatever_the_millisecond(within: int) -> None:
    rows = empty()
    keep(rows, within, heart_rate=80)
    open_step.close(rows, ONE)
    assert offered(rows, START + within, heart_rate=99) == (False, 0)
    assert offered(rows, START + within // UNIT_MS * UNIT_MS + UNIT_MS, heart_rate=99) == (True, 0)


def test_measurements_of_one_unit_of_time_count_in_whatever_order() -> None:
    for order in (((60_000, 90), (60_004, 80)), ((60_004, 80), (60_000, 90))):
        rows = empty()
        for within, value in order:
            keep(rows, within, heart_rate=value)
        assert open_step.glimpse(rows, ONE).step_values()[0, HEART_RATE] == 90
        assert rows["last_value"][0, HEART_RATE] == 80
    assert keep(rows, 60_005, heart_rate=70)
    assert open_step.glimpse(rows, ONE).step_values()[0, HEART_RATE] == 70


def test_holding_data_is_a_measurement_or_a_late_one() -> None:
    rows = empty(3, step=1)
    keep(rows, 0, heart_rate=80)
    open_step.keep_late(rows, np.array([2]), np.array([START]), values(heart_rate=80))
    assert open_step.holds_data(rows, np.arange(3)).tolist() == [True, False, True]
    open_step.close(rows, np.arange(3))
    assert not open_step.holds_data(rows, np.arange(3)).any()


def test_late_values_are_offered_to_one_step_only() -> None:
    rows = empty(step=2)
    assert offered(rows, START + 300_000, heart_rate=99) == (True, 0)
    open_step.close(rows, ONE)
    assert np.isnan(open_step.glimpse(rows, ONE).late_values(rows["start_ms"][ONE])[0]).all()
    assert offered(rows, START + 300_000, heart_rate=99) == (False, 0)


def test_a_late_value_from_before_the_stay_has_a_negative_step() -> None:
    rows = empty()
    offered(rows, START - 1, heart_rate=99)
    assert open_step.glimpse(rows, ONE).late_values(rows["start_ms"][ONE])[1][0, HEART_RATE] == -1
