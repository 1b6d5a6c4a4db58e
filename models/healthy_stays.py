"""Made-up healthy stays to learn from: a model that never met health has no reason to call it by a low risk.

The data are of intensive care, where hardly anyone is healthy for long; what a network makes of two weeks of normal
vital signs would be an extrapolation. Apart from the stays of the check (`health.healthy_cohort`): people differ from
each other, in how steady they are, in what is measured and how often, and the draws are the training's.
"""

from __future__ import annotations

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

# In the order of the vital signs; the mean pressure is made of the two others, its numbers are what it is off by.
# A healthy adult's level lies between these, rather in the middle.
_LOWEST = np.array([56.0, 11.0, 36.3, 95.5, 104.0, 60.0, -2.0])
_HIGHEST = np.array([88.0, 18.0, 37.2, 99.0, 138.0, 84.0, 2.0])
_SPREAD = np.array([3.5, 1.3, 0.15, 0.7, 5.0, 3.5, 1.5])  # from hour to hour, times a person's own unsteadiness
_UNSTEADY = (0.1, 1.5)
_NORMAL = (np.array([46.0, 9.0, 35.9, 94.0, 92.0, 50.0, -6.0]), np.array([100.0, 21.0, 37.6, 100.0, 148.0, 94.0, 6.0]))
_DAILY = np.array([4.0, 0.8, 0.15, 0.0, 4.0, 3.0, 0.0])  # amplitude of the day's rise and fall, at most
_DECIMALS = np.array([0, 0, 1, 0, 0, 0, 0])
_HOURS_A_DAY = 24.0
_HOURS_SHOWN = (0.5, 12.0)
_MANY_HOURS = (12.0, 336.0)
_MANY_SHOWN = 0.1  # share of the stays with so many
_JOINED = (1.0, 300.0)  # hour of the stay, in those that are not seen from the start
_SEEN_FROM_START = 0.5
_ALL_SIGNS, _THREE_SIGNS = 0.75, 0.1  # shares of the stays; the others have a random choice
_SIGN_MISSING = 0.35  # in those
_EVERY_HOURS = np.array([1, 1, 1, 2, 4, 8])  # hours from one measurement of a sign to the next, drawn for each stay
_MEASURED_ALIKE = 0.6  # share of the stays with every sign every hour, but perhaps the temperature
_LOST = 0.05  # share of single measurements that are missing, in the other stays
_AGES, _KNOWN_DETAIL = (18.0, 95.0), 0.8
_HOSPITAL_HOURS = (0.02, 500.0)
_UNITS = 3


def healthy_stays(count: int, rng: np.random.Generator) -> Cohort:
    """Return made-up stays of normal vital signs, all labelled 0, of random people joined at random hours."""
    joined = np.where(rng.random(count) < _SEEN_FROM_START, 0, _log_uniform(rng, _JOINED, count)).astype(np.int64)
    few, many = _log_uniform(rng, _HOURS_SHOWN, count), _log_uniform(rng, _MANY_HOURS, count)
    hours = np.ceil(np.where(rng.random(count) < _MANY_SHOWN, many, few)).astype(np.int64)
    stay = np.repeat(np.arange(count), hours)
    offsets = np.concatenate(([0], np.cumsum(hours)))
    hour = np.arange(len(stay)) - offsets[:-1][stay]  # since it was joined
    values = np.where(_measured(count, stay, hour, rng), _values(count, stay, hour, rng), np.nan)
    known = rng.random((3, count)) < _KNOWN_DETAIL
    return Cohort(
        patient_ids=tuple(f"healthy-{number}" for number in range(count)),
        hospitals=("",) * count,
        offsets=offsets.astype(np.int64),
        values=values.astype(np.float32),
        steps=(joined[stay] + hour).astype(np.int32),
        labels=np.zeros(len(stay), dtype=np.uint8),
        age_years=np.where(known[0], np.round(rng.uniform(*_AGES, count)), np.nan).astype(np.float32),
        sex=np.where(known[1], rng.integers(0, 2, count), np.nan).astype(np.float32),
        hospital_hours=np.where(known[2], _log_uniform(rng, _HOSPITAL_HOURS, count), np.nan).astype(np.float32),
        unit_type=np.where(known[2], rng.integers(0, _UNITS, count), 0).astype(np.int8),
    )


def _log_uniform(rng: np.random.Generator, between: tuple[float, float], count: int) -> F64:
    return np.asarray(np.exp(rng.uniform(np.log(between[0]), np.log(between[1]), count)))


def _values(count: int, stay: NDArray[np.int64], hour: NDArray[np.int64], rng: np.random.Generator) -> F64:
    """Return values (R, 7): a person's level, the day's rise and fall, and noise."""
    level = rng.triangular(_LOWEST, (_LOWEST + _HIGHEST) / 2, _HIGHEST, (count, N_VITAL_SIGNS))
    level[:, DIASTOLIC_BP] = np.minimum(level[:, DIASTOLIC_BP], level[:, SYSTOLIC_BP] - 30)
    daily = rng.uniform(0, _DAILY, (count, N_VITAL_SIGNS))
    unsteady = rng.uniform(*_UNSTEADY, count)[stay, None]
    phase = 2 * np.pi * (hour / _HOURS_A_DAY + rng.random(count)[stay])
    values = level[stay] + daily[stay] * np.sin(phase)[:, None]
    values = np.clip(values + unsteady * rng.normal(0, _SPREAD, values.shape), *_NORMAL)
    systolic, diastolic = values[:, SYSTOLIC_BP], values[:, DIASTOLIC_BP]
    values[:, MEAN_ARTERIAL_PRESSURE] += diastolic + (systolic - diastolic) / 3
    return np.asarray(np.round(values * 10**_DECIMALS) / 10**_DECIMALS)


def _measured(
    count: int, stay: NDArray[np.int64], hour: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which values there are (R, 7)."""
    three = np.zeros(N_VITAL_SIGNS, dtype=np.bool_)
    three[[HEART_RATE, RESPIRATORY_RATE, TEMPERATURE]] = True
    kind = rng.random(count)[:, None]
    some = rng.random((count, N_VITAL_SIGNS)) >= _SIGN_MISSING
    signs = np.where(kind < _ALL_SIGNS, True, np.where(kind < _ALL_SIGNS + _THREE_SIGNS, three, some))
    every = rng.choice(_EVERY_HOURS, (count, N_VITAL_SIGNS))
    alike = rng.random(count) < _MEASURED_ALIKE
    hourly = np.ones(N_VITAL_SIGNS, dtype=np.bool_)
    hourly[TEMPERATURE] = False
    every[alike[:, None] & hourly] = 1
    lost = (rng.random((len(stay), N_VITAL_SIGNS)) < _LOST) & ~alike[stay, None]
    measured: NDArray[np.bool_] = signs[stay] & (hour[:, None] % every[stay] == 0) & ~lost
    return measured
