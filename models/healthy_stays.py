"""Made-up healthy stays to learn from: a model that never met health has no reason to call it by a low risk.

The data are of intensive care, where hardly anyone is healthy for long; what a network makes of two weeks of normal
vital signs would be an extrapolation. Half of the people here are typical and almost fully measured. The others are at
any level that is still normal, with few vital signs, with single values lost, or measured in the hours in which some
real patient was. Most have the admission details of real patients, so that values alone tell the healthy from them.

The stays of the checks (`models.health`) are made otherwise: other draws, other details, a noise that moves slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.vital_signs import (
    DIASTOLIC_BP,
    HEART_RATE,
    MEAN_ARTERIAL_PRESSURE,
    N_VITAL_SIGNS,
    RESPIRATORY_RATE,
    SYSTOLIC_BP,
    TEMPERATURE,
)

__all__ = ["healthy_stays"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

_TYPICAL = 0.5  # share of the stays
_OTHERS_WEIGHT = 0.2  # of all stays but the typical with seven vital signs: they prove less, and more patients are so

# In the order of the vital signs; the mean pressure is made of the two others, its numbers are what it is off by.
_MIDDLE = np.array([74.0, 15.0, 36.8, 97.4, 121.0, 74.0, 0.0])
_AROUND = np.array([12.0, 2.5, 0.3, 1.4, 13.0, 9.0, 2.0])  # a typical person's level is within, rather in the middle
_LOWEST = np.array([52.0, 12.0, 36.1, 96.0, 106.0, 60.0, -2.0])  # the levels of the others
_HIGHEST = np.array([90.0, 20.0, 37.5, 99.5, 138.0, 88.0, 2.0])
_RATHER_IN_THE_MIDDLE = 0.4  # share of the others; the rest are anywhere in the range
_SPREAD = np.array([3.5, 1.3, 0.15, 0.7, 5.0, 3.5, 1.5])  # from hour to hour, times a person's own unsteadiness
_UNSTEADY = (0.1, 1.5)
_NORMAL = (np.array([48.0, 10.0, 36.0, 95.0, 100.0, 54.0, -6.0]), np.array([93.0, 21.0, 37.6, 100.0, 142.0, 91.0, 6.0]))
_DAILY = np.array([4.0, 0.8, 0.15, 0.0, 4.0, 3.0, 0.0])  # amplitude of the day's rise and fall, at most
_LEAST_PULSE_PRESSURE = 30.0
_DECIMALS = np.array([0, 0, 1, 0, 0, 0, 0])
_HOURS_A_DAY = 24.0

_HOURS_SHOWN = (0.5, 8.0)
_MANY_HOURS = (12.0, 336.0)
_MANY_SHOWN = 0.05  # share of the stays with so many
_JOINED = (1.0, 300.0)  # hour of the stay, in those that are not seen from the start
_SEEN_FROM_START = 0.5

_ALL_SIGNS, _THREE_SIGNS = 0.85, 0.15  # shares of the typical
_OTHERS_ALL_SIGNS, _OTHERS_THREE_SIGNS = 0.45, 0.35  # of the others; the rest have a random choice
_SIGN_MISSING = 0.35  # in those
_EVERY_HOURS = np.array([1, 1, 1, 2, 4, 8])  # hours from one measurement of a sign to the next, drawn for each stay
_MEASURED_ALIKE = 0.6  # share of the stays with every sign every hour, but perhaps the temperature
_LOST = 0.05  # share of single measurements that are missing, in the other stays
_MUCH_LOST, _AS_REAL = 0.35, 0.3  # shares of the others: single values lost; measured when a real patient was
_MOST_LOST = 0.8

_REAL_DETAILS = 0.7  # share of the stays with the admission details of a real one
_AGES, _KNOWN_DETAIL = (18.0, 95.0), 0.8  # of the rest
_HOSPITAL_HOURS = (0.02, 500.0)
_UNITS = 3


@dataclass(frozen=True)
class _Plan:
    """What is decided for a whole stay (S each)."""

    typical: Mask
    like: I64  # a real stay
    much_lost: Mask
    as_real: Mask  # measured in the hours in which that stay was
    joined: I64  # hour
    hours: I64

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator, real: Cohort) -> Self:
        kind = rng.random(count)
        typical = rng.random(count) < _TYPICAL
        as_real = ~typical & (kind >= 1 - _AS_REAL)
        like = rng.integers(0, real.n_stays, count)
        joined = np.where(rng.random(count) < _SEEN_FROM_START, 0, _log_uniform(rng, _JOINED, count)).astype(np.int64)
        few, many = _log_uniform(rng, _HOURS_SHOWN, count), _log_uniform(rng, _MANY_HOURS, count)
        hours = np.ceil(np.where(rng.random(count) < _MANY_SHOWN, many, few)).astype(np.int64)
        return cls(
            typical=typical,
            like=like,
            much_lost=~typical & (kind < _MUCH_LOST),
            as_real=as_real,
            joined=np.where(as_real, real.steps[real.offsets[:-1]][like], joined),
            hours=np.where(as_real, np.minimum(hours, real.lengths[like]), hours),
        )

    @property
    def offsets(self) -> I64:
        """The first row of each stay, and the number of rows (S + 1)."""
        return np.concatenate(([0], np.cumsum(self.hours))).astype(np.int64)

    @property
    def stay(self) -> I64:
        """The stay of each row (R)."""
        return np.repeat(np.arange(len(self.hours)), self.hours)

    @property
    def hour(self) -> I64:
        """The hours of each row since the stay was joined (R)."""
        return np.arange(int(self.hours.sum())) - self.offsets[:-1][self.stay]


def healthy_stays(count: int, rng: np.random.Generator, real: Cohort) -> tuple[Cohort, NDArray[np.float32]]:
    """Return made-up stays of normal vital signs, all labelled 0, and what each weighs (S), 1 or less.

    They are of random people joined at random hours; `real` are stays to take admission details and hours of
    measurement from.
    """
    plan = _Plan.draw(count, rng, real)
    signs = _signs(plan, rng)
    values = np.where(_measured(plan, signs, real, rng), _values(plan, rng), np.nan)
    known, made_up = rng.random((3, count)) < _KNOWN_DETAIL, rng.random(count) >= _REAL_DETAILS
    one, nan = rng.integers(0, real.n_stays, count), np.nan
    ages = np.where(known[0], np.round(rng.uniform(*_AGES, count)), nan)
    sexes = np.where(known[1], rng.integers(0, 2, count), nan)
    hospital_hours = np.where(known[2], _log_uniform(rng, _HOSPITAL_HOURS, count), nan)
    units = np.where(known[2], rng.integers(0, _UNITS, count), 0)
    cohort = Cohort(
        patient_ids=tuple(f"healthy-{number}" for number in range(count)),
        hospitals=("",) * count,
        offsets=plan.offsets,
        values=values.astype(np.float32),
        steps=(plan.joined[plan.stay] + plan.hour).astype(np.int32),
        labels=np.zeros(len(values), dtype=np.uint8),
        age_years=np.where(made_up, ages, real.age_years[one]).astype(np.float32),
        sex=np.where(made_up, sexes, real.sex[one]).astype(np.float32),
        hospital_hours=np.where(made_up, hospital_hours, real.hospital_hours[one]).astype(np.float32),
        unit_type=np.where(made_up, units, real.unit_type[one]).astype(np.int8),
    )
    return cohort, np.where(plan.typical & signs.all(axis=1), 1.0, _OTHERS_WEIGHT).astype(np.float32)


def _log_uniform(rng: np.random.Generator, between: tuple[float, float], count: int) -> F64:
    return np.asarray(np.exp(rng.uniform(np.log(between[0]), np.log(between[1]), count)))


def _values(plan: _Plan, rng: np.random.Generator) -> F64:
    """Return values (R, 7): a person's level, the day's rise and fall, and noise."""
    count, stay = len(plan.typical), plan.stay
    size = (count, N_VITAL_SIGNS)
    typical = rng.triangular(_MIDDLE - _AROUND, _MIDDLE, _MIDDLE + _AROUND, size)
    middle = rng.triangular(_LOWEST, (_LOWEST + _HIGHEST) / 2, _HIGHEST, size)
    anywhere = rng.uniform(_LOWEST, _HIGHEST, size)
    other = np.where(rng.random((count, 1)) < _RATHER_IN_THE_MIDDLE, middle, anywhere)
    level = np.where(plan.typical[:, None], typical, other)
    level[:, DIASTOLIC_BP] = np.minimum(level[:, DIASTOLIC_BP], level[:, SYSTOLIC_BP] - _LEAST_PULSE_PRESSURE)
    daily = rng.uniform(0, _DAILY, size)
    unsteady = rng.uniform(*_UNSTEADY, count)[stay, None]
    phase = 2 * np.pi * (plan.hour / _HOURS_A_DAY + rng.random(count)[stay])
    values = level[stay] + daily[stay] * np.sin(phase)[:, None]
    values = np.clip(values + unsteady * rng.normal(0, _SPREAD, values.shape), *_NORMAL)
    systolic, diastolic = values[:, SYSTOLIC_BP], values[:, DIASTOLIC_BP]
    values[:, MEAN_ARTERIAL_PRESSURE] += diastolic + (systolic - diastolic) / 3
    return np.asarray(np.round(values * 10**_DECIMALS) / 10**_DECIMALS)


def _measured(plan: _Plan, signs: Mask, real: Cohort, rng: np.random.Generator) -> Mask:
    """Return which values there are (R, 7), of the vital signs (S, 7) that each stay has."""
    count, stay, hour = len(plan.typical), plan.stay, plan.hour
    every = rng.choice(_EVERY_HOURS, (count, N_VITAL_SIGNS))
    alike = rng.random(count) < _MEASURED_ALIKE
    hourly = np.ones(N_VITAL_SIGNS, dtype=np.bool_)
    hourly[TEMPERATURE] = False
    every[alike[:, None] & hourly] = 1
    luck = rng.random((len(stay), N_VITAL_SIGNS))
    regularly = (hour[:, None] % every[stay] == 0) & ~((luck < _LOST) & ~alike[stay, None])
    now_and_then = luck >= rng.uniform(0, _MOST_LOST, count)[stay, None]
    of_real = real.offsets[:-1][plan.like][stay] + np.minimum(hour, real.lengths[plan.like][stay] - 1)
    shown = np.where(plan.much_lost[stay, None], now_and_then, regularly) & signs[stay]
    measured: Mask = np.where(plan.as_real[stay, None], ~np.isnan(real.values[of_real]), shown)
    return measured


def _signs(plan: _Plan, rng: np.random.Generator) -> Mask:
    """Return the vital signs that each stay has (S, 7)."""
    count = len(plan.typical)
    three = np.zeros(N_VITAL_SIGNS, dtype=np.bool_)
    three[[HEART_RATE, RESPIRATORY_RATE, TEMPERATURE]] = True
    some = rng.random((count, N_VITAL_SIGNS)) >= _SIGN_MISSING
    kind = rng.random(count)[:, None]
    typical = plan.typical[:, None]
    has_all = kind < np.where(typical, _ALL_SIGNS, _OTHERS_ALL_SIGNS)
    has_three = kind >= 1 - np.where(typical, _THREE_SIGNS, _OTHERS_THREE_SIGNS)
    signs: Mask = np.where(has_all, True, np.where(has_three, three, some))
    return signs
