"""How long a made-up healthy patient who gets worse in some vital signs only waits for an alert, if one ever comes.

    python -m models.deterioration [MODEL ...]

MODEL is a shipped model or the folder of one; default: bedside. Prints a table: the hours from the beginning of the
change to the first hour whose risk is at the model's own raise threshold or over it and can be assessed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import ArtifactError, load_model
from models.cohort import Cohort
from models.scoring import score_cohort
from models.stay_model import StayModel
from models.vital_signs import (
    DIASTOLIC_BP,
    MEAN_ARTERIAL_PRESSURE,
    N_VITAL_SIGNS,
    OXYGEN_SATURATION,
    SYSTOLIC_BP,
)

__all__ = ["COURSES", "Course", "Waited", "hours_to_alert", "main", "worsening_cohort"]

F64 = NDArray[np.float64]

_STAYS = 20
_HEALTHY_HOURS = 24  # before the change
_WORSE_HOURS, _WATCHED_HOURS = 8, 14  # the change lasts so long; what it has come to stays, and is watched so long
_TYPICAL = np.array([74.0, 15.0, 36.8, 97.5, 121.0, 75.0, 0.0])  # an adult at rest; the mean pressure follows
_SPREAD = np.array([3.5, 1.2, 0.15, 0.7, 5.0, 3.5, 0.0])
_DECIMALS = np.array([0, 0, 1, 0, 0, 0, 0])
_AGE_YEARS, _HOSPITAL_HOURS, _UNIT = 60.0, 5.0, 1


@dataclass(frozen=True)
class Course:
    """What gets worse: the change an hour of each vital sign, in their order; the mean pressure follows the others."""

    name: str
    an_hour: tuple[float, float, float, float, float, float]


COURSES = (
    Course("blood pressure alone, -8/-5 mmHg an hour", (0, 0, 0, 0, -8, -5)),
    Course("respiratory rate alone, +3/min an hour", (0, 3, 0, 0, 0, 0)),
    Course("heart rate alone, +10/min an hour", (10, 0, 0, 0, 0, 0)),
    Course("temperature alone, +0.45 °C an hour", (0, 0, 0.45, 0, 0, 0)),
    Course("heart rate +8, blood pressure -8/-5", (8, 0, 0, 0, -8, -5)),
    Course("all: +8, +2, +0.4, saturation -1 %, -6/-4", (8, 2, 0.4, -1, -6, -4)),
)


@dataclass(frozen=True)
class Waited:
    """What became of the stays of one course."""

    values: tuple[float, ...]  # mean of each vital sign once the change is over
    hours: tuple[int | None, ...]  # of each stay, to the alert; None: never
    largest_risk: float  # mean over stays of their largest risk since the change began


def worsening_cohort(course: Course, seed: int = 0) -> Cohort:
    """Return stays (all 38 hours long) of a day of health, then eight hours of the change, then no further one."""
    hours = _HEALTHY_HOURS + _WATCHED_HOURS
    values = np.random.default_rng(seed).normal(_TYPICAL, _SPREAD, (_STAYS, hours, N_VITAL_SIGNS))
    changed = np.clip(np.arange(hours) - _HEALTHY_HOURS + 1, 0, _WORSE_HOURS)
    values[..., :MEAN_ARTERIAL_PRESSURE] += changed[None, :, None] * np.array(course.an_hour)
    values[..., OXYGEN_SATURATION] = np.minimum(values[..., OXYGEN_SATURATION], 100)
    diastolic = values[..., DIASTOLIC_BP]
    values[..., MEAN_ARTERIAL_PRESSURE] = diastolic + (values[..., SYSTOLIC_BP] - diastolic) / 3
    values = np.round(values * 10**_DECIMALS) / 10**_DECIMALS
    return Cohort(
        patient_ids=tuple(f"worse-{number}" for number in range(_STAYS)),
        hospitals=("",) * _STAYS,
        offsets=np.arange(_STAYS + 1, dtype=np.int64) * hours,
        values=values.reshape(-1, N_VITAL_SIGNS).astype(np.float32),
        steps=np.tile(np.arange(hours, dtype=np.int32), _STAYS),
        labels=None,
        age_years=np.full(_STAYS, _AGE_YEARS, dtype=np.float32),
        sex=(np.arange(_STAYS) % 2).astype(np.float32),
        hospital_hours=np.full(_STAYS, _HOSPITAL_HOURS, dtype=np.float32),
        unit_type=np.full(_STAYS, _UNIT, dtype=np.int8),
    )


def hours_to_alert(model: StayModel, course: Course, seed: int = 0) -> Waited:
    """Return when each stay of a course is first at the model's raise threshold, in hours; 1: in the first changed."""
    cohort = worsening_cohort(course, seed)
    scored = score_cohort(model, cohort)
    risk = scored.risk.reshape(_STAYS, -1)[:, _HEALTHY_HOURS:]
    assessable = scored.assessable.reshape(_STAYS, -1)[:, _HEALTHY_HOURS:]
    over = (risk >= model.manifest.thresholds.pager_raise) & assessable
    first = np.where(over.any(axis=1), over.argmax(axis=1) + 1, 0)
    ended = cohort.values.reshape(_STAYS, -1, N_VITAL_SIGNS)[:, _HEALTHY_HOURS + _WORSE_HOURS :]
    return Waited(
        values=tuple(ended.mean(axis=(0, 1)).astype(float).tolist()),
        hours=tuple(int(hour) if hour else None for hour in first),
        largest_risk=float(risk.max(axis=1).mean()),
    )


def _row(model: StayModel, course: Course) -> str:
    found = hours_to_alert(model, course)
    heart, breaths, temperature, saturation, systolic, diastolic, _ = found.values
    end = f"{heart:.0f}, {breaths:.0f}, {temperature:.1f}, {saturation:.0f}, {systolic:.0f}/{diastolic:.0f}"
    alerted = [hour for hour in found.hours if hour is not None]
    wait = f"{np.median(alerted):.1f} h" if alerted else "never"
    return (
        f"| {model.name} {model.version} | {course.name} | {end} | {len(alerted)} of {len(found.hours)} | {wait} "
        f"| {found.largest_risk:.4f} |"
    )


def main(arguments: list[str]) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.deterioration",
        description="Print how long made-up patients who get worse in some vital signs only wait for an alert.",
    )
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        default=["bedside"],
        help="shipped, or the folder of one; default: bedside",
    )
    try:
        loaded = [load_model(name) for name in parser.parse_args(arguments).models]
    except ArtifactError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(
        "| model | what gets worse | comes to: heart rate, respiration, °C, saturation, pressure | stays alerted "
        "| median hours to the alert | largest risk, mean |\n|---|---|---|---|---|---|\n"
    )
    for model in loaded:
        for course in COURSES:
            sys.stdout.write(f"{_row(model, course)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
