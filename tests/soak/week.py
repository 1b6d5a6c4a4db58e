"""A ward with as many patients as beds, hour by hour: stays begin and end as in a data set, under new ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.vital_signs import NAMES
from monitor.replay import shortest_decimals

__all__ = ["Hour", "week"]

Sent = tuple[bytes, bytes]  # key and value


@dataclass
class Hour:
    """What one hour brings: stays begin with their first observation."""

    number: int
    time: datetime
    discharges: list[Sent] = field(default_factory=list)
    observations: list[Sent] = field(default_factory=list)
    begun: int = 0
    ended: int = 0


@dataclass
class _Bed:
    stay: int  # of the cohort
    row: int  # the next one
    patient: str
    since: int  # hour in which the first row comes


def week(cohort: Cohort, beds: int, hours: int, begin: datetime, seed: int) -> Iterator[Hour]:
    """Give the hours of a full ward; in its first hour it is full of stays that are under way."""
    random = np.random.default_rng(seed)
    values, stays = shortest_decimals(cohort.values), 0
    ward: list[_Bed | None] = [None] * beds
    for number in range(hours):
        hour, now = Hour(number, begin + timedelta(hours=number)), begin + timedelta(hours=number)
        for place in range(beds):
            bed = ward[place]
            if bed is not None and bed.row == cohort.offsets[bed.stay + 1]:
                hour.discharges.append(_said(bed.patient, "discharged", now))
                hour.ended += 1
                bed = None
            if bed is None:
                stay = int(random.integers(cohort.n_stays))
                first, end = int(cohort.offsets[stay]), int(cohort.offsets[stay + 1])
                row = first if number else int(random.integers(first, end))
                bed = _Bed(stay, row, f"soak-{seed}-{stays}", number - int(cohort.steps[row]))
                stays += 1
                hour.begun += 1
            ward[place] = bed
            _observe(hour, bed, cohort, values, now + timedelta(minutes=place % 59))
        yield hour


def _observe(hour: Hour, bed: _Bed, cohort: Cohort, values: NDArray[np.float64], when: datetime) -> None:
    """Add the rows of the bed's stay that are due."""
    while bed.row < cohort.offsets[bed.stay + 1] and bed.since + cohort.steps[bed.row] <= hour.number:
        known = {name: float(v) for name, v in zip(NAMES, values[bed.row], strict=True) if not np.isnan(v)}
        if known:
            body = {"patient_id": bed.patient, "time": when.isoformat(), **known}
            hour.observations.append((bed.patient.encode(), json.dumps(body).encode()))
        bed.row += 1


def _said(patient: str, kind: str, when: datetime) -> Sent:
    body = {"event_id": f"{patient}:{kind}", "patient_id": patient, "type": kind, "time": when.isoformat()}
    return patient.encode(), json.dumps(body).encode()
