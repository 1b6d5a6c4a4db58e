"""What closed hours brought: one count an hour and patient, canaries left out, sums that can be added."""

from __future__ import annotations

import numpy as np
import pytest

from agents.canary import CANARY_PREFIX
from agents.intake import Intake
from models.features import Scaling
from models.vital_signs import HEART_RATE, N_VITAL_SIGNS, TEMPERATURE
from tests.agents.logs import HOUR, MODEL, START, admission, numbered, observation, work_off

_SCALING = Scaling(np.full(N_VITAL_SIGNS, 80, np.float32), np.full(N_VITAL_SIGNS, 10, np.float32))


def _hours(**by_sign: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    values = np.full((1, N_VITAL_SIGNS), np.nan, np.float32)
    values[0, HEART_RATE] = by_sign.get("heart_rate", np.nan)
    values[0, TEMPERATURE] = by_sign.get("temperature", np.nan)
    return values


def test_deviations_are_summed_by_side() -> None:
    intake = Intake()
    for rate in (100, 100, 75):
        intake.take(np.array([b"p1"], "S64"), _hours(heart_rate=rate), _SCALING)
    found = (intake.measured, intake.above, intake.below, intake.squared)
    assert [part[HEART_RATE] for part in found] == pytest.approx([3, 4, 0.5, 8.25], abs=1e-3)
    assert [part[TEMPERATURE] for part in found] == [0, 0, 0, 0]


def test_a_canary_is_no_patient() -> None:
    intake = Intake()
    canary, patient = f"{CANARY_PREFIX}3".encode(), CANARY_PREFIX[:-1].encode()
    intake.take(np.array([canary], "S64"), _hours(heart_rate=150), _SCALING)
    assert not intake.measured.any()
    intake.take(np.array([canary, patient], "S64"), np.repeat(_hours(heart_rate=90), 2, axis=0), _SCALING)
    assert (intake.measured[HEART_RATE], intake.above[HEART_RATE]) == (1, 1)


def test_hours_of_a_log_are_counted_when_they_close_however_often_a_monitor_sends() -> None:
    said = [observation("p1", START + second * 1000, heart_rate=120) for second in range(60)]
    said += [observation("p2", START, heart_rate=120, temperature=37.0)]
    open_hours = work_off(numbered(said))
    assert open_hours.outcomes[0].intake.measured.sum() == 0
    closing = [admission("p1", "discharged", START + 3 * HOUR), admission("p2", "discharged", START + 3 * HOUR)]
    whole = work_off(numbered([*said, *closing]))
    intake = Intake()
    for outcome in whole.outcomes:
        intake.add(outcome.intake)
    assert (intake.measured[HEART_RATE], intake.measured[TEMPERATURE]) == (2, 1)
    expected = 2 * (120 - MODEL.scaling.mean[HEART_RATE]) / MODEL.scaling.deviation[HEART_RATE]
    assert intake.above[HEART_RATE] - intake.below[HEART_RATE] == pytest.approx(expected, abs=1e-3)
