"""From the hours of a stay to the inputs of the network: a small running state, and one row of features a step.

Causal by construction: a step sees the state of the steps before it and its own measurements. Nothing counts hours
since admission but `clock_features`, which only a model that is told to has. Every operation is elementwise, or exact
(see `_grid`), so that the features of a stay are the same to the last bit whatever batch they are computed in. A vital
sign that was never measured gives zeros in all its features. Values are read in hundredths of their unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.early_warning import NEWS2_SIGNS, news2_points
from models.step_input import StepInput
from models.vital_signs import DIASTOLIC_BP, HEART_RATE, N_VITAL_SIGNS, NAMES, SYSTOLIC_BP

__all__ = [
    "CLOCK_NAMES",
    "EMPTY",
    "FEATURE_NAMES",
    "INPUT_BOUND",
    "INPUT_GRID",
    "NEVER",
    "PAST_HOURS",
    "STATE_FIELDS",
    "FeatureState",
    "Scaling",
    "clock_features",
    "of_hundredths",
]

F32 = NDArray[np.float32]
I16 = NDArray[np.int16]

INPUT_BOUND = 6.0  # every feature lies in [-6, 6]
INPUT_GRID = 2.0**-20  # and is a multiple of this, so that the network's sums are exact

NEVER = -(2**30)  # `last_step` of a vital sign that was never measured
_RECENT_HOURS = 48  # a measurement older than this is as old as can be
PAST_HOURS = 6  # how far back the state can be told as it was (see `past.py`)
_WINDOW_HOURS = 12
_SLOPE_HOURS = 8
_SLOPE_POINTS = 2
_EWM_HOURS = (4.0, 16.0)  # time constants of the weighted mean and deviation
_RATE_HOURS = 8.0
_OLDEST_HOURS = 200  # a late measurement older than this weighs as one of this age: next to nothing
_Z_GRID = np.float32(2.0**15)  # z is a multiple of 2^-15: eight of them, times up to 7 hours, add up exactly
EMPTY = np.int16(-(2**15))  # hundredths of a value that was not measured: less than any that was
_MOST = np.int16(2**15 - 1)
_NEGLIGIBLE = np.float32(1e-30)  # weights below are set to 0: no denormal numbers, whose handling CPUs can switch

_TIME_CONSTANTS = np.array(_EWM_HOURS, dtype=np.float32)[:, None]  # (2, 1) hours
_DECAY = np.exp(np.float32(-1) / _TIME_CONSTANTS)  # (2, 1) an hour
_RATE_DECAY = np.float32(np.exp(-1.0 / _RATE_HOURS))
_RECENCY = (1 - np.log1p(np.arange(_RECENT_HOURS + 1)) / np.log1p(_RECENT_HOURS)).astype(np.float32)  # by age in hours
_HOURS_AGO = -np.arange(_SLOPE_HOURS, dtype=np.float32)

# Fixed centres and scales of what is not scaled by the training stays.
_SHOCK_INDEX = (np.float32(0.7), np.float32(0.25))
_PULSE_PRESSURE = (np.float32(60.0), np.float32(20.0))
_AGE = (np.float32(62.0), np.float32(16.0))
_LOG_HOSPITAL_HOURS = np.float32(4.0)
_NEWS2_SIGN_POINTS = np.float32(3.0)
_NEWS2_POINTS = np.float32(5.0)
_LOG_STAY_HOURS = np.float32(4.0)
_HOURS_A_DAY = np.float32(24.0)

_PER_SIGN = (
    "level",  # last known value as z
    "measured",  # in this step
    "recency",  # 1 now, 0 from 48 hours on
    "change",  # of z from the measurement before the last
    "mean_4h",
    "mean_16h",
    "deviation_4h",
    "deviation_16h",
    "mean_stay",
    "measured_8h",  # share of the hours with a measurement, the latest weighing most
    "lowest_12h",
    "highest_12h",
    "slope_8h",  # of z, over 8 hours
)
_PER_STAY = (
    *("shock_index", "shock_index_8h", "pulse_pressure", "news2_partial"),
    *("age", "age_known", "sex", "sex_known"),
    *("hospital_hours", "hospital_hours_sign", "hospital_hours_known", "medical_unit", "surgical_unit"),
)

FEATURE_NAMES: tuple[str, ...] = (
    *(f"{sign}_{what}" for what in _PER_SIGN for sign in NAMES),
    *(f"{NAMES[sign]}_news2_points" for sign in NEWS2_SIGNS),
    *_PER_STAY,
)

CLOCK_NAMES: tuple[str, ...] = ("stay_hours", "stay_days")  # the further inputs of a model that may see the clock

# Name, type and shape of each part of the running state; each is an attribute of FeatureState.
STATE_FIELDS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("started", "|b1", ()),  # something was measured
    ("last_value", "<f4", (N_VITAL_SIGNS,)),  # in the vital sign's unit
    ("last_step", "<i4", (N_VITAL_SIGNS,)),
    ("change", "<f4", (N_VITAL_SIGNS,)),
    ("ewm_weight", "<f4", (2, N_VITAL_SIGNS)),
    ("ewm_mean", "<f4", (2, N_VITAL_SIGNS)),
    ("ewm_variance", "<f4", (2, N_VITAL_SIGNS)),
    ("count", "<f4", (N_VITAL_SIGNS,)),
    ("mean", "<f4", (N_VITAL_SIGNS,)),
    ("rate", "<f4", (N_VITAL_SIGNS,)),
    ("rate_weight", "<f4", ()),
    ("window", "<i2", (_WINDOW_HOURS + PAST_HOURS, N_VITAL_SIGNS)),  # hundredths of the unit by hours ago, or EMPTY
    ("shock_weight", "<f4", ()),
    ("shock_mean", "<f4", ()),
)


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation (7) of each vital sign over the training stays, in its unit."""

    mean: F32
    deviation: F32

    def z(self, values: F32) -> F32:
        """Return values (N, 7) as z-scores in [-6, 6] on the grid; NaN stays NaN."""
        scaled = np.clip((values - self.mean) / self.deviation, -INPUT_BOUND, INPUT_BOUND)
        on_grid: F32 = np.rint(scaled * _Z_GRID) / _Z_GRID
        return on_grid


@dataclass
class FeatureState:
    """The running state of N stays as contiguous arrays, a working copy that a step changes in place."""

    started: NDArray[np.bool_]
    last_value: F32
    last_step: NDArray[np.int32]
    change: F32
    ewm_weight: F32
    ewm_mean: F32
    ewm_variance: F32
    count: F32
    mean: F32
    rate: F32
    rate_weight: F32
    window: I16
    shock_weight: F32
    shock_mean: F32

    @classmethod
    def initial(cls, n: int) -> FeatureState:
        """Return the state of n stays of which nothing is known."""
        arrays: dict[str, Any] = {name: np.zeros((n, *shape), dtype=kind) for name, kind, shape in STATE_FIELDS}
        arrays["last_value"][...] = np.nan
        arrays["last_step"][...] = NEVER
        arrays["window"][...] = EMPTY
        return cls(**arrays)

    @classmethod
    def read(cls, records: NDArray[np.void], index: NDArray[np.intp] | None = None) -> FeatureState:
        """Return a working copy of the fields of a structured array (N), or of those of its rows at `index`."""
        if index is not None:
            return cls(**{name: records[name][index] for name, _, _ in STATE_FIELDS})
        return cls(**{name: np.array(records[name], order="C") for name, _, _ in STATE_FIELDS})

    def first(self, n: int) -> FeatureState:
        """Return the state of the first n stays."""
        return FeatureState(**{name: getattr(self, name)[:n] for name, _, _ in STATE_FIELDS})

    def write(self, records: NDArray[np.void]) -> None:
        """Put the state into the fields of a structured array (N)."""
        for name, _, _ in STATE_FIELDS:
            records[name] = getattr(self, name)

    def advance(self, inputs: StepInput, scaling: Scaling) -> F32:
        """Move on by one hour, take in its measurements, and return the step's features (N, len(FEATURE_NAMES))."""
        late = ~np.isnan(inputs.late_values) & (inputs.late_steps >= self.last_step)
        late &= inputs.late_steps < inputs.step[:, None]
        now = ~np.isnan(inputs.values)
        self.started |= late.any(axis=1) | now.any(axis=1)
        self._pass_hour()
        if late.any():
            age = np.where(late, inputs.step[:, None] - inputs.late_steps, 0)
            self._measure(inputs.late_values, late, inputs.late_steps, age, scaling)
        self._measure(inputs.values, now, np.broadcast_to(inputs.step[:, None], now.shape), None, scaling)
        return _assemble(self, inputs, now, scaling)

    def _pass_hour(self) -> None:
        self.ewm_weight *= _DECAY
        self.ewm_weight[self.ewm_weight < _NEGLIGIBLE] = 0
        self.rate *= _RATE_DECAY
        self.rate[self.rate < _NEGLIGIBLE] = 0
        self.rate_weight = np.where(self.started, self.rate_weight * _RATE_DECAY + np.float32(1), self.rate_weight)
        self.shock_weight *= _RATE_DECAY
        self.shock_weight[self.shock_weight < _NEGLIGIBLE] = 0
        self.window[:, 1:] = self.window[:, :-1].copy()
        self.window[:, 0] = EMPTY

    def _measure(
        self,
        values: F32,
        seen: NDArray[np.bool_],
        steps: NDArray[np.int32],
        age: NDArray[np.int32] | None,  # hours, None: all of this step
        scaling: Scaling,
    ) -> None:
        """Take in the values (N, 7) where `seen`; each counts as much as its age says."""
        hundredths = _hundredths(values)
        values = of_hundredths(hundredths)
        z = scaling.z(np.where(seen, values, scaling.mean))
        known = self.last_step > NEVER
        previous = scaling.z(np.where(known, self.last_value, scaling.mean))
        self.change = np.where(seen, np.where(known, z - previous, np.float32(0)), self.change)
        self.last_value = np.where(seen, values, self.last_value)
        self.last_step = np.where(seen, steps, self.last_step)
        self.count += seen
        self.mean += np.where(seen, (z - self.mean) / np.maximum(self.count, 1), np.float32(0))
        if age is None:
            weight = np.broadcast_to(seen[:, None, :].astype(np.float32), self.ewm_weight.shape)
            self.rate += seen
            self.window[:, 0] = np.where(seen, hundredths, self.window[:, 0])
        else:
            hours = np.minimum(age, _OLDEST_HOURS).astype(np.float32)
            weight = np.where(seen[:, None, :], np.exp(-hours[:, None, :] / _TIME_CONSTANTS), np.float32(0))
            self.rate += np.where(seen, np.exp(-hours / np.float32(_RATE_HOURS)), np.float32(0))
            stay, sign = np.nonzero(seen & (age < self.window.shape[1]))
            self.window[stay, age[stay, sign], sign] = hundredths[stay, sign]
        self._weigh(z[:, None, :], weight)

    def _weigh(self, z: F32, weight: F32) -> None:
        """Add z with a weight (N, 2, 7) to the weighted mean and variance (West, CACM 22:532, 1979)."""
        total = self.ewm_weight + weight
        share = np.divide(weight, total, out=np.zeros_like(total), where=weight > 0)
        apart = z - self.ewm_mean
        self.ewm_variance = (np.float32(1) - share) * (self.ewm_variance + share * apart * apart)
        self.ewm_mean += share * apart
        self.ewm_weight = total


def _assemble(state: FeatureState, inputs: StepInput, now: NDArray[np.bool_], scaling: Scaling) -> F32:
    n = len(now)
    known = state.last_step > NEVER
    level = scaling.z(np.where(known, state.last_value, scaling.mean))
    age = np.clip(inputs.step[:, None] - state.last_step, 0, _RECENT_HOURS)
    lowest, highest, slope = _window(state.window, scaling)
    deviation = np.sqrt(state.ewm_variance)
    points = news2_points(state.last_value)
    x = np.empty((n, len(FEATURE_NAMES)), dtype=np.float32)
    blocks: tuple[NDArray[np.generic], ...] = (
        *(level, now, np.where(known, _RECENCY[age], np.float32(0)), state.change),
        *(state.ewm_mean[:, 0], state.ewm_mean[:, 1], deviation[:, 0], deviation[:, 1], state.mean),
        *(state.rate / np.maximum(state.rate_weight, np.float32(1))[:, None], lowest, highest, slope),
        points[:, NEWS2_SIGNS].astype(np.float32) / _NEWS2_SIGN_POINTS,
        *_pressures(state),
        points.sum(axis=1).astype(np.float32) / _NEWS2_POINTS,
        *_details(inputs),
    )
    column = 0
    for block in blocks:
        width = block.shape[1] if block.ndim > 1 else 1
        x[:, column : column + width] = block.reshape(n, width)
        column += width
    np.clip(x, -INPUT_BOUND, INPUT_BOUND, out=x)
    return _grid(x)


def clock_features(step: NDArray[np.int32]) -> F32:
    """Return the hour of the stay, as a logarithm and in days (N, 2), for a step (N)."""
    hours = np.maximum(step, 0).astype(np.float32)
    x = np.empty((len(hours), len(CLOCK_NAMES)), dtype=np.float32)
    x[:, 0] = np.log1p(hours) / _LOG_STAY_HOURS
    x[:, 1] = hours / _HOURS_A_DAY
    np.clip(x, -INPUT_BOUND, INPUT_BOUND, out=x)
    return _grid(x)


def _grid(x: F32) -> F32:
    """Round to multiples of INPUT_GRID, in place; float32 holds every multiple in [-6, 6] exactly."""
    x *= np.float32(1 / INPUT_GRID)
    np.rint(x, out=x)
    x *= np.float32(INPUT_GRID)
    return x


def _hundredths(values: F32) -> I16:
    """Return plausible values (N, 7) in hundredths of their unit; NaN becomes EMPTY."""
    known = ~np.isnan(values)
    whole = np.clip(np.rint(np.where(known, values, np.float32(0)) * np.float32(100)), -_MOST, _MOST)
    hundredths: I16 = np.where(known, whole.astype(np.int16), EMPTY)
    return hundredths


def of_hundredths(hundredths: I16) -> F32:
    """Return values of any shape in their unit, NaN where not measured."""
    values: F32 = np.where(hundredths == EMPTY, np.float32(np.nan), hundredths.astype(np.float32) / np.float32(100))
    return values


def _window(window: I16, scaling: Scaling) -> tuple[F32, F32, F32]:
    """Return the lowest and highest z of 12 hours and the least-squares slope of 8 (N, 7); 0 without measurements.

    The sums are over multiples of 2^-15 and small whole numbers: exact, in whatever order they are added. That z rises
    with the value saves computing it twelve times. Hours come first in what is summed: adding whole planes is quick.
    """
    hours = np.array(window[:, :_WINDOW_HOURS].transpose(1, 0, 2), order="C")  # (12, N, 7)
    chosen = np.empty((2 + _SLOPE_HOURS, *hours.shape[1:]), dtype=np.int16)
    np.maximum.reduce(hours, axis=0, out=chosen[1])
    chosen[2:] = hours[:_SLOPE_HOURS]
    hours[hours == EMPTY] = _MOST
    np.minimum.reduce(hours, axis=0, out=chosen[0])
    chosen[0][chosen[1] == EMPTY] = EMPTY
    empty = chosen == EMPTY
    z = scaling.z(chosen.astype(np.float32) / np.float32(100))
    z[empty] = 0
    slope = _slope(z[2:], (~empty[2:]).astype(np.float32))
    return z[0], z[1], slope * np.float32(_SLOPE_HOURS)


def _slope(z: F32, seen: F32) -> F32:
    """Return the least-squares slope an hour (N, 7) of z (8, N, 7) where `seen` is 1; 0 with fewer than two."""
    count, hours, squares, total, product = (np.zeros(z.shape[1:], dtype=np.float32) for _ in range(5))
    for ago, there, value in zip(_HOURS_AGO, seen, z, strict=True):
        count += there
        hours += there * ago
        squares += there * (ago * ago)
        total += value
        product += value * ago
    spread = count * squares - hours * hours
    slope: F32 = np.divide(
        count * product - hours * total, spread, out=np.zeros_like(total), where=count >= _SLOPE_POINTS
    )
    return slope


def _pressures(state: FeatureState) -> tuple[F32, F32, F32]:
    """Return shock index, its weighted mean, and pulse pressure (N), scaled; 0 where a part of it is not known.

    The weighted mean of the shock index is brought up to date here: it needs the step's last known values.
    """
    heart, systolic, diastolic = (state.last_value[:, sign] for sign in (HEART_RATE, SYSTOLIC_BP, DIASTOLIC_BP))
    shock = heart / systolic
    known = ~np.isnan(shock)
    shock = np.where(known, shock, np.float32(0))
    state.shock_weight = state.shock_weight + known
    share = np.divide(known.astype(np.float32), state.shock_weight, out=np.zeros_like(shock), where=known)
    state.shock_mean = state.shock_mean + share * (shock - state.shock_mean)
    pulse = systolic - diastolic
    zero = np.float32(0)
    return (
        np.where(known, (shock - _SHOCK_INDEX[0]) / _SHOCK_INDEX[1], zero),
        np.where(state.shock_mean > 0, (state.shock_mean - _SHOCK_INDEX[0]) / _SHOCK_INDEX[1], zero),
        np.where(np.isnan(pulse), zero, (pulse - _PULSE_PRESSURE[0]) / _PULSE_PRESSURE[1]),
    )


def _details(inputs: StepInput) -> tuple[NDArray[np.floating], ...]:
    """Return what is known at admission (N each), each with a mark that it is known; the unit's flags are their own."""
    zero, one = np.float32(0), np.float32(1)
    age_known, sex_known = np.isfinite(inputs.age_years), np.isfinite(inputs.sex)
    hours_known = np.isfinite(inputs.hospital_hours)
    hours = np.where(hours_known, inputs.hospital_hours, zero)
    return (
        np.where(age_known, (inputs.age_years - _AGE[0]) / _AGE[1], zero),
        age_known.astype(np.float32),
        np.where(sex_known, np.where(inputs.sex > 0, one, -one), zero),
        sex_known.astype(np.float32),
        np.log1p(np.maximum(hours, zero)) / _LOG_HOSPITAL_HOURS,
        np.sign(hours),
        hours_known.astype(np.float32),
        (inputs.unit_type == 1).astype(np.float32),
        (inputs.unit_type == 2).astype(np.float32),  # noqa: PLR2004  (2 is surgical, see StepInput)
    )
