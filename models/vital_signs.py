"""The seven vital signs: one sourced table of names, codes, units and plausible ranges, in the order of every array.

Sources: LOINC 2.7x for `loinc`; the Unified Code for Units of Measure for `ucum`; IEEE 11073-10101 (the MDC
nomenclature that IHE PCD-01 messages carry) for `mdc`; the PhysioNet/CinC Challenge 2019 for `challenge_column`.
Plausible ranges are what a living patient's monitor can show, wide on purpose: they refuse artefacts (a probe in the
air, a flushed arterial line), never a very sick patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIASTOLIC_BP",
    "HEART_RATE",
    "MEAN_ARTERIAL_PRESSURE",
    "NAMES",
    "N_VITAL_SIGNS",
    "OXYGEN_SATURATION",
    "RESPIRATORY_RATE",
    "SYSTOLIC_BP",
    "TEMPERATURE",
    "VITAL_SIGNS",
    "VitalSign",
    "contradictory",
    "implausible",
    "usable",
]


@dataclass(frozen=True)
class VitalSign:
    """One vital sign: how the world names it, its unit, and the range outside which a value is an artefact."""

    name: str  # the field of an observation, and of every output
    label: str  # for people
    challenge_column: str
    loinc: str
    ucum: str
    unit: str  # the unit as people write it
    mdc: tuple[int, ...]  # codes a monitor may send, the usual one first
    low: float  # lowest plausible value, inclusive, in `unit`
    high: float  # highest plausible value, inclusive, in `unit`


VITAL_SIGNS: tuple[VitalSign, ...] = (
    VitalSign("heart_rate", "Heart rate", "HR", "8867-4", "/min", "/min", (147842, 149530), 20.0, 300.0),
    VitalSign("respiratory_rate", "Respiratory rate", "Resp", "9279-1", "/min", "/min", (151562,), 1.0, 100.0),
    VitalSign("temperature", "Temperature", "Temp", "8310-5", "Cel", "°C", (150344,), 25.0, 45.0),
    VitalSign("oxygen_saturation", "Oxygen saturation", "O2Sat", "59408-5", "%", "%", (150456,), 20.0, 100.0),
    VitalSign("systolic_bp", "Systolic pressure", "SBP", "8480-6", "mm[Hg]", "mmHg", (150021, 150033), 20.0, 300.0),
    VitalSign("diastolic_bp", "Diastolic pressure", "DBP", "8462-4", "mm[Hg]", "mmHg", (150022, 150034), 10.0, 300.0),
    VitalSign(
        "mean_arterial_pressure", "Mean pressure", "MAP", "8478-0", "mm[Hg]", "mmHg", (150023, 150035), 20.0, 300.0
    ),
)

N_VITAL_SIGNS = len(VITAL_SIGNS)
NAMES: tuple[str, ...] = tuple(sign.name for sign in VITAL_SIGNS)

HEART_RATE = NAMES.index("heart_rate")
RESPIRATORY_RATE = NAMES.index("respiratory_rate")
TEMPERATURE = NAMES.index("temperature")
OXYGEN_SATURATION = NAMES.index("oxygen_saturation")
SYSTOLIC_BP = NAMES.index("systolic_bp")
DIASTOLIC_BP = NAMES.index("diastolic_bp")
MEAN_ARTERIAL_PRESSURE = NAMES.index("mean_arterial_pressure")

_LOW = np.array([sign.low for sign in VITAL_SIGNS], dtype=np.float32)
_HIGH = np.array([sign.high for sign in VITAL_SIGNS], dtype=np.float32)


def implausible(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return, for values (N, 7), which lie outside their plausible range; a missing value (NaN) does not."""
    return (values < _LOW) | (values > _HIGH)


def contradictory(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return, for values (N, 7) of one moment or one step, which blood pressures cannot be true together.

    A diastolic pressure at or over the systolic one makes both doubtful (a swapped or damped line); otherwise a mean
    below the diastolic or above the systolic one is doubtful itself. A missing value contradicts nothing.
    """
    systolic, diastolic = values[:, SYSTOLIC_BP], values[:, DIASTOLIC_BP]
    mean = values[:, MEAN_ARTERIAL_PRESSURE]
    swapped = diastolic >= systolic
    doubtful = np.zeros(values.shape, dtype=np.bool_)
    doubtful[:, SYSTOLIC_BP] = swapped
    doubtful[:, DIASTOLIC_BP] = swapped
    doubtful[:, MEAN_ARTERIAL_PRESSURE] = ((mean < diastolic) | (mean > systolic)) & ~swapped
    return doubtful


def usable(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy of values (N, 7) in which implausible and then contradictory ones are missing (NaN)."""
    kept = np.where(implausible(values), np.float32(np.nan), values)
    return np.where(contradictory(kept), np.float32(np.nan), kept)
