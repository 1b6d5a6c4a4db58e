"""The load of a measurement: patients of whom a monitor sends a set of vital signs every so often.

Values are those of real stays, hour by hour, the last known one where an hour has none, and a little unsteady from
one sample to the next. The same cohort, numbers and seed give the same bytes, but for the time at which they end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.outputs import utc
from agents.worker_config import partition_of
from models.cohort import Cohort
from models.vital_signs import (
    DIASTOLIC_BP,
    MEAN_ARTERIAL_PRESSURE,
    N_VITAL_SIGNS,
    NAMES,
    SYSTOLIC_BP,
    VITAL_SIGNS,
    usable,
)

__all__ = ["Load", "Sample"]

_HOUR_SECONDS = 3_600
_UNSTEADY = 0.004  # of a value, standard deviation from sample to sample
_LEAST_PULSE_PRESSURE = 10  # mmHg
_DECIMALS = 1
_ANOTHER_HEART_RATE = 91.0  # /min
_LOW, _HIGH = np.array([(sign.low, sign.high) for sign in VITAL_SIGNS], dtype=np.float64).T
_encode = msgspec.json.Encoder().encode
Sample = tuple[bytes, bytes]  # key and value of a record


@dataclass(frozen=True)
class Load:
    """`patients` patients with a sample each every `every_seconds`, for `samples` samples."""

    cohort: Cohort
    patients: int
    samples: int
    every_seconds: float
    seed: int = 0
    prefix: str = "bench"

    @property
    def events(self) -> int:
        """How many observations there are."""
        return self.patients * self.samples

    def rounds(self, end_ms: int) -> Iterator[list[Sample]]:
        """Yield one sample of every patient at a time, the oldest first; the last is measured before `end_ms`."""
        rng = np.random.default_rng(self.seed)
        hours = _known_hours(self.cohort)
        usable_stays = np.flatnonzero(np.diff(hours.offsets) > 0)
        stay = rng.permutation(usable_stays)[np.arange(self.patients) % len(usable_stays)]
        begin, length = hours.offsets[stay], np.diff(hours.offsets)[stay]
        phase = rng.random(self.patients)
        ids = [f"{self.prefix}-{number:06d}" for number in range(self.patients)]
        for sample in range(self.samples):
            hour = int(sample * self.every_seconds // _HOUR_SECONDS)
            values = _unsteady(hours.values[begin + hour % length], rng)
            ago = (self.samples - sample - phase) * self.every_seconds * 1000
            times = (end_ms - ago).astype(np.int64)
            yield list(zip([name.encode() for name in ids], self._bodies(ids, sample, times, values), strict=True))

    def one_of_each_partition(self, partitions: int, time_ms: int) -> list[Sample]:
        """Return an observation of one patient of each partition, measured at `time_ms`."""
        found: dict[int, Sample] = {}
        for number in range(self.patients):
            patient = f"{self.prefix}-{number:06d}"
            key = patient.encode()
            body = {"patient_id": patient, "time": utc(time_ms), "heart_rate": _ANOTHER_HEART_RATE}
            found.setdefault(partition_of(key, partitions), (key, _encode(body)))
            if len(found) == partitions:
                break
        return list(found.values())

    def single_samples(self, count: int, new_every: int) -> Callable[[int, int], Sample]:
        """Return what gives the sample of a number below `count`, measured at a time (epoch ms).

        They are of the patients in turn, but every `new_every`-th is of one who was not seen before.
        """
        rng = np.random.default_rng([self.seed, count])
        hours = _known_hours(self.cohort)
        values = _unsteady(hours.values[rng.integers(0, len(hours.values), count)], rng)

        def sample(number: int, time_ms: int) -> Sample:
            is_new = number % new_every == new_every - 1
            who = self.patients + number if is_new else number % self.patients
            patient = f"{self.prefix}-{who:06d}"
            at = np.array([time_ms], dtype=np.int64)
            (body,) = self._bodies([patient], self.samples + number, at, values[number : number + 1])
            return patient.encode(), body

        return sample

    @staticmethod
    def _bodies(ids: list[str], sample: int, times: NDArray[np.int64], values: NDArray[np.float64]) -> Iterator[bytes]:
        known = ~np.isnan(values)
        for patient, time_ms, row, there in zip(ids, times.tolist(), values.tolist(), known.tolist(), strict=True):
            body = {"event_id": f"{patient}:{sample}", "patient_id": patient, "time": utc(time_ms)}
            body.update((name, value) for name, value, is_known in zip(NAMES, row, there, strict=True) if is_known)
            yield _encode(body)


@dataclass(frozen=True)
class _Hours:
    values: NDArray[np.float64]  # (R, 7)
    offsets: NDArray[np.int64]  # (S + 1)


def _known_hours(cohort: Cohort) -> _Hours:
    """Return the hours of each stay in which anything is known, with the last known values."""
    values = usable(cohort.values).astype(np.float64)
    stay = cohort.stay_of_row
    row = np.arange(len(values))
    last = np.zeros((len(values), N_VITAL_SIGNS), dtype=np.int64)
    for sign in range(N_VITAL_SIGNS):
        last[:, sign] = np.maximum.accumulate(np.where(np.isnan(values[:, sign]), -1, row))
    same_stay = (last >= 0) & (stay[np.maximum(last, 0)] == stay[:, None])
    carried = np.where(same_stay, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)
    known = ~np.isnan(carried).all(axis=1)
    counts = np.bincount(stay[known], minlength=cohort.n_stays)
    return _Hours(carried[known], np.concatenate(([0], np.cumsum(counts))))


def _unsteady(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return values (N, 7) as a monitor would read them some seconds later; pressures stay possible."""
    read = np.round(values * (1 + _UNSTEADY * rng.normal(size=values.shape)), _DECIMALS)
    read = np.clip(read, _LOW, _HIGH)
    systolic, diastolic = read[:, SYSTOLIC_BP], read[:, DIASTOLIC_BP]
    read[:, DIASTOLIC_BP] = np.where(diastolic > systolic - _LEAST_PULSE_PRESSURE, np.nan, diastolic)
    mean = read[:, MEAN_ARTERIAL_PRESSURE]
    read[:, MEAN_ARTERIAL_PRESSURE] = np.where((mean <= read[:, DIASTOLIC_BP]) | (mean >= systolic), np.nan, mean)
    return read
