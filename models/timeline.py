"""The hours of many stays side by side: for each hour since their start, what was measured of those still there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.step_input import StepInput, masked
from models.vital_signs import N_VITAL_SIGNS, usable

__all__ = ["Hour", "Timeline"]


@dataclass(frozen=True)
class Hour:
    """The same hour, counted from each stay's first row, of the first n stays of a block."""

    rows: NDArray[np.int64]  # (n) row of the cohort, or -1: an hour within the stay that has no row
    inputs: StepInput  # (n)


class Timeline:
    """A cohort cut into blocks of stays of about the same length, each an iterator over its hours.

    Stays of a block are in order of falling length, so that those that go on are always the first ones. A stay's
    first hour is that of its first row; hours without a row inside it are empty steps.
    """

    def __init__(
        self, cohort: Cohort, *, vitals: frozenset[str] | None = None, hide: frozenset[str] = frozenset()
    ) -> None:
        """Take a cohort as recorded; values are cleaned, and hidden as asked, as each hour is made."""
        self._cohort = cohort
        self._vitals = vitals
        self._hide = hide
        first, last = cohort.offsets[:-1], cohort.offsets[1:] - 1
        self._first_step = cohort.steps[first]
        self._spans = (cohort.steps[last] - self._first_step + 1).astype(np.int64)
        starts = np.cumsum(self._spans) - self._spans
        self._starts = starts
        rows = np.full(int(self._spans.sum()), -1, dtype=np.int64)
        stay = cohort.stay_of_row
        rows[starts[stay] + cohort.steps - self._first_step[stay]] = np.arange(cohort.n_rows)
        self._rows = rows
        self._values = np.concatenate(
            [usable(cohort.values), np.full((1, N_VITAL_SIGNS), np.nan, dtype=np.float32)]
        )  # row -1: nothing

    def blocks(self, size: int) -> Iterator[Iterator[Hour]]:
        """Yield, for each block of `size` stays, its hours in order."""
        order = np.argsort(-self._spans, kind="stable")
        for start in range(0, len(order), size):
            yield self._hours(order[start : start + size])

    def _hours(self, stays: NDArray[np.int64]) -> Iterator[Hour]:
        cohort = self._cohort
        falling = self._spans[stays]
        for hour in range(int(falling[0])):
            here = stays[: np.searchsorted(-falling, -hour, side="left")]
            rows = self._rows[self._starts[here] + hour]
            nothing = (len(here), N_VITAL_SIGNS)
            inputs = StepInput(
                step=(self._first_step[here] + hour).astype(np.int32),
                values=self._values[rows],
                late_values=np.full(nothing, np.nan, dtype=np.float32),
                late_steps=np.zeros(nothing, dtype=np.int32),
                age_years=cohort.age_years[here],
                sex=cohort.sex[here],
                hospital_hours=cohort.hospital_hours[here],
                unit_type=cohort.unit_type[here],
            )
            yield Hour(rows, masked(inputs, self._vitals, self._hide) if self._vitals or self._hide else inputs)
