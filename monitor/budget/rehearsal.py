"""A ward of real stays, hour by hour, under the live budget: what its controller would have made of them. Pure.

Each bed has one stay after the other, in an order drawn by a seed. Alerts are the workers' own decision at the hour's
threshold, and the staff marks as right, when it ends, each alert that was open in the window around an onset. The
controller's own look and law decide, on what it would have counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy, at_threshold
from agents.rules import terms_of
from models.cohort import Cohort
from models.onset import HOURS_AFTER, HOURS_BEFORE, onset_steps
from models.scoring import Scored
from monitor.budget.burden import UnitBurden
from monitor.budget.controller import look
from monitor.budget.law import Measured
from monitor.budget.thresholds import Thresholds
from monitor.unattended import Hour, UnattendedAlerts

__all__ = ["Day", "rehearse"]

_HOUR_MS = 3_600_000
_DAY_HOURS = 24
_UNIT = "ward"


@dataclass(frozen=True)
class Day:
    """One day of the ward: its threshold at midnight, what was borne, and how often the threshold moved."""

    threshold: float
    measured: Measured
    moves: int


class _Beds:
    """The alerts of the patients who lie in the beds now; arrays have one place a bed."""

    def __init__(self, cohort: Cohort, scored: Scored, beds: int, seed: int) -> None:
        hours = cohort.steps - np.repeat(onset_steps(cohort), cohort.lengths)
        self._in_window = (hours >= -HOURS_BEFORE) & (hours <= HOURS_AFTER)
        self._scored = scored
        self._cohort = cohort
        self._waiting = np.random.default_rng(seed).permutation(cohort.n_stays).tolist()[::-1]
        self.row, self._last = np.full(beds, -1), np.full(beds, -1)
        self.since_hour = np.zeros(beds, dtype=np.int64)
        self._alerts, self._right = UnattendedAlerts(beds), np.zeros(beds, dtype=np.bool_)

    @property
    def taken(self) -> NDArray[np.bool_]:
        """Which beds have a patient."""
        return self.row >= 0

    def admit(self, hour: int) -> bool:
        """Fill empty beds; return whether stays were left for all of them."""
        for bed in np.flatnonzero(~self.taken).tolist():
            if not self._waiting:
                return False
            stay = self._waiting.pop()
            self.row[bed], self._last[bed] = self._cohort.offsets[stay], self._cohort.offsets[stay + 1] - 1
            self.since_hour[bed] = hour
            self._alerts.admit(bed)
            self._right[bed] = False
        return True

    def turn(self, policy: Policy, now_ms: int) -> tuple[list[bool], NDArray[np.intp]]:
        """Decide on an hour; return of each alert that ended whether it was right, and which beds have become free."""
        now = Hour(
            self._scored.risk[self.row],
            self._scored.assessable[self.row],
            self._scored.observed[self.row],
            np.full(len(self.row), now_ms),
        )
        over = self._alerts.turn(terms_of(policy), now)[1]
        self._right |= self._alerts.open & self._in_window[self.row]
        leaves = self.row == self._last
        over |= self._alerts.open & leaves
        ended = self._right[over].tolist()
        self._right[over] = False
        self.row = np.where(leaves, -1, self.row + 1)
        return ended, np.flatnonzero(leaves)


def rehearse(cohort: Cohort, scored: Scored, policy: Policy, *, beds: int, seed: int) -> list[Day]:
    """Return the days of a ward, from its opening to the first hour in which there is no stay for an empty bed."""
    ward, thresholds, known = _Beds(cohort, scored, beds, seed), Thresholds(), UnitBurden()
    days: list[Day] = []
    hour = moves = 0
    threshold = at_midnight = policy.raise_threshold
    while ward.admit(hour):
        hour += 1
        now_ms = hour * _HOUR_MS
        ended, free = ward.turn(at_threshold(policy, threshold), now_ms)
        known.ended += [(now_ms - 1, right) for right in ended]
        known.present += [(int(ward.since_hour[bed]) * _HOUR_MS, now_ms) for bed in free.tolist()]
        there = [(int(since) * _HOUR_MS, now_ms) for since in ward.since_hour[ward.taken].tolist()]
        now = UnitBurden([*known.present, *there], known.ended)
        (found,) = look({_UNIT: now}, thresholds, lambda _: policy, complete_from_ms=0, now_ms=now_ms)
        if found.record is not None:
            thresholds.take(found.record)
            threshold, moves = found.threshold_after, moves + 1
        if hour % _DAY_HOURS == 0:
            days.append(Day(at_midnight, now.measured(now_ms - _DAY_HOURS * _HOUR_MS, now_ms), moves))
            at_midnight, moves = threshold, 0
            known = _since(known, now_ms, policy)
    return days


def _since(known: UnitBurden, now_ms: int, policy: Policy) -> UnitBurden:
    """Let go of what lies before all that can still be counted."""
    hours = _DAY_HOURS if policy.budget is None else policy.budget.window_hours
    begin = now_ms - round(2 * max(hours, _DAY_HOURS) * _HOUR_MS)
    first = known.present[:1]  # since when the ward is open
    return UnitBurden(
        first + [each for each in known.present[1:] if each[1] >= begin],
        [each for each in known.ended if each[0] >= begin],
    )
