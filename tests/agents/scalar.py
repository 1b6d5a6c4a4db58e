"""A second, slow writing of the rules of one open stay, in plain Python: what the arrays of agents/ must agree with."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.doubt import REASONS
from models.stay_model import StayModel, StepInput
from models.vital_signs import NAMES

__all__ = ["ScalarStay"]

_HOUR_MS = 3_600_000
_SLOT_MS = 300_000
_UNIT_MS = 5
_NEVER = -1
Measurement = tuple[int, float]  # time in ms or units, value; tuples compare as the rule says: later, then greater


@dataclass
class ScalarStay:
    """One stay from its start on; `take` one observation after the other and read `closed` (risk by step)."""

    model: StayModel
    start_ms: int
    age_years: float = float("nan")
    late_ms: int = 24 * _HOUR_MS
    closed: dict[int, float] = field(default_factory=dict)
    refused: int = 0
    step: int = 0
    newest_ms: int = 0

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self.newest_ms = self.start_ms
        self.state = self.model.initial(1)
        self.slots: dict[str, dict[int, Measurement]] = {name: {} for name in NAMES}
        self.late: dict[str, Measurement] = {}
        self.known_ms: dict[str, int] = dict.fromkeys(NAMES, _NEVER)  # newest measurement in closed steps

    def take(self, time_ms: int, values: dict[str, float]) -> None:
        """Take one observation of plausible values in."""
        if time_ms < self.newest_ms - self.late_ms:
            self.refused += 1
            return
        while time_ms >= self.start_ms + (self.step + 1) * _HOUR_MS:
            self._close()
        within = time_ms - (self.start_ms + self.step * _HOUR_MS)
        for name, value in values.items():
            measurement = (time_ms, float(np.float32(value)))
            if within >= 0:
                slot = within // _SLOT_MS
                inside = (within // _UNIT_MS, measurement[1])
                self.slots[name][slot] = max(inside, self.slots[name].get(slot, inside))
            elif time_ms > self.known_ms[name]:
                self.late[name] = max(measurement, self.late.get(name, measurement))
        self.newest_ms = max(self.newest_ms, time_ms)

    def provisional(self) -> float:
        """Return the risk over the open step."""
        return self._advanced()[1]

    def doubt(self) -> tuple[str, str | None] | None:
        """Return why the risk over the open step cannot be assessed, and what to measure; None where it can."""
        state, _ = self._advanced()
        step, age = np.array([self.step], dtype=np.int32), np.array([self.age_years], dtype=np.float32)
        found = self.model.doubt(state, step, age)
        sign = int(found.sign[0])
        return (REASONS[found.reason[0]], NAMES[sign] if sign >= 0 else None) if found.reason[0] else None

    def _close(self) -> None:
        self.state, self.closed[self.step] = self._advanced()
        for name in NAMES:
            begin = self.start_ms + self.step * _HOUR_MS + _UNIT_MS - 1  # a closed step knows all of a unit
            times = [self.known_ms[name], *(begin + unit * _UNIT_MS for unit, _ in self.slots[name].values())]
            if name in self.late:
                times.append(self.late[name][0])
            self.known_ms[name] = max(times)
            self.slots[name].clear()
        self.late.clear()
        self.step += 1

    def _advanced(self) -> tuple[NDArray[np.void], float]:
        late_steps = [(self.late[name][0] - self.start_ms) // _HOUR_MS if name in self.late else 0 for name in NAMES]
        inputs = StepInput(
            step=np.array([self.step], dtype=np.int32),
            values=_row(self._step_values()),
            late_values=_row({name: value for name, (_, value) in self.late.items()}),
            late_steps=np.array([late_steps], dtype=np.int32),
            age_years=np.array([self.age_years], dtype=np.float32),
            sex=np.array([np.nan], dtype=np.float32),
            hospital_hours=np.array([np.nan], dtype=np.float32),
            unit_type=np.zeros(1, dtype=np.int8),
        )
        state, logit = self.model.advance(self.state, inputs)
        return state, float(self.model.risk(logit)[0])

    def _step_values(self) -> dict[str, float]:
        medians = {
            name: statistics.median(value for _, value in slots.values()) for name, slots in self.slots.items() if slots
        }
        systolic, diastolic = medians.get("systolic_bp"), medians.get("diastolic_bp")
        mean = medians.get("mean_arterial_pressure")
        if systolic is not None and diastolic is not None and diastolic >= systolic:
            del medians["systolic_bp"], medians["diastolic_bp"]
        elif mean is not None and (
            (diastolic is not None and mean < diastolic) or (systolic is not None and mean > systolic)
        ):
            del medians["mean_arterial_pressure"]
        return medians


def _row(values: dict[str, float]) -> NDArray[np.float32]:
    return np.array([[values.get(name, np.nan) for name in NAMES]], dtype=np.float32)
