"""The past of a stay against what its state truly was six hours before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models import past
from models.artifact import load_model, untrained_model
from models.features import PAST_HOURS, FeatureState, of_hundredths
from models.stay_model import StayModel, StepInput
from tests.models.stays import made_up_input, rows_of

MODEL = untrained_model(seed=3)
N = 8
# Rounded to 16 bits every hour: relative to numbers of about 1, of up to 36 the variances.
PRECISION = {"ewm_variance": 0.2, "change": 0.005, "mean": 1e-4, "count": 0, "last_value": 0, "last_step": 0}


def made_up_stays(seed: int, steps: int, n: int = N, late: float = 0.0) -> list[StepInput]:
    """Return the steps of n stays whose age, sex and admission stay the same."""
    rng = np.random.default_rng(seed)
    first = made_up_input(rng, n, 0, late=late)
    details = {name: getattr(first, name) for name in ("age_years", "sex", "hospital_hours", "unit_type")}
    return [first, *(replace(made_up_input(rng, n, step, late=late), **details) for step in range(1, steps))]


def states(model: StayModel, inputs: list[StepInput]) -> list[NDArray[np.void]]:
    state = model.initial(len(inputs[0].step))
    found = [state]
    for step in inputs:
        state, _ = model.advance(state, step)
        found.append(state)
    return found


def told(model: StayModel, state: NDArray[np.void]) -> FeatureState:
    return past.before(state["past"], FeatureState.read(state), PAST_HOURS, model.scaling)


@pytest.fixture(params=["untrained", "clocked", "bedside"])
def model(request: pytest.FixtureRequest) -> StayModel:
    if request.param == "bedside":
        return load_model("bedside")
    return untrained_model(seed=4, clock=request.param == "clocked")


def test_the_past_is_the_state_of_six_hours_before(model: StayModel) -> None:
    found = states(model, made_up_stays(1, 60))
    for now in range(PAST_HOURS, 61):
        true, kept = found[now - PAST_HOURS], found[now]["past"]
        then = told(model, found[now])
        assert np.abs(true["h"] - kept["h"]).max() < 0.005
        assert (np.abs(true["c"] - kept["c"]) / np.maximum(np.abs(true["c"]), 1)).max() < 0.01  # in half precision
        assert np.array_equal(then.started, true["started"])
        for name in ("last_value", "last_step", "change", "ewm_mean", "ewm_variance", "rate", "mean", "count"):
            held = getattr(then, name).astype(np.float64)
            assert held == pytest.approx(true[name].astype(np.float64), abs=PRECISION.get(name, 0.02), nan_ok=True), (
                name
            )
        kept_hours = true["window"].shape[1] - PAST_HOURS
        assert np.array_equal(then.window[:, :kept_hours], true["window"][:, :kept_hours])


def test_replaying_the_hours_since_gives_the_state_of_now(model: StayModel) -> None:
    inputs = made_up_stays(2, 60)
    now = states(model, inputs)[-1]
    features = FeatureState.read(now)
    then = told(model, now)
    hours = past.hours_since(features, inputs[-1], PAST_HOURS - 1, 0)
    assert [hour.step[0] for hour in hours] == [54, 55, 56, 57, 58, 59]
    for replayed, true in zip(hours, inputs[54:], strict=True):
        assert np.array_equal(replayed.values, true.values, equal_nan=True)
        model.network_row(then, replayed)
    assert then.ewm_mean == pytest.approx(features.ewm_mean, abs=0.005)
    assert then.mean == pytest.approx(features.mean, abs=1e-4)
    assert then.shock_mean == pytest.approx(features.shock_mean, abs=0.005)


def test_the_mean_of_a_long_stay_is_not_lost_in_rounding() -> None:
    found = states(MODEL, made_up_stays(3, 700, n=1))
    assert told(MODEL, found[-1]).mean == pytest.approx(found[-1 - PAST_HOURS]["mean"], abs=1e-3)
    assert np.abs(found[-1]["past"]["c"] - found[-1 - PAST_HOURS]["c"]).max() < 0.05


def test_a_young_stay_has_no_past() -> None:
    found = states(MODEL, made_up_stays(4, PAST_HOURS))
    for state in found:
        assert state["past"].tobytes() == MODEL.initial(N)["past"].tobytes()
        then = told(MODEL, state)
        assert not then.started.any()
        assert not then.count.any()


def test_late_measurements_leave_a_past_within_bounds() -> None:
    found = states(MODEL, made_up_stays(5, 80, late=0.3))
    for state in found:
        then = told(MODEL, state)
        assert np.isfinite(then.mean).all()
        assert np.abs(then.mean).max() <= 6
        assert (then.count >= 0).all()
        assert np.isfinite(state["past"]["c"].astype(np.float64)).all()


def test_a_late_measurement_within_the_span_is_of_its_own_hour() -> None:
    inputs = made_up_stays(6, 12)
    inputs[11].late_values[0, 2] = 39.5
    inputs[11].late_steps[0, 2] = 9
    for step in range(9, 12):
        inputs[step].values[0, 2] = np.nan
    state = states(MODEL, inputs)[-1]
    hours = past.hours_since(FeatureState.read(state), inputs[-1], PAST_HOURS - 1, 0)
    assert [float(hour.values[0, 2]) for hour in hours if not np.isnan(hour.values[0, 2])][-1] == 39.5
    assert hours[3].values[0, 2] == 39.5


def test_without_keeping_the_past_all_else_is_the_same() -> None:
    inputs = made_up_stays(7, 20)
    state = states(MODEL, inputs)[-1]
    step = made_up_input(np.random.default_rng(8), N, 20)
    kept, logit = MODEL.advance(state, step)
    thrown_away, same = MODEL.advance(state, step, keep_past=False)
    assert np.array_equal(logit, same)
    assert np.array_equal(thrown_away["past"], state["past"])
    assert not np.array_equal(kept["past"], state["past"])
    for name in set(MODEL.state_dtype.names or ()) - {"past"}:
        assert kept[name].tobytes() == thrown_away[name].tobytes(), name


def test_the_past_does_not_depend_on_the_batch() -> None:
    inputs = made_up_stays(9, 30, n=40, late=0.2)
    whole = states(MODEL, inputs)[-1]
    rows = np.array([3, 39])
    assert states(MODEL, [rows_of(step, rows) for step in inputs])[-1].tobytes() == whole[rows].tobytes()


def test_hundredths_and_back() -> None:
    whole = np.array([[-(2**15), 3690, 0, 30000]], dtype=np.int16)
    values = of_hundredths(whole)
    assert np.isnan(values[0, 0])
    assert values[0, 1:].tolist() == [np.float32(36.9), 0, 300]
