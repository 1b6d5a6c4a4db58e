"""Steps of many stays at once: closing them, and the provisional risk over the open one.

Closing keeps the state that `StayModel.advance` returns; the provisional risk is what `StayModel.look` says of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import open_step
from agents.intake import Intake
from models.doubt import Doubts
from models.reasons import Explanation, explain
from models.stay_model import StayModel, StepInput

__all__ = ["Closed", "Provisional", "Steps"]

_Index = NDArray[np.intp]


@dataclass(frozen=True)
class Closed:
    """A step that closed: which row, which step, its final risk."""

    row: int
    step: int
    risk: float


@dataclass(frozen=True)
class Provisional:
    """The risk over the open step, (N,), and what speaks against it."""

    risk: NDArray[np.float64]
    doubt: Doubts

    @property
    def assessable(self) -> NDArray[np.bool_]:
        """Where anything may be decided on the risk (N,)."""
        return self.doubt.assessable


class Steps:
    """Advances rows of state records by a model; counts the seconds that it took, and what closed hours brought."""

    def __init__(self, model: StayModel) -> None:
        self._model = model
        self.model_seconds = 0.0
        self.intake = Intake()

    def close_until(self, rows: NDArray[Any], index: _Index, steps: NDArray[np.int32]) -> list[Closed]:
        """Close the steps of these (distinct) rows until `steps` (N,) are open; hours without data are steps too."""
        closed: list[Closed] = []
        while True:
            behind = rows["open_step"][index] < steps
            if not behind.any():
                return closed
            index, steps = index[behind], steps[behind]
            index, steps = self._pass_waiting(rows, index, steps, closed)
            if not len(index):
                return closed
            inputs = _inputs(rows, index)
            self.intake.take(rows["key"][index], inputs.values, self._model.scaling)
            state, logit = self._advance(rows, index, inputs, keep_past=True)
            risk = self._model.risk(logit)
            step = rows["open_step"][index]
            rows["state"][index] = state
            open_step.close(rows, index)
            closed += map(Closed, index.tolist(), step.tolist(), risk.tolist())

    def _pass_waiting(
        self, rows: NDArray[Any], index: _Index, steps: NDArray[np.int32], closed: list[Closed]
    ) -> tuple[_Index, NDArray[np.int32]]:
        """Close all steps before a stay's first measurement at once: each has the risk of knowing nothing."""
        waiting = ~open_step.holds_data(rows, index) & ~self._model.started(rows["state"][index])
        if waiting.any():
            idle, until = index[waiting], steps[waiting]
            _, logit = self._advance(rows, idle, _inputs(rows, idle), keep_past=False)
            for row, first, end, risk in zip(
                idle.tolist(), rows["open_step"][idle].tolist(), until.tolist(), self._model.risk(logit), strict=True
            ):
                closed += [Closed(row, step, float(risk)) for step in range(first, end)]
            rows["open_step"][idle] = until
        return index[~waiting], steps[~waiting]

    def provisional(self, rows: NDArray[Any], index: _Index, seen: open_step.Glimpse | None = None) -> Provisional:
        """Return the risk of these rows over their open steps; nothing is changed.

        With `seen` (N) the open steps are as they were then, and `index` may name a row several times.
        """
        inputs = _inputs(rows, index, seen)
        started = time.perf_counter()
        logit, doubt = self._model.look(rows["state"], index, inputs)
        self.model_seconds += time.perf_counter() - started
        return Provisional(self._model.risk(logit), doubt)

    def explain(self, rows: NDArray[Any], index: _Index) -> list[Explanation]:
        """Return the reasons of the provisional risks of these rows; nothing is changed."""
        inputs = _inputs(rows, index)
        started = time.perf_counter()
        explanations = explain(self._model, rows["state"][index], inputs)
        self.model_seconds += time.perf_counter() - started
        return explanations

    def _advance(
        self, rows: NDArray[Any], index: _Index, inputs: StepInput, *, keep_past: bool
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        started = time.perf_counter()
        result = self._model.advance(rows["state"][index], inputs, keep_past=keep_past)
        self.model_seconds += time.perf_counter() - started
        return result


def _inputs(rows: NDArray[Any], index: _Index, seen: open_step.Glimpse | None = None) -> StepInput:
    """Return what the model sees of these rows in their open steps."""
    seen = seen or open_step.glimpse(rows, index)
    late, late_steps = seen.late_values(rows["start_ms"][index])
    return StepInput(
        step=rows["open_step"][index],
        values=seen.step_values(),
        late_values=late,
        late_steps=late_steps,
        age_years=rows["age_years"][index],
        sex=rows["sex"][index],
        hospital_hours=rows["hospital_hours"][index],
        unit_type=rows["unit_type"][index],
    )
