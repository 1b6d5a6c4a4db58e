"""What alerts cost and find: sensitivity and lead within the window around onset, and the burden of episodes.

A septic stay's window goes from 12 hours before its onset to 3 hours after; rows behind it are not counted, because by
then it is known. Confined to the first hours, a stay whose window the limit cuts before its onset is left out, and one
whose window lies wholly behind the limit counts as one without sepsis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.onset import HOURS_AFTER, HOURS_BEFORE, onset_steps
from models.resampling import Figure, Resamples

__all__ = ["AlertCourse", "Leads", "alarm_figures", "leads", "repeated_alerts"]

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

_EARLY_HOURS = 6
_REPEAT_HOURS = 6
_HOURS_A_DAY = 24
_QUARTILES = {"lower_quartile": 25, "median": 50, "upper_quartile": 75}

# Shares and rates as sums over stays: the columns of `_sums` above and below the line, and a factor.
_RATIOS: dict[str, tuple[str, str, float]] = {
    "septic_alerted": ("alerted", "septic", 1),
    "septic_alerted_6h_early": ("alerted_early", "septic", 1),
    "septic_raised_in_window": ("raised", "septic", 1),
    "septic_raised_6h_early": ("raised_early", "septic", 1),
    "ppv_episode": ("episodes_touching", "episodes", 1),
    "ppv_episode_raised_in_window": ("episodes_raised", "episodes", 1),
    "ppv_stay": ("alerted", "ever_alerted", 1),
    "episodes_per_patient_day": ("episodes", "hours", _HOURS_A_DAY),
    "episodes_per_patient_day_septic": ("episodes_septic", "hours_septic", _HOURS_A_DAY),
    "episodes_per_patient_day_other": ("episodes_other", "hours_other", _HOURS_A_DAY),
    "other_ever_alerted": ("other_alerted", "other", 1),
}


@dataclass(frozen=True)
class AlertCourse:
    """What became of the stays' alerts, row by row (R)."""

    raised: Mask  # an episode begins on this row
    is_open: Mask  # an alert is open after this row


def alarm_figures(
    cohort: Cohort, course: AlertCourse, resamples: Resamples, *, first_hours: int | None = None
) -> dict[str, Figure]:
    """Return the figures by name, of the whole stays or of rows in their first hours only.

    A septic stay is `alerted` when an alert is open at some hour of its window, raised there or before; `raised`
    counts only alerts that begin inside. The positive predictive value of episodes goes likewise: those open at some
    hour of a window, and those that begin in one. Leads are hours from the first such hour to the onset, so at most
    12. Raises CohortError where the cohort has no labels.
    """
    counted = _Counted.of(cohort, first_hours)
    columns = _sums(cohort, course, counted)
    names = list(columns)
    per_stay = np.stack([columns[name].astype(np.float64) for name in names], axis=1)
    found = {
        name: resamples.of_sums(per_stay, partial(_ratio, over=names.index(over), under=names.index(under), by=factor))
        for name, (over, under, factor) in _RATIOS.items()
    }
    for prefix, rows in (("lead_hours", course.is_open), ("raised_lead_hours", course.raised)):
        lead = _leads(cohort, rows & counted.window, counted.onset)
        for name, percent in _QUARTILES.items():
            found[f"{prefix}_{name}"] = resamples.of_draws(partial(_percentile, lead, percent))
    return found


def repeated_alerts(cohort: Cohort, flags: Mask) -> AlertCourse:
    """Return alerts as published comparisons on this data count them: one for a flagged hour, and again every 6 hours.

    Not the pager's rule, which opens one alert and leaves it open. `flags` (R) are the rows at or over a threshold.
    """
    raised = np.zeros(cohort.n_rows, dtype=np.bool_)
    longest_first = np.argsort(-cohort.lengths, kind="stable")
    starts, falling = cohort.offsets[:-1][longest_first], -cohort.lengths[longest_first]
    quiet_until = np.full(cohort.n_stays, -1, dtype=np.int64)  # row of the stay
    for hour in range(int(cohort.lengths.max(initial=0))):
        here = int(np.searchsorted(falling, -hour, side="left"))
        rows = starts[:here] + hour
        now = flags[rows] & (quiet_until[:here] <= hour)
        raised[rows] = now
        quiet_until[:here][now] = hour + _REPEAT_HOURS
    return AlertCourse(raised, flags)


@dataclass(frozen=True)
class Leads:
    """By how many hours the alerts of septic stays came before their onset (negative: after it)."""

    septic_stays: int
    hours: F64  # of those alerted in their window


def leads(cohort: Cohort, course: AlertCourse, *, first_hours: int | None = None) -> Leads:
    """Return the leads whose quartiles `alarm_figures` gives."""
    counted = _Counted.of(cohort, first_hours)
    found = _leads(cohort, course.is_open & counted.window, counted.onset)
    return Leads(int(counted.septic.sum()), found[np.isfinite(found)])


@dataclass(frozen=True)
class _Counted:
    """Which rows and stays the figures are made of."""

    rows: Mask  # (R)
    window: Mask  # (R) rows in the window of a septic stay
    septic: Mask  # (S) with its onset in what is counted
    other: Mask  # (S)
    onset: F64  # (S) inf where not `septic`

    @classmethod
    def of(cls, cohort: Cohort, first_hours: int | None) -> _Counted:
        onset = onset_steps(cohort)
        limit = np.inf if first_hours is None else first_hours
        septic = np.isfinite(onset) & (onset < limit)
        left_out = np.isfinite(onset) & ~septic & (onset - HOURS_BEFORE < limit)
        onset = np.where(septic, onset, np.inf)
        hours = cohort.steps - np.repeat(onset, cohort.lengths)  # from the onset on; -inf where there is none
        rows = (cohort.steps < limit) & (hours <= HOURS_AFTER) & ~np.repeat(left_out, cohort.lengths)
        present = np.logical_or.reduceat(rows, cohort.offsets[:-1])
        return cls(rows, rows & (hours >= -HOURS_BEFORE), septic & present, ~septic & ~left_out & present, onset)


def _sums(cohort: Cohort, course: AlertCourse, counted: _Counted) -> dict[str, NDArray[np.generic]]:
    """Return what each stay contributes (S each)."""
    starts = cohort.offsets[:-1]

    def count(rows: Mask) -> NDArray[np.int64]:
        return np.add.reduceat(rows.astype(np.int64), starts)

    is_open, raised = course.is_open & counted.rows, course.raised & counted.rows
    early = cohort.steps <= np.repeat(counted.onset, cohort.lengths) - _EARLY_HOURS
    septic, other = counted.septic, counted.other
    episodes, hours, ever = count(raised), count(counted.rows), count(is_open) > 0
    alerted = count(is_open & counted.window) > 0
    return {
        "septic": septic,
        "other": other,
        "alerted": alerted & septic,
        "alerted_early": (count(is_open & counted.window & early) > 0) & septic,
        "raised": (count(raised & counted.window) > 0) & septic,
        "raised_early": (count(raised & counted.window & early) > 0) & septic,
        "ever_alerted": ever,
        "other_alerted": ever & other,
        "episodes": episodes,
        "episodes_touching": count(_touching(course, counted.window) & counted.rows),
        "episodes_raised": count(raised & counted.window),
        "episodes_septic": episodes * septic,
        "episodes_other": episodes * other,
        "hours": hours,
        "hours_septic": hours * septic,
        "hours_other": hours * other,
    }


def _touching(course: AlertCourse, window: Mask) -> Mask:
    """Return the rows (R) on which an episode begins that is open at some hour of the window."""
    episode = np.cumsum(course.raised)  # of each row with an open alert: the last that began
    touched = np.zeros(int(episode[-1]) + 1 if len(episode) else 1, dtype=np.bool_)
    touched[episode[course.is_open & window]] = True
    return course.raised & touched[episode]


def _leads(cohort: Cohort, rows: Mask, onset: F64) -> F64:
    """Return hours from the first of the rows to the onset (S); NaN for a stay with none of them."""
    first = np.minimum.reduceat(np.where(rows, cohort.steps, np.inf), cohort.offsets[:-1])
    return np.where(np.isfinite(first), np.where(np.isfinite(onset), onset, 0) - first, np.nan)


def _ratio(sums: F64, over: int, under: int, by: float) -> F64:
    whole = sums[:, under]
    ratio: F64 = np.divide(sums[:, over], whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return by * ratio


def _percentile(lead: F64, percent: int, times: NDArray[np.integer]) -> float:
    known = np.isfinite(lead)
    drawn = np.repeat(lead[known], times[known])
    return float(np.percentile(drawn, percent)) if len(drawn) else float("nan")
