"""Runs: how far each patient's observations can be judged from the same closed state."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.runs import Pending, first_runs, heads_of, ranks_of
from tests.agents.logs import HOUR, LIMITS, MINUTE, START, new_core


def stays_at(*open_steps: int) -> NDArray[Any]:
    """Rows of patients who have been watched from START, and are in these hours."""
    rows = new_core().layout.fresh(len(open_steps))
    rows["watched"], rows["start_ms"], rows["open_step"] = 1, START, open_steps
    rows["clock_ms"] = START + rows["open_step"].astype(np.int64) * HOUR
    return rows


def pending(*entries: tuple[int, float], special: tuple[int, ...] = ()) -> Pending:
    """Entries as (row, minutes after START); those whose numbers are `special` are no observations."""
    row = np.array([row for row, _ in entries], dtype=np.intp)
    time_ms = np.array([START + minutes * MINUTE for _, minutes in entries], dtype=np.int64)
    plain = np.array([number not in special for number in range(len(entries))])
    return Pending(np.arange(len(entries)), row, time_ms, plain)


def runs(rows: NDArray[Any], left: Pending) -> tuple[list[int], list[int]]:
    taken, alone = first_runs(rows, left, LIMITS)
    return np.flatnonzero(taken).tolist(), np.flatnonzero(alone).tolist()


def test_heads_and_ranks_count_within_each_patient() -> None:
    row = np.array([2, 2, 2, 0, 1, 1])
    assert heads_of(row).tolist() == [True, False, False, True, True, False]
    assert ranks_of(row).tolist() == [0, 1, 2, 0, 0, 1]
    assert ranks_of(row[:0]).tolist() == []


def test_a_run_reaches_to_the_end_of_the_open_step() -> None:
    assert runs(stays_at(0, 0), pending((0, 5), (0, 59), (0, 60), (0, 61), (1, 1))) == ([0, 1, 4], [])


def test_the_first_observation_may_open_a_later_step_and_the_run_is_of_that_one() -> None:
    assert runs(stays_at(0), pending((0, 130), (0, 50), (0, 179), (0, 180))) == ([0, 1, 2], [])


def test_what_is_no_observation_ends_a_run_and_stands_alone_when_it_comes_first() -> None:
    left = pending((0, 1), (0, 0), (0, 2), special=(1,))
    assert runs(stays_at(0), left) == ([0], [])
    assert runs(stays_at(0), left.part(np.array([False, True, True]))) == ([1 - 1], [0])


def test_who_has_no_open_stay_is_looked_at_one_by_one() -> None:
    rows = stays_at(0)
    rows["watched"] = 0
    assert runs(rows, pending((0, 1), (0, 2))) == ([0], [0])


def test_what_may_be_too_late_or_before_the_stay_or_after_its_end_stands_alone() -> None:
    rows = stays_at(30)
    late = 30 * 60 - LIMITS.late_hours * 60  # minutes: the oldest that may be taken at the clock's time
    assert runs(rows, pending((0, late + 30), (0, 30 * 60))) == ([0], [0])  # the clock may move on within the hour
    assert runs(rows, pending((0, late + 61), (0, 30 * 60))) == ([0, 1], [])
    assert runs(stays_at(0), pending((0, -1), (0, 1))) == ([0], [0])
    silent = LIMITS.gap_hours * 60
    assert runs(stays_at(0), pending((0, silent + 1))) == ([0], [0])
    assert runs(stays_at(0), pending((0, silent), (0, 1))) == ([0], [])
