"""A day of a ward as it is: patients at different hours of their stays, who go home and make room for others. Pure.

Beds are filled one stay after the other, for long enough before the day that nothing is left of the beginning. So who
lies there when the day begins has been there for some hours, and long stays are met more often than short ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.onset import HOURS_AFTER, HOURS_BEFORE, onset_steps
from monitor.replay import ReplayOptions, ReplayStream

__all__ = ["DayStream", "WardDay", "ward_day"]

_HOUR = 3600
_SETTLED_HOURS = 14 * 24  # for which beds were filled before: longer than any stay
_BEDS_A_UNIT = 50


@dataclass(frozen=True)
class WardDay:
    """A day's stays (S), each from its admission to its end, or to the end of the day."""

    hours: int
    cohort: Cohort  # named anew: a stay of the data may be there several times
    source: NDArray[np.int64]  # (S) the stay's number in the data
    start: NDArray[np.int64]  # (S) minutes from the beginning of the day, negative before it
    bed: NDArray[np.int64]  # (S)
    onset_hours: NDArray[np.float64]  # (S) of the whole stay, from its start; inf where there is none

    @property
    def here(self) -> NDArray[np.bool_]:
        """Who lies in a bed at some time of the day (S)."""
        cohort = self.cohort
        return np.asarray(self.start + 60 * (cohort.steps[cohort.offsets[1:] - 1] + 1) > 0)


def ward_day(whole: Cohort, *, beds: int, septic_share: float, hours: int, seed: int, lead_hours: int) -> WardDay:
    """Return a day of so many beds, of whose admissions a share are septic; drawn among the stays of a file.

    Those who left up to `lead_hours` before the day are in it, too.
    """
    draw = np.random.default_rng(seed)
    firsts = whole.steps[whole.offsets[:-1]].astype(np.int64) * 60  # minutes
    lasts = (whole.steps[whole.offsets[1:] - 1] + 1).astype(np.int64) * 60
    ill, well = np.flatnonzero(whole.septic), np.flatnonzero(~whole.septic)
    found: list[tuple[int, int, int]] = []
    for bed in range(beds):
        at = -60 * _SETTLED_HOURS - int(draw.integers(lasts.max()))
        while at < 60 * hours:
            pool = ill if draw.random() < septic_share else well
            stay = int(pool[draw.integers(len(pool))])
            if at + lasts[stay] > -60 * lead_hours and at + firsts[stay] < 60 * hours:  # something is seen of it
                found.append((stay, at, bed))
            at += int(lasts[stay])
    source, start, bed_of = (np.array(column, dtype=np.int64) for column in zip(*found, strict=True))
    taken = whole.take(source)
    cut = taken.with_rows(start[taken.stay_of_row] + 60 * taken.steps.astype(np.int64) < 60 * hours)
    names = tuple(f"bed-{bed:03}-{number}" for number, (_, _, bed) in enumerate(found))
    return WardDay(hours, replace(cut, patient_ids=names), source, start, bed_of, onset_steps(whole)[source])


class DayStream(ReplayStream):
    """The stream of a ward's day that ends at `end`; whoever is still there then leaves within the hour after it."""

    def __init__(self, day: WardDay, seed: int, end: datetime) -> None:
        self._day = day
        self.begin = int(end.timestamp()) // 60 * 60 - day.hours * _HOUR  # seconds since 1970
        super().__init__(day.cohort, ReplayOptions(seed=seed), end)

    @property
    def lead(self) -> int:
        """How many observations come before the day."""
        return int(np.searchsorted(self.due, self.begin))

    def place(self, stay: int) -> tuple[str, str]:
        """Return unit and bed."""
        bed = int(self._day.bed[stay])
        return f"ward-{bed // _BEDS_A_UNIT + 1}", f"{bed % _BEDS_A_UNIT + 1:02d}"

    def windows(self) -> Mapping[str, tuple[float, float]]:
        """Return, of each septic patient, from when to when an alert is right: seconds since 1970."""
        onset = self.start + self._day.onset_hours * _HOUR
        return {
            name: (at - HOURS_BEFORE * _HOUR, at + (HOURS_AFTER + 1) * _HOUR)
            for name, at in zip(self.cohort.patient_ids, onset.tolist(), strict=True)
            if np.isfinite(at)
        }

    def _place_stays(self, spread_hours: float, end: int, draw: np.random.Generator) -> None:
        cohort = self.cohort
        lasts = cohort.steps[cohort.offsets[1:] - 1].astype(np.int64) + 1
        self._minute = draw.integers(0, 60, size=cohort.n_stays) * 60
        self.start = self.begin + self._day.start * 60
        self.end = self.start + lasts * _HOUR
