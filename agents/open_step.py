"""The open step of many stays: measurements in, one robust value a vital sign out, in whatever order they came.

The step (an hour) is cut into twelve slots of five minutes. Each slot speaks with its latest measurement, and the
step's value is the median of its slots: one artefact does not move it, a repeated measurement changes nothing, and the
result does not depend on the order of arrival. Values are float32 in the order of VITAL_SIGNS, times milliseconds.

Within its slot a time is kept in units of 5 ms, which is what 16 bits hold: of two measurements of one unit the greater
counts, as of two at the same moment. A closed step knows all of the unit in which its newest measurement lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.order import middles, sort_first_axis
from models.vital_signs import N_VITAL_SIGNS, contradictory

__all__ = [
    "SLOTS",
    "STEP_MS",
    "UNIT_MS",
    "Glimpse",
    "clear",
    "close",
    "glimpse",
    "holds_data",
    "in_order",
    "keep_in_order",
    "keep_late",
    "keep_measured",
]

STEP_MS = 3_600_000
SLOTS = 12
UNIT_MS = 5
_SLOT_MS = STEP_MS // SLOTS
_SLOT_VALUES = SLOTS * N_VITAL_SIGNS
_EMPTY = 2**16 - 1  # no measurement; the last unit of a slot is 59,999
_SLOT_STARTS_MS = np.arange(SLOTS, dtype=np.int64)[:, None] * _SLOT_MS
_FloatArray = NDArray[np.float32]
_TimeArray = NDArray[np.int64]


def clear(rows: NDArray[Any], index: NDArray[np.intp]) -> None:
    """Empty the open step of these rows."""
    rows["slot_unit"][index] = _EMPTY
    rows["slot_value"][index] = np.nan
    rows["late_ms"][index] = 0
    rows["late_value"][index] = np.nan


def holds_data(rows: NDArray[Any], index: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell for which rows (N) anything counts in the open step, measured in it or late."""
    measured = (rows["slot_unit"][index] != _EMPTY).any(axis=(1, 2))
    held: NDArray[np.bool_] = measured | ~np.isnan(rows["late_value"][index]).all(axis=1)
    return held


def keep_measured(
    rows: NDArray[Any], index: NDArray[np.intp], times_ms: _TimeArray, values: _FloatArray
) -> NDArray[np.bool_]:
    """Put one observation of the open step into each of these (distinct) rows.

    `times_ms` (N,) epoch, `values` (N, 7) NaN = not measured. Returns (N,): whether anything changed.
    """
    within = times_ms - rows["start_ms"][index] - rows["open_step"][index].astype(np.int64) * STEP_MS
    slot = within // _SLOT_MS
    old_unit = rows["slot_unit"][index, slot]
    old_value = rows["slot_value"][index, slot]
    unit = np.broadcast_to((within % _SLOT_MS // UNIT_MS)[:, None], old_unit.shape)
    newer = _newer(unit, values, old_unit.astype(np.int64), old_value)
    rows["slot_unit"][index, slot] = np.where(newer, unit, old_unit)
    rows["slot_value"][index, slot] = np.where(newer, values, old_value)
    _keep_last(rows, index, times_ms, values)
    return np.asarray(newer.any(axis=1), dtype=np.bool_)


def in_order(rows: NDArray[Any], row: NDArray[np.intp], times_ms: _TimeArray) -> NDArray[np.bool_]:
    """Tell for which rows (of all) their observations (N), grouped by row, come one after the other.

    That is, each is newer than all that is known of the patient and all before it, by enough to be told apart.
    """
    begin = np.flatnonzero(np.append(True, row[1:] != row[:-1])) if len(row) else np.zeros(0, dtype=np.intp)
    apart = np.diff(times_ms, prepend=0)
    mine = row[begin]
    apart[begin] = times_ms[begin] - rows["last_ms"][mine].max(axis=1, initial=0)
    steps = (times_ms[begin] - rows["start_ms"][mine]) // STEP_MS
    ordered = np.zeros(len(rows), dtype=np.bool_)
    ordered[mine] = (np.minimum.reduceat(apart, begin) >= UNIT_MS) & (steps >= rows["open_step"][mine])
    return ordered


def keep_in_order(rows: NDArray[Any], row: NDArray[np.intp], times_ms: _TimeArray, values: _FloatArray) -> Glimpse:
    """Put observations (N) of open steps, grouped by row and `in_order`, into their rows; return what stood after each.

    It is what `keep_measured` would come to one by one: every one of them is news.
    """
    n = len(row)
    begin = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    size = np.diff(np.append(begin, n))
    mine, last, run = row[begin], begin + size - 1, np.repeat(np.arange(len(begin)), size)
    within = times_ms - rows["start_ms"][row] - rows["open_step"][row].astype(np.int64) * STEP_MS
    # A table holds for each run what its slots spoke with before, then its observations; a slot speaks with the newest
    # place of the table that is its own.
    old = (np.arange(len(begin)) * _SLOT_VALUES + begin * N_VITAL_SIGNS)[:, None] + np.arange(_SLOT_VALUES)
    new = ((run + 1) * _SLOT_VALUES + np.arange(n) * N_VITAL_SIGNS)[:, None] + np.arange(N_VITAL_SIGNS)
    place = np.zeros((n, SLOTS, N_VITAL_SIGNS), dtype=np.int32)
    place.reshape(n, _SLOT_VALUES)[begin] = old
    measured, at = ~np.isnan(values), np.arange(n)
    slot = within // _SLOT_MS
    place[at, slot] = np.where(measured, new, place[at, slot])
    np.maximum.accumulate(place, axis=0, out=place)
    value = np.empty(old.size + new.size, dtype=np.float32)
    value[old], value[new] = rows["slot_value"][mine].reshape(-1, _SLOT_VALUES), values
    unit = np.empty(len(value), dtype=np.uint16)
    unit[old] = rows["slot_unit"][mine].reshape(-1, _SLOT_VALUES)
    unit[new] = (within % _SLOT_MS // UNIT_MS)[:, None]
    slot_value = value.take(place)
    rows["slot_unit"][mine], rows["slot_value"][mine] = unit.take(place[last]), slot_value[last]
    newest = np.maximum.reduceat(np.where(measured, at[:, None] + 1, 0), begin, axis=0) - 1  # (rows, 7) -1: none
    known = newest >= 0
    rows["last_ms"][mine] = np.where(known, times_ms[newest], rows["last_ms"][mine])
    rows["last_value"][mine] = np.where(known, np.take_along_axis(values, newest, axis=0), rows["last_value"][mine])
    return Glimpse(slot_value, rows["late_value"][row], rows["late_ms"][row])


def keep_late(
    rows: NDArray[Any], index: NDArray[np.intp], times_ms: _TimeArray, values: _FloatArray
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Offer one observation of a closed step to each of these (distinct) rows.

    A vital sign's value counts from the open step on if no closed step knows a newer one. Returns (N,): whether
    anything changed, and (N,): how many of its values a newer measurement had overtaken.
    """
    when = np.broadcast_to(times_ms[:, None], values.shape)
    measured = ~np.isnan(values)
    overtaken = measured & (when < rows["last_ms"][index])
    open_for = measured & (when > rows["closed_ms"][index])
    old_ms, old_value = rows["late_ms"][index], rows["late_value"][index]
    newer = open_for & _newer(when, values, old_ms, old_value)
    rows["late_ms"][index] = np.where(newer, when, old_ms)
    rows["late_value"][index] = np.where(newer, values, old_value)
    _keep_last(rows, index, times_ms, np.where(open_for, values, np.float32(np.nan)))
    return np.asarray(newer.any(axis=1), dtype=np.bool_), overtaken.sum(axis=1)


@dataclass(frozen=True)
class Glimpse:
    """What stood in open steps at some moment, (N) each: enough for a risk over them, though they have moved on."""

    slot_value: _FloatArray  # (N, 12, 7)
    late_value: _FloatArray  # (N, 7)
    late_ms: _TimeArray  # (N, 7)

    @classmethod
    def room_for(cls, n: int) -> Glimpse:
        """Return n that are still to be filled."""
        signs = (n, N_VITAL_SIGNS)
        return cls(
            np.empty((n, SLOTS, N_VITAL_SIGNS), dtype=np.float32),
            np.empty(signs, dtype=np.float32),
            np.empty(signs, dtype=np.int64),
        )

    def part(self, chosen: NDArray[Any]) -> Glimpse:
        """Return the chosen ones."""
        return Glimpse(self.slot_value[chosen], self.late_value[chosen], self.late_ms[chosen])

    def put(self, chosen: NDArray[Any], part: Glimpse) -> None:
        """Fill the chosen ones."""
        self.slot_value[chosen] = part.slot_value
        self.late_value[chosen], self.late_ms[chosen] = part.late_value, part.late_ms

    def step_values(self) -> _FloatArray:
        """Return each vital sign's value, (N, 7), NaN = not measured or contradicted by the others."""
        slots = np.array(self.slot_value.transpose(1, 0, 2), order="C")  # (12, N, 7)
        measured = ~np.isnan(slots)
        count = measured.sum(axis=0)
        slots[~measured] = np.inf  # they come last
        sort_first_axis(slots)
        first, second = middles(slots, np.zeros_like(count), count)
        first[count == 0] = second[count == 0] = np.nan
        median = np.where(first == second, first, (first + second) * np.float32(0.5))
        median[contradictory(median)] = np.nan
        return np.ascontiguousarray(median, dtype=np.float32)

    def late_values(self, start_ms: _TimeArray) -> tuple[_FloatArray, NDArray[np.int32]]:
        """Return the late values that count from the open step on, (N, 7) NaN = none, and the steps they belong to."""
        step = (self.late_ms - start_ms[:, None]) // STEP_MS
        return self.late_value, np.where(np.isnan(self.late_value), 0, step).astype(np.int32)


def glimpse(rows: NDArray[Any], index: NDArray[np.intp]) -> Glimpse:
    """Return what stands in the open steps of these rows now."""
    return Glimpse(rows["slot_value"][index], rows["late_value"][index], rows["late_ms"][index])


def close(rows: NDArray[Any], index: NDArray[np.intp]) -> None:
    """Move these rows to the next step: what the open one knew is known to closed steps from now on."""
    start = rows["start_ms"][index] + rows["open_step"][index].astype(np.int64) * STEP_MS
    units = rows["slot_unit"][index]
    within = np.where(units != _EMPTY, units.astype(np.int64) * UNIT_MS + _SLOT_STARTS_MS, -1).max(axis=1)
    absolute = np.where(within >= 0, within + (UNIT_MS - 1) + start[:, None], 0)
    rows["closed_ms"][index] = np.maximum(np.maximum(rows["closed_ms"][index], rows["late_ms"][index]), absolute)
    clear(rows, index)
    rows["open_step"][index] += 1


def _newer(when: _TimeArray, values: _FloatArray, old_when: _TimeArray, old: _FloatArray) -> NDArray[np.bool_]:
    """Tell where a measurement replaces the old one: later, or greater at the same time, so that order is nothing."""
    newer: NDArray[np.bool_] = ~np.isnan(values) & (
        (when > old_when) | np.isnan(old) | ((when == old_when) & (values > old))
    )
    return newer


def _keep_last(rows: NDArray[Any], index: NDArray[np.intp], times_ms: _TimeArray, values: _FloatArray) -> None:
    when = np.broadcast_to(times_ms[:, None], values.shape)
    old_ms, old = rows["last_ms"][index], rows["last_value"][index]
    newer = _newer(when, values, old_ms, old)
    rows["last_ms"][index] = np.where(newer, when, old_ms)
    rows["last_value"][index] = np.where(newer, values, old)
