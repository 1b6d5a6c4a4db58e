"""Reasons on hand-made stays, and what they add up to on real ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifact import load_model, untrained_model
from models.cohort import read_cohort
from models.features import FeatureState
from models.reasons import HOURS, Explanation, SignReason
from models.reasons import explain as explain_all
from models.stay_model import StayModel, StepInput
from models.summary import summary
from models.timeline import Timeline
from models.vital_signs import DIASTOLIC_BP, HEART_RATE, NAMES, SYSTOLIC_BP, TEMPERATURE
from tests.models.stays import made_up_input, rows_of

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"
HEALTHY = np.array([80, 16, 36.8, 97, 120, 65, 83])
NOISE = np.array([4, 1.5, 0.15, 0.8, 5, 4, 4])
Moment = tuple[NDArray[np.void], StepInput]  # the state of one stay and its open step


def hour(step: int, values: NDArray[np.floating]) -> StepInput:
    return StepInput(
        step=np.array([step], dtype=np.int32),
        values=np.round(values, 2).astype(np.float32)[None],
        late_values=np.full((1, len(NAMES)), np.nan, dtype=np.float32),
        late_steps=np.zeros((1, len(NAMES)), dtype=np.int32),
        age_years=np.array([70], dtype=np.float32),
        sex=np.array([1], dtype=np.float32),
        hospital_hours=np.array([20], dtype=np.float32),
        unit_type=np.array([1], dtype=np.int8),
    )


def hand_made(rise: dict[str, float], hours: int = 30, rising: int = 6, noise: float = 1.0) -> list[StepInput]:
    """Return a healthy stay in whose last hours some vital signs rise, or fall, by so much; the others do not."""
    rng = np.random.default_rng(1)
    rises = np.array([rise.get(name, 0.0) for name in NAMES])
    share = np.clip(np.arange(1 - hours, 1) + rising, 0, rising) / rising
    return [hour(step, HEALTHY + rng.normal(0, noise, 7) * NOISE + rises * part) for step, part in enumerate(share)]


def lived(model: StayModel, steps: list[StepInput]) -> Moment:
    state = model.initial(1)
    for step in steps[:-1]:
        state, _ = model.advance(state, step)
    return state, steps[-1]


def explain(model: StayModel, state: NDArray[np.void], inputs: StepInput) -> Explanation:
    (found,) = explain_all(model, state, inputs)
    return found


def log_odds(risk: float) -> float:
    return float(np.log(risk / (1 - risk)))


def risk_of(model: StayModel, moment: Moment) -> float:
    return float(model.risk(model.advance(*moment)[1])[0])


def leader(found: Explanation) -> SignReason:
    return max(found.signs, key=lambda sign: abs(sign.contribution))


@pytest.mark.parametrize("hours", [30, 4], ids=["a day", "hours"])
@pytest.mark.parametrize(
    ("name", "rise"),
    [
        ("temperature", 2.2),
        ("temperature", -1.6),
        ("heart_rate", 50),
        ("respiratory_rate", 16),
        ("oxygen_saturation", -9),
        ("systolic_bp", -45),
    ],
)
def test_the_only_sign_that_changes_leads_the_reasons(name: str, rise: float, hours: int) -> None:
    model = load_model("bedside")
    found = explain(model, *lived(model, hand_made({name: rise}, hours, rising=min(hours - 1, 6), noise=0.2)))
    assert found.sound
    first = leader(found)
    assert NAMES[first.sign] == name
    assert first.contribution > 0
    others = [abs(sign.contribution) for sign in found.signs if sign.sign != first.sign]
    assert first.contribution > 2 * max(others)
    assert first.change == pytest.approx(rise, rel=0.35)
    assert first.hours == min(hours - 1, 6)
    assert summary(found.signs).startswith(f"{name.split('_', maxsplit=1)[0]}")


def test_a_fever_that_falls_and_one_that_rises_push_against_each_other() -> None:
    model = load_model("bedside")
    up = explain(model, *lived(model, hand_made({"temperature": 2})))
    fever = np.where(np.arange(len(NAMES)) == TEMPERATURE, 2, 0).astype(np.float32)
    steps = hand_made({})
    cooled = [*(replace(step, values=step.values + fever) for step in steps[:-4]), *steps[-4:]]
    down = explain(model, *lived(model, cooled))
    assert leader(up).contribution > 0 > leader(down).contribution
    assert leader(up).sign == leader(down).sign == TEMPERATURE
    assert leader(down).now < leader(down).reference


def test_a_fever_on_the_eighth_day_is_held_against_the_week_before() -> None:
    model = load_model("bedside")
    first = leader(explain(model, *lived(model, hand_made({"temperature": 2.2}, hours=180))))
    assert (first.sign, first.own) == (TEMPERATURE, True)
    assert first.reference == pytest.approx(HEALTHY[TEMPERATURE], abs=0.1)


def test_nothing_that_changes_gives_no_reason() -> None:
    model = load_model("bedside")
    found = explain(model, *lived(model, hand_made({}, noise=0)))
    assert max(abs(sign.contribution) for sign in found.signs) < 1e-3
    assert found.baseline_risk == pytest.approx(risk_of(model, lived(model, hand_made({}, noise=0))), abs=2e-6)


def own_means(steps: list[StepInput], model: StayModel) -> NDArray[np.float32]:
    earlier = np.concatenate([step.values for step in steps[:-HOURS]])
    known = ~np.isnan(earlier).all(axis=0)
    means = np.where(known, np.nansum(earlier, axis=0) / np.maximum((~np.isnan(earlier)).sum(axis=0), 1), 0)
    return np.where(known, means, model.scaling.mean).round(2).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_the_baseline_is_the_risk_had_these_hours_shown_the_patients_own_means(seed: int) -> None:
    """The oracle is the model itself on a stay whose last hours are replaced."""
    model = load_model("bedside")
    rng = np.random.default_rng(seed)
    steps = hand_made({"temperature": 1.5, "heart_rate": 30}, hours=int(rng.integers(9, 60)))
    for step in steps:
        step.values[rng.random(step.values.shape) < 0.4] = np.nan
    means = own_means(steps, model)
    replaced = [replace(step, values=np.where(np.isnan(step.values), step.values, means)) for step in steps[-HOURS:]]
    found = explain(model, *lived(model, steps))
    expected = risk_of(model, lived(model, [*steps[:-HOURS], *replaced]))
    assert log_odds(found.baseline_risk) == pytest.approx(log_odds(expected), abs=0.01)
    for sign in found.signs:
        assert sign.reference == pytest.approx(float(means[sign.sign]), abs=0.02)
        assert sign.own


@lru_cache(maxsize=1)
def real_moments() -> tuple[StayModel, list[Moment]]:
    """Return moments of real stays: each its own."""
    model, cohort = load_model("bedside"), read_cohort(DEMO)
    rng = np.random.default_rng(0)
    moments: list[Moment] = []
    for hours in Timeline(cohort).blocks(200):
        state = model.initial(200)
        for step in hours:
            state = state[: len(step.rows)]
            after, _ = model.advance(state, step.inputs)
            for row in np.flatnonzero(model.started(after) & (rng.random(len(state)) < 0.1)):
                moments.append((state[row : row + 1], rows_of(step.inputs, np.array([row]))))
            state = after
    return model, moments


@settings(max_examples=80, deadline=None)
@given(st.randoms(use_true_random=False))
def test_reasons_of_real_stays_add_up(random: object) -> None:
    model, moments = real_moments()
    choose: Callable[[list[Moment]], Moment] = random.choice  # type: ignore[attr-defined]
    moment = choose(moments)
    found = explain(model, *moment)
    assert found.sound
    assert abs(found.delta) < 1e-3
    assert abs(found.gap) < 0.01
    assert abs(found.rest) < 1e-5
    moved = log_odds(risk_of(model, moment)) - log_odds(found.baseline_risk)
    assert sum(sign.contribution for sign in found.signs) == pytest.approx(moved, abs=0.01)


def test_reasons_do_not_depend_on_the_batch() -> None:
    model = untrained_model(seed=3)
    rng = np.random.default_rng(2)
    first = made_up_input(rng, 30, 0)
    details = {name: getattr(first, name) for name in ("age_years", "sex", "hospital_hours", "unit_type")}
    steps = [replace(made_up_input(rng, 30, step), **details) for step in range(20)]
    whole = model.initial(30)
    for step in steps[:-1]:
        whole, _ = model.advance(whole, step)
    together = explain_all(model, whole, steps[-1])
    for row in (0, 17, 29):
        alone = lived(model, [rows_of(step, np.array([row])) for step in steps])
        assert explain(model, *alone) == explain(model, whole[row : row + 1], alone[1]) == together[row]
    assert explain_all(model, whole[:0], rows_of(steps[-1], np.arange(0))) == []


def test_pressures_and_pulse_share_what_they_make_together() -> None:
    """The shock index and the pulse pressure: of a sign that is at its mean, nothing; and one that moves has it all."""
    model = load_model("bedside")
    for name, sign in (("heart_rate", HEART_RATE), ("systolic_bp", SYSTOLIC_BP), ("diastolic_bp", DIASTOLIC_BP)):
        steps = hand_made({name: -30 if "bp" in name else 30}, noise=0)
        found = explain(model, *lived(model, steps))
        for each in found.signs:
            assert (abs(each.contribution) > 0.01) == (each.sign == sign)


def test_a_sign_that_was_never_measured_before_is_held_against_the_training_mean() -> None:
    model = load_model("bedside")
    steps = hand_made({}, hours=20)
    for step in steps[:-1]:
        step.values[0, TEMPERATURE] = np.nan
    steps[-1].values[0, TEMPERATURE] = 39.4
    found = explain(model, *lived(model, steps))
    first = leader(found)
    assert (first.sign, first.own, first.change, first.hours) == (TEMPERATURE, False, None, None)
    assert first.reference == pytest.approx(float(model.scaling.mean[TEMPERATURE]), abs=0.01)
    assert first.contribution > 0.5


def test_a_trend_starts_before_these_hours_where_they_hold_one_value() -> None:
    model = load_model("bedside")
    steps = hand_made({}, hours=20, noise=0)
    for step in steps[10:-1]:
        step.values[0, TEMPERATURE] = np.nan
    steps[-1].values[0, TEMPERATURE] = 38.9
    first = leader(explain(model, *lived(model, steps)))
    assert (first.sign, first.hours) == (TEMPERATURE, 10)
    assert first.change == pytest.approx(2.1, abs=0.01)


def test_the_first_hour_of_a_stay_has_reasons() -> None:
    model = load_model("bedside")
    values = HEALTHY.copy()
    values[TEMPERATURE] = 39.6
    found = explain(model, model.initial(1), hour(0, values))
    assert found.sound
    assert leader(found).sign == TEMPERATURE
    assert [by != 0 for by in leader(found).by_hour] == [False] * (HOURS - 1) + [True]
    one = explain(model, model.initial(1), hour(5, np.where(np.arange(7) == TEMPERATURE, 39.6, np.nan)))
    assert [sign.sign for sign in one.signs] == [TEMPERATURE]


def test_a_stay_of_which_nothing_was_measured_has_no_reasons() -> None:
    model = load_model("bedside")
    assert explain(model, model.initial(1), hour(3, np.full(len(NAMES), np.nan))).signs == ()


def test_a_late_value_has_its_share() -> None:
    model = load_model("bedside")
    steps = hand_made({}, hours=20)
    for step in steps[-5:]:
        step.values[0, TEMPERATURE] = np.nan
    steps[-1].late_values[0, TEMPERATURE] = 39.5
    steps[-1].late_steps[0, TEMPERATURE] = 17
    found = explain(model, *lived(model, steps))
    assert found.sound
    first = leader(found)
    assert (first.sign, first.now, first.hours) == (TEMPERATURE, 39.5, 17 - 13)
    assert first.contribution > 0.5


def test_late_values_of_hours_long_closed_leave_reasons_sound() -> None:
    model = load_model("bedside")
    rng = np.random.default_rng(4)
    steps = hand_made({"temperature": 2}, hours=40)
    for step in steps[10:]:
        step.late_values[0, rng.integers(0, 7)] = 90.0 if rng.random() < 0.5 else np.nan
        step.late_values[0, TEMPERATURE] = np.nan
        step.late_steps[...] = int(step.step[0]) - int(rng.integers(1, 4))
        step.values[rng.random(step.values.shape) < 0.5] = np.nan
    moment = lived(model, steps)
    found = explain(model, *moment)
    moved = log_odds(risk_of(model, moment)) - log_odds(found.baseline_risk)
    parts = sum(sign.contribution for sign in found.signs) + found.rest
    assert parts - found.delta - found.gap == pytest.approx(moved, abs=1e-3)


def test_the_clock_gives_no_reasons() -> None:
    model = load_model("challenge")
    moment = lived(model, hand_made({"temperature": 2}))
    found = explain(model, *moment)
    moved = log_odds(risk_of(model, moment)) - log_odds(found.baseline_risk)
    assert sum(sign.contribution for sign in found.signs) == pytest.approx(moved, abs=0.01)
    assert abs(found.rest) < 1e-6


@pytest.mark.parametrize(
    ("delta", "gap", "sound"), [(0.0, 0.0, True), (0.02, 0.0, False), (0.0, -0.2, False), (-0.009, 0.09, True)]
)
def test_what_does_not_add_up_is_not_sound(delta: float, gap: float, sound: bool) -> None:
    assert Explanation((), 0.1, 0.0, delta, gap).sound == sound


def test_nothing_is_changed_and_the_time_is_short() -> None:
    model, moments = real_moments()
    state, inputs = moments[-1]
    before = state.tobytes(), [getattr(inputs, name).tobytes() for name in StepInput.__dataclass_fields__]
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        explain(model, state, inputs)
        seconds.append(time.perf_counter() - began)
    assert before == (state.tobytes(), [getattr(inputs, name).tobytes() for name in StepInput.__dataclass_fields__])
    assert min(seconds) < 0.05
    assert FeatureState.read(state).started.all()
