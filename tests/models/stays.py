"""Made-up stays for the tests of the models: hours as a ward records them, with gaps, artefacts and late values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.stay_model import StepInput
from models.vital_signs import N_VITAL_SIGNS

TYPICAL = np.array([84.0, 18.0, 37.0, 97.0, 122.0, 64.0, 82.0])
SPREAD = np.array([18.0, 5.0, 0.8, 3.0, 22.0, 13.0, 15.0])


def made_up_values(rng: np.random.Generator, rows: int, missing: float = 0.4) -> NDArray[np.float32]:
    """Return plausible values (rows, 7) in hundredths, each missing with a probability."""
    values = np.clip(rng.normal(TYPICAL, SPREAD, (rows, N_VITAL_SIGNS)), 26, 100)
    values[:, 2] = np.clip(values[:, 2], 26, 44)
    values[rng.random(values.shape) < missing] = np.nan
    return values.round(2).astype(np.float32)


def made_up_input(rng: np.random.Generator, n: int, step: int, *, late: float = 0.1) -> StepInput:
    """Return one step of n stays; some have late values, some have nothing at all."""
    values = made_up_values(rng, n)
    values[rng.random(n) < 0.2] = np.nan
    late_values = np.where(rng.random((n, N_VITAL_SIGNS)) < late, made_up_values(rng, n, 0.0), np.nan)
    unknown = rng.random((3, n)) < 0.2
    return StepInput(
        step=np.full(n, step, dtype=np.int32),
        values=values,
        late_values=late_values.astype(np.float32),
        late_steps=rng.integers(max(step - 30, 0), step + 1, (n, N_VITAL_SIGNS)).astype(np.int32),
        age_years=np.where(unknown[0], np.nan, rng.uniform(18, 95, n)).astype(np.float32),
        sex=np.where(unknown[1], np.nan, rng.integers(0, 2, n)).astype(np.float32),
        hospital_hours=np.where(unknown[2], np.nan, rng.normal(20, 40, n)).astype(np.float32),
        unit_type=rng.integers(0, 3, n).astype(np.int8),
    )


def rows_of(inputs: StepInput, rows: NDArray[np.int64]) -> StepInput:
    """Return the chosen rows of a step."""
    return StepInput(**{name: getattr(inputs, name)[rows] for name in StepInput.__dataclass_fields__})


def made_up_cohort(seed: int, stays: int = 40, *, longest: int = 60, signal: float = 0.0) -> Cohort:
    """Return labelled stays, a third septic; `signal` raises heart and breathing rates before a septic stay's end."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, stays)
    septic = np.arange(stays) % 3 == 0
    values, steps, labels = [], [], []
    for length, ill in zip(lengths.tolist(), septic.tolist(), strict=True):
        first = int(rng.integers(0, 4))
        steps.append(np.arange(first, first + length))
        onset = max(length - 8, 0)
        label = (np.arange(length) >= onset) & ill
        rows = made_up_values(rng, length)
        rows[:, :2] += np.where(label, signal, 0)[:, None]
        rows[rng.random(length) < 0.1] = np.nan
        values.append(rows)
        labels.append(label)
    return Cohort(
        patient_ids=tuple(f"p{stay % 2}{stay:05d}" for stay in range(stays)),
        hospitals=tuple("AB"[stay % 2] for stay in range(stays)),
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        values=np.concatenate(values).astype(np.float32),
        steps=np.concatenate(steps).astype(np.int32),
        labels=np.concatenate(labels).astype(np.uint8),
        age_years=rng.uniform(18, 95, stays).astype(np.float32),
        sex=rng.integers(0, 2, stays).astype(np.float32),
        hospital_hours=rng.normal(20, 40, stays).astype(np.float32),
        unit_type=rng.integers(0, 3, stays).astype(np.int8),
    )
