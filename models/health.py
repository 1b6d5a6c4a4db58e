"""Two questions a hospital asks first: does it leave the healthy in peace, and does it work when connected mid-stay.

The healthy come in two families. `healthy_cohort` is one typical adult, fully measured; half of the made-up stays that
models learn from are like it. `other_levels_cohort` is built otherwise than any of those: levels even over the normal
range, values that move slowly, single ones missing at random. What is true of the first is not thereby true of health.

A model that counts hours calls everyone septic in the second week; one that leans on its memory is blind for hours
after a monitor is connected. Both look excellent in figures over whole records.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.ranking import Ranking
from models.resampling import Figure, Resamples
from models.scoring import Scored, score_cohort
from models.stay_model import StayModel
from models.vital_signs import (
    DIASTOLIC_BP,
    MEAN_ARTERIAL_PRESSURE,
    N_VITAL_SIGNS,
    OXYGEN_SATURATION,
    SYSTOLIC_BP,
    TEMPERATURE,
)

__all__ = ["Health", "cold_start", "healthy_cohort", "judge_health", "other_levels_cohort"]

F64 = NDArray[np.float64]

_DAYS = 14
_HOURS_A_DAY = 24
_JOINED_AT = (0, 1, 3, 6, 12, 24, 48, 96, 168)  # hours of the stay at which the monitor is connected
_TYPICAL = np.array([74.0, 15.0, 36.8, 97.5, 121.0, 75.0, 90.0])  # an adult at rest, in the order of vital signs
_SPREAD = np.array([3.5, 1.2, 0.15, 0.7, 5.0, 3.5, 1.0])  # from hour to hour; the mean pressure's, around the others
_DECIMALS = np.array([0, 0, 1, 0, 0, 0, 0])
# The zero-point ranges of NEWS2 (Royal College of Physicians, 2017), narrowed where zero points are not yet health: no
# temperature over 37.5 and no systolic pressure from 140 on; for the diastolic pressure, which NEWS2 has not, 60 to 89.
_NORMAL = (np.array([51.0, 12.0, 36.1, 96.0, 111.0, 60.0, -2.0]), np.array([90.0, 20.0, 37.5, 100.0, 139.0, 89.0, 2.0]))
_LEAST_PULSE_PRESSURE = 30.0
_KEPT_OF_LAST_HOUR = 0.6  # autocorrelation of a value's departure from the person's level, hour to hour
_OTHER_STAYS = 200
_DETAILS_KNOWN = 0.8  # share of those stays with age and admission details
_TEMPERATURE_HOURS = 4  # hours from one temperature to the next, in every second stay
_JOIN_HOURS = (6, 36)  # a cold start is drawn from these, both included
_STAYS_ENOUGH = 20_000  # with fewer stays, more draws make up for the luck of one
_MOST_DRAWS = 8


@dataclass(frozen=True)
class Health:
    """What a model says of the healthy."""

    stays: int
    days: int
    odds_ratio: float  # mean odds on the last day over those on the first
    largest_odds_ratio: float  # the same of the one stay where it is largest
    largest_risk: float  # of any hour of any stay


def healthy_cohort(seed: int = 0) -> Cohort:
    """Return made-up stays of normal, slightly noisy vital signs for 14 days, joined at many hours of the stay.

    Old and young, women and men, medical and surgical, with admission details and without; every second one has its
    temperature taken every four hours only.
    """
    rng = np.random.default_rng(seed)
    people = list(itertools.product(_JOINED_AT, (35.0, 65.0, np.nan), (0.0, 1.0), ((2.0, 1), (30.0, 2), (np.nan, 0))))
    n, hours = len(people), _DAYS * _HOURS_A_DAY
    values = rng.normal(_TYPICAL, _SPREAD, (n, hours, N_VITAL_SIGNS))
    systolic, diastolic = values[..., SYSTOLIC_BP], values[..., DIASTOLIC_BP]
    values[..., MEAN_ARTERIAL_PRESSURE] += diastolic + (systolic - diastolic) / 3 - _TYPICAL[MEAN_ARTERIAL_PRESSURE]
    values = np.round(values * 10**_DECIMALS) / 10**_DECIMALS
    values[..., OXYGEN_SATURATION] = np.minimum(values[..., OXYGEN_SATURATION], 100)
    values[::2, np.arange(hours) % _TEMPERATURE_HOURS != 0, TEMPERATURE] = np.nan
    joined = np.array([person[0] for person in people])
    return Cohort(
        patient_ids=tuple(f"healthy-{number}" for number in range(n)),
        hospitals=("",) * n,
        offsets=np.arange(n + 1, dtype=np.int64) * hours,
        values=values.reshape(-1, N_VITAL_SIGNS).astype(np.float32),
        steps=(joined[:, None] + np.arange(hours)).ravel().astype(np.int32),
        labels=np.zeros(n * hours, dtype=np.uint8),
        age_years=np.array([person[1] for person in people], dtype=np.float32),
        sex=np.array([person[2] for person in people], dtype=np.float32),
        hospital_hours=np.array([person[3][0] for person in people], dtype=np.float32),
        unit_type=np.array([person[3][1] for person in people], dtype=np.int8),
    )


def other_levels_cohort(missing: float, seed: int = 0) -> Cohort:
    """Return made-up stays of normal vital signs, built in another way than any to learn from; a level for each person.

    Levels are even over the whole normal range, so that many are near its ends; values move slowly about them, and
    never leave it. Of single values a share of `missing` is not there.
    """
    rng = np.random.default_rng(seed)
    n, hours = _OTHER_STAYS, _DAYS * _HOURS_A_DAY
    lowest, highest = _NORMAL
    level = rng.uniform(lowest + _SPREAD, highest - _SPREAD, (n, N_VITAL_SIGNS))
    level[:, MEAN_ARTERIAL_PRESSURE] = 0
    noise = rng.normal(0, 1, (n, hours, N_VITAL_SIGNS))
    for hour in range(1, hours):
        new = np.sqrt(1 - _KEPT_OF_LAST_HOUR**2) * noise[:, hour]
        noise[:, hour] = _KEPT_OF_LAST_HOUR * noise[:, hour - 1] + new
    values = np.clip(level[:, None] + _SPREAD * noise, lowest, highest)
    systolic, diastolic = values[..., SYSTOLIC_BP], values[..., DIASTOLIC_BP]
    diastolic[:] = np.minimum(diastolic, systolic - _LEAST_PULSE_PRESSURE)
    values[..., MEAN_ARTERIAL_PRESSURE] += diastolic + (systolic - diastolic) / 3
    values = np.round(values * 10**_DECIMALS) / 10**_DECIMALS
    values[rng.random(values.shape) < missing] = np.nan
    known = rng.random(n) < _DETAILS_KNOWN
    return Cohort(
        patient_ids=tuple(f"healthy-{number}" for number in range(n)),
        hospitals=("",) * n,
        offsets=np.arange(n + 1, dtype=np.int64) * hours,
        values=values.reshape(-1, N_VITAL_SIGNS).astype(np.float32),
        steps=(rng.choice(_JOINED_AT, n)[:, None] + np.arange(hours)).ravel().astype(np.int32),
        labels=np.zeros(n * hours, dtype=np.uint8),
        age_years=np.where(known, rng.integers(20, 90, n), np.nan).astype(np.float32),
        sex=rng.integers(0, 2, n).astype(np.float32),
        hospital_hours=np.where(known, np.exp(rng.uniform(np.log(0.1), np.log(300), n)), np.nan).astype(np.float32),
        unit_type=np.where(known, rng.integers(1, 3, n), 0).astype(np.int8),
    )


def judge_health(risks: F64, cohort: Cohort) -> Health:
    """Return what the risks (R) of a healthy cohort come to."""
    by_hour = risks.reshape(cohort.n_stays, -1)
    odds = by_hour / (1 - by_hour)
    first, last = odds[:, :_HOURS_A_DAY].mean(axis=1), odds[:, -_HOURS_A_DAY:].mean(axis=1)
    return Health(
        stays=cohort.n_stays,
        days=_DAYS,
        odds_ratio=float(last.mean() / first.mean()),
        largest_odds_ratio=float((last / first).max()),
        largest_risk=float(risks.max()),
    )


def cold_start(
    model: StayModel,
    cohort: Cohort,
    scored: Scored,
    *,
    vitals: frozenset[str] | None,
    hide: frozenset[str],
    seed: int,
    rounds: int,
) -> dict[str, Figure]:
    """Return the time-adjusted AUROC on the rows after a random hour: state kept, state emptied there, and the loss.

    The hour is drawn from 6 to 36 after a stay's first row, whatever its length and label; each figure is the mean of
    several draws where there are few stays. `scored` are the results of the whole cohort, with labels, under the same
    `vitals` and `hide`.
    """
    rng = np.random.default_rng(seed)
    kept, emptied = [], []
    for _ in range(int(np.clip(_STAYS_ENOUGH / max(cohort.n_stays, 1), 1, _MOST_DRAWS))):
        later = _later_rows(cohort, rng)
        rest = _rows_of(cohort, later)
        risks = score_cohort(model, rest, vitals=vitals, hide=hide).risk
        stays, labels, hours = cohort.stay_of_row[later], rest.known_labels, rest.steps
        kept.append(Ranking(scored.risk[later], labels, stays, groups=hours))
        emptied.append(Ranking(risks, labels, stays, groups=hours))
    resamples = Resamples.draw(cohort.n_stays, rounds, seed)
    return {
        "state_kept": resamples.of_draws(lambda times: _mean_auroc(kept, times)),
        "state_emptied": resamples.of_draws(lambda times: _mean_auroc(emptied, times)),
        "loss": resamples.of_draws(lambda times: _mean_auroc(kept, times) - _mean_auroc(emptied, times)),
    }


def _mean_auroc(rankings: list[Ranking], times: NDArray[np.integer]) -> float:
    return float(np.mean([ranking.auroc(times) for ranking in rankings]))


def _later_rows(cohort: Cohort, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the rows (R) from a random hour of each stay on."""
    low, high = _JOIN_HOURS
    joined = cohort.steps[cohort.offsets[:-1]] + rng.integers(low, high + 1, cohort.n_stays)
    later: NDArray[np.bool_] = cohort.steps >= np.repeat(joined, cohort.lengths)
    return later


def _rows_of(cohort: Cohort, rows: NDArray[np.bool_]) -> Cohort:
    """Return the stays that keep any of their rows, with those alone."""
    shortened = cohort.with_rows(rows)
    return shortened.select(shortened.lengths > 0)
