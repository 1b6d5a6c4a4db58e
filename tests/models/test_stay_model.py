"""The model of a stay: independent of its batch to the last bit, causal, and right about late and missing values."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifact import load_model, untrained_model
from models.stay_model import StayModel, StepInput, masked
from models.vital_signs import HEART_RATE, NAMES, TEMPERATURE
from tests.models.stays import made_up_input, rows_of

MODEL = untrained_model(seed=3)
CLOCKED = untrained_model(seed=4, clock=True)


@pytest.fixture(params=["untrained", "clocked", "bedside"])
def model(request: pytest.FixtureRequest) -> StayModel:
    if request.param == "clocked":
        return CLOCKED
    return MODEL if request.param == "untrained" else load_model("bedside")


def run(model: StayModel, inputs: list[StepInput]) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    state = model.initial(len(inputs[0].step))
    logits = []
    for step in inputs:
        state, logit = model.advance(state, step)
        logits.append(logit)
    return state, np.stack(logits)


def nothing(n: int, step: int) -> StepInput:
    rng = np.random.default_rng(0)
    inputs = made_up_input(rng, n, step)
    return replace(
        inputs, values=np.full_like(inputs.values, np.nan), late_values=np.full_like(inputs.late_values, np.nan)
    )


def measured(step: int, **known: float) -> StepInput:
    inputs = nothing(1, step)
    for name, value in known.items():
        inputs.values[0, NAMES.index(name)] = value
    return inputs


def late(step: int, name: str, value: float, at: int) -> StepInput:
    inputs = nothing(1, step)
    inputs.late_values[0, NAMES.index(name)] = value
    inputs.late_steps[0, NAMES.index(name)] = at
    return inputs


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 300), steps=st.integers(1, 4), data=st.data())
def test_a_result_does_not_depend_on_the_batch(seed: int, size: int, steps: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    inputs = [made_up_input(rng, 300, step) for step in range(steps)]
    whole_state, whole_logits = run(MODEL, inputs)
    start = data.draw(st.integers(0, 300 - size))
    rows = rng.permutation(300)[start : start + size]
    state, logits = run(MODEL, [rows_of(step, rows) for step in inputs])
    assert logits.tobytes() == np.ascontiguousarray(whole_logits[:, rows]).tobytes()
    assert state.tobytes() == whole_state[rows].tobytes()


def test_a_look_says_what_the_step_would_come_to(model: StayModel) -> None:
    rng = np.random.default_rng(8)
    state, _ = run(model, [made_up_input(rng, 700, step) for step in range(3)])
    before, index = state.tobytes(), rng.integers(0, 700, 1_100)  # some of them several times
    inputs = made_up_input(rng, 1_100, 3)
    logit, doubt = model.look(state, index, inputs)
    after, expected = model.advance(state[index], inputs)
    said = model.doubt(after, inputs.step, inputs.age_years)
    assert logit.tobytes() == expected.tobytes()
    assert (doubt.reason.tobytes(), doubt.sign.tobytes()) == (said.reason.tobytes(), said.sign.tobytes())
    assert state.tobytes() == before


def test_only_a_model_with_the_clock_sees_it() -> None:
    early, late_on = measured(2, heart_rate=80.0), measured(50, heart_rate=80.0)
    assert run(MODEL, [early])[1] == run(MODEL, [late_on])[1]
    assert run(CLOCKED, [early])[1] != run(CLOCKED, [late_on])[1]


def test_the_hours_odds_are_added_and_the_last_ones_go_on() -> None:
    without = replace_odds(CLOCKED, (0.0, 0.0, 0.0))
    for step, odds in ((0, -5.0), (1, -4.5), (2, -4.0), (900, -4.0)):
        inputs = [measured(step, heart_rate=80.0)]
        assert run(CLOCKED, inputs)[1] - run(without, inputs)[1] == pytest.approx(odds, abs=1e-12)


def replace_odds(model: StayModel, odds: tuple[float, ...]) -> StayModel:
    return StayModel(msgspec.structs.replace(model.manifest, hour_log_odds=odds), "", model.weights)


def test_the_shipped_model_does_not_depend_on_the_batch_either() -> None:
    bedside = load_model("bedside")
    rng = np.random.default_rng(5)
    inputs = [made_up_input(rng, 257, step) for step in range(30)]
    whole_state, whole_logits = run(bedside, inputs)
    for row in (0, 1, 100, 255, 256):
        alone = np.array([row])
        state, logits = run(bedside, [rows_of(step, alone) for step in inputs])
        assert logits.tobytes() == np.ascontiguousarray(whole_logits[:, alone]).tobytes()
        assert state.tobytes() == whole_state[alone].tobytes()


def test_the_state_is_small_and_its_bytes_are_defined(model: StayModel) -> None:
    assert model.state_dtype.itemsize <= 2048
    assert model.state_dtype.itemsize == sum(model.state_dtype[name].itemsize for name in model.state_dtype.names or ())
    for name in model.state_dtype.names or ():
        assert model.state_dtype[name].base.str[0] in "<|"


def test_advance_changes_none_of_its_arguments(model: StayModel) -> None:
    rng = np.random.default_rng(1)
    state, _ = run(model, [made_up_input(rng, 20, step) for step in range(5)])
    inputs = made_up_input(rng, 20, 5, late=0.5)
    before = state.tobytes(), [getattr(inputs, name).tobytes() for name in StepInput.__dataclass_fields__]
    model.advance(state, inputs)
    assert before == (state.tobytes(), [getattr(inputs, name).tobytes() for name in StepInput.__dataclass_fields__])


def test_advance_takes_read_only_arrays(model: StayModel) -> None:
    state = np.frombuffer(model.initial(3).tobytes(), dtype=model.state_dtype)
    inputs = made_up_input(np.random.default_rng(1), 3, 0)
    for name in StepInput.__dataclass_fields__:
        getattr(inputs, name).flags.writeable = False
    after, _ = model.advance(state, inputs)
    assert after.flags.writeable


def test_before_the_first_measurement_nothing_moves_but_a_risk_is_given(model: StayModel) -> None:
    state = model.initial(1)
    for step in range(5):
        after, logit = model.advance(state, nothing(1, step))
        assert after.tobytes() == state.tobytes()
        assert np.isfinite(logit).all()
    started, _ = model.advance(state, measured(5, heart_rate=90))
    assert started["started"].all()
    empty, _ = model.advance(started, nothing(1, 6))
    assert empty.tobytes() != started.tobytes()


def test_hours_before_the_first_measurement_leave_no_trace(model: StayModel) -> None:
    waited, _ = run(model, [nothing(1, step) for step in range(7)] + [measured(7, heart_rate=90)])
    at_once, _ = run(model, [measured(7, heart_rate=90)])
    assert waited.tobytes() == at_once.tobytes()


def test_a_long_silence_is_harmless(model: StayModel) -> None:
    silence = [nothing(1, step) for step in range(1, 400)]
    state, logit = run(model, [measured(0, heart_rate=90, temperature=38.0), *silence])
    assert np.isfinite(logit).all()
    for name in state.dtype.names or ():
        if name not in ("last_value", "past"):  # the one holds NaN for what was never measured
            assert np.isfinite(state[name]).all(), name
    for name in state["past"].dtype.names or ():
        assert np.isfinite(state["past"][name]).all(), name
    values, ages = model.last_known(state, np.array([399], dtype=np.int32))
    assert values[0, HEART_RATE] == 90
    assert ages[0, HEART_RATE] == 399
    back, logit = model.advance(state, measured(400, heart_rate=70))
    assert np.isfinite(logit).all()
    assert model.last_known(back, np.array([400], dtype=np.int32))[1][0, HEART_RATE] == 0


def test_a_late_value_that_is_newest_becomes_the_last_known_with_its_true_age(model: StayModel) -> None:
    start = [measured(0, heart_rate=90), nothing(1, 1), nothing(1, 2)]
    state, _ = run(model, [*start, late(3, "temperature", 38.5, at=1)])
    values, ages = model.last_known(state, np.array([3], dtype=np.int32))
    assert values[0, TEMPERATURE] == np.float32(38.5)
    assert ages[0, TEMPERATURE] == 2


@pytest.mark.parametrize("at", [0, 1])
def test_a_late_value_that_is_not_newer_changes_nothing(model: StayModel, at: int) -> None:
    start = [measured(0, heart_rate=90), nothing(1, 1), measured(2, temperature=37.5)]
    without, logit = run(model, [*start, nothing(1, 3)])
    with_late, late_logit = run(model, [*start, late(3, "temperature", 40.0, at=at)])
    assert with_late.tobytes() == without.tobytes()
    assert np.array_equal(late_logit, logit)


def test_a_late_value_of_the_last_known_one_s_step_replaces_it(model: StayModel) -> None:
    """Only the caller knows the minutes; it hands over none that is older."""
    start = [measured(0, heart_rate=90), nothing(1, 1), measured(2, temperature=37.5)]
    state, _ = run(model, [*start, late(3, "temperature", 39.0, at=2)])
    values, ages = model.last_known(state, np.array([3], dtype=np.int32))
    assert values[0, TEMPERATURE] == np.float32(39.0)
    assert ages[0, TEMPERATURE] == 1


def test_a_late_value_yields_to_the_step_s_own(model: StayModel) -> None:
    both = late(3, "temperature", 38.5, at=1)
    both.values[0, TEMPERATURE] = 36.6
    state, _ = run(model, [measured(0, heart_rate=90), nothing(1, 1), nothing(1, 2), both])
    values, ages = model.last_known(state, np.array([3], dtype=np.int32))
    assert values[0, TEMPERATURE] == np.float32(36.6)
    assert ages[0, TEMPERATURE] == 0
    assert state["change"][0, TEMPERATURE] < 0  # from 38.5, which came first


def test_a_late_value_starts_a_stay(model: StayModel) -> None:
    state, _ = run(model, [late(3, "temperature", 38.5, at=1)])
    assert state["started"].all()


def test_the_risk_is_a_probability_of_six_decimals_that_rises_with_the_logit(model: StayModel) -> None:
    risk = model.risk(np.linspace(-30, 30, 1001))
    assert ((risk >= 0) & (risk <= 1)).all()
    assert (np.diff(risk) >= 0).all()
    assert np.array_equal(risk, np.round(risk, 6))


@pytest.mark.parametrize(
    ("hours_ago", "known", "expected"),
    [(0, 2, True), (8, 2, True), (9, 2, False), (0, 1, False), (0, 0, False)],
)
def test_assessable_needs_enough_that_is_fresh(model: StayModel, hours_ago: int, known: int, expected: bool) -> None:
    rule = model.manifest.assessable
    assert (rule.vital_signs, rule.within_hours) == (2, 8)
    names = ("heart_rate", "temperature")[:known]
    steps = [measured(0, **dict.fromkeys(names, 38.0)), *(nothing(1, step) for step in range(1, hours_ago + 1))]
    state, _ = run(model, steps)
    age = np.array([70], dtype=np.float32)
    assert model.assessable(state, np.array([hours_ago], dtype=np.int32), age).tolist() == [expected]


def test_masked_inputs_are_those_of_a_ward_that_never_had_them(model: StayModel) -> None:
    rng = np.random.default_rng(2)
    inputs = made_up_input(rng, 10, 3)
    seen = masked(inputs, frozenset({"heart_rate"}), frozenset({"hospital_admitted", "unit_type", "age", "sex"}))
    assert np.isnan(seen.values[:, 1:]).all()
    assert np.isnan(seen.late_values[:, 1:]).all()
    assert np.array_equal(seen.values[:, 0], inputs.values[:, 0], equal_nan=True)
    assert np.isnan(seen.age_years).all()
    assert np.isnan(seen.sex).all()
    assert np.isnan(seen.hospital_hours).all()
    assert not seen.unit_type.any()
    unmasked = masked(inputs, None, frozenset())
    assert np.array_equal(unmasked.values, inputs.values, equal_nan=True)
    with pytest.raises(ValueError, match="pulse"):
        masked(inputs, frozenset({"pulse"}), frozenset())
    with pytest.raises(ValueError, match="weight"):
        masked(inputs, None, frozenset({"weight"}))


def test_every_hidden_detail_changes_the_risk(model: StayModel) -> None:
    inputs = replace(
        measured(0, heart_rate=100, temperature=38.0),
        age_years=np.array([80], dtype=np.float32),
        sex=np.array([1], dtype=np.float32),
        hospital_hours=np.array([50], dtype=np.float32),
        unit_type=np.array([2], dtype=np.int8),
    )
    _, logit = model.advance(model.initial(1), inputs)
    for hidden in ("hospital_admitted", "unit_type", "age", "sex"):
        _, other = model.advance(model.initial(1), masked(inputs, None, frozenset({hidden})))
        assert other[0] != logit[0], hidden
