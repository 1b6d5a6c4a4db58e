"""Doubt: its reasons, the score by a second writing, the conformal promise, and corrupted stays found."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifact import load_model, shipped_models, untrained_model
from models.doubt import NO_SIGN, NONE, REASONS, TERMS, TOO_FEW, TOO_OLD, UNLIKE, Measures, Strangeness, problem_of
from models.doubt_fit import ALPHA, conformal_limit, fit_doubt, hours_of, stay_scores, tail_of
from models.health import healthy_cohort
from models.manifest import Doubt, Tail
from models.scoring import score_cohort
from models.stay_model import StayModel, StepInput, masked
from models.vital_signs import NAMES
from tests.models.stays import made_up_cohort, made_up_input

BEDSIDE = load_model("bedside")
NORMAL = {
    **{"heart_rate": 78.0, "respiratory_rate": 16.0, "temperature": 36.9, "oxygen_saturation": 97.0},
    **{"systolic_bp": 122.0, "diastolic_bp": 64.0, "mean_arterial_pressure": 83.0},
}
FIRST_AND_LAST = ("heart_rate", "temperature", "respiratory_rate")  # what every deployment has


def fitted(model: StayModel) -> Doubt:
    assert model.manifest.doubt is not None
    return model.manifest.doubt


def hour(step: int, age: float = 70, **known: float) -> StepInput:
    values = np.array([[known.get(name, np.nan) for name in NAMES]], dtype=np.float32)
    return StepInput(
        step=np.array([step], dtype=np.int32),
        values=values,
        late_values=np.full_like(values, np.nan),
        late_steps=np.zeros(values.shape, dtype=np.int32),
        age_years=np.array([age], dtype=np.float32),
        sex=np.array([1], dtype=np.float32),
        hospital_hours=np.array([np.nan], dtype=np.float32),
        unit_type=np.zeros(1, dtype=np.int8),
    )


def lived(model: StayModel, hours: list[StepInput]) -> NDArray[np.void]:
    state = model.initial(len(hours[0].step))
    for inputs in hours:
        state, _ = model.advance(state, inputs)
    return state


def doubt_after(hours: list[StepInput], model: StayModel = BEDSIDE) -> tuple[str, str | None]:
    found = model.doubt(lived(model, hours), hours[-1].step, hours[-1].age_years)
    return REASONS[found.reason[0]], None if found.sign[0] == NO_SIGN else NAMES[found.sign[0]]


def noisy(rng: np.random.Generator, step: int, age: float = 70, **other: float) -> StepInput:
    """Return an hour of an ordinary patient, with some vital signs otherwise."""
    spread = dict(zip(NAMES, (4, 2, 0.2, 1, 7, 4, 5), strict=True))
    known = {name: round(value + float(rng.normal(0, spread[name])), 1) for name, value in NORMAL.items()}
    return hour(step, age, **(known | other))


# -- reasons


def test_what_there_is_too_little_of_is_asked_for() -> None:
    usual = fitted(BEDSIDE).settling
    assert set(usual[:3]) == set(FIRST_AND_LAST)
    assert doubt_after([hour(0)]) == ("too_few", usual[0])
    first, second = usual[:2]
    assert doubt_after([hour(0, **{first: NORMAL[first]})]) == ("too_few", second)
    assert doubt_after([hour(0, **{first: NORMAL[first], second: NORMAL[second]})]) == ("none", None)


def test_old_values_are_asked_for_again_and_only_those_the_ward_has() -> None:
    pair = {"diastolic_bp": 64.0, "systolic_bp": 122.0}
    silence = [hour(0, **pair), *(hour(step) for step in range(1, 10))]
    assert doubt_after(silence[:9]) == ("none", None)
    assert doubt_after(silence) == ("too_old", "systolic_bp")
    assert doubt_after([*silence[:-1], hour(9, systolic_bp=122.0)]) == ("too_old", "diastolic_bp")


def test_an_artefact_without_a_doubt_layer_calls_nothing_unlike() -> None:
    plain = StayModel(msgspec.structs.replace(BEDSIDE.manifest, doubt=None), "", BEDSIDE.weights)
    child = [noisy(np.random.default_rng(0), step, age=4) for step in range(3)]
    assert doubt_after(child, plain) == ("none", None)
    assert doubt_after([hour(0)], plain)[0] == "too_few"
    assert len(plain.strangeness(plain.initial(2), np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.float32))) == 0


# -- corrupted stays


def test_an_ordinary_patient_and_the_healthy_are_like_what_was_learned_from() -> None:
    rng = np.random.default_rng(1)
    assert doubt_after([noisy(rng, step) for step in range(40)]) == ("none", None)
    found = score_cohort(BEDSIDE, healthy_cohort(0)).doubt
    assert not (found.reason == UNLIKE).any()


def test_a_monitor_that_stands_still_is_unlike() -> None:
    rng = np.random.default_rng(2)
    still = [noisy(rng, step) for step in range(6)] + [hour(step, **NORMAL) for step in range(6, 18)]
    reason, sign = doubt_after(still)
    assert reason == "unlike"
    assert sign in NAMES


def test_a_child_is_unlike_and_no_measurement_settles_it() -> None:
    rng = np.random.default_rng(3)
    assert doubt_after([noisy(rng, step, age=5) for step in range(3)]) == ("unlike", None)
    assert doubt_after([noisy(rng, step, age=math.nan) for step in range(3)]) == ("none", None)


@pytest.mark.parametrize(
    ("wrong", "settled_by"),
    [
        ({"mean_arterial_pressure": 118.0}, "mean_arterial_pressure"),  # cmH2O for mmHg
        ({"heart_rate": 97.0, "oxygen_saturation": 66.0}, "oxygen_saturation"),  # plugs swapped
        ({"respiratory_rate": 37.0, "temperature": 27.0}, "temperature"),
    ],
)
def test_corrupted_values_are_unlike_and_the_wrong_sign_is_named(wrong: dict[str, float], settled_by: str) -> None:
    rng = np.random.default_rng(4)
    before = [noisy(rng, step) for step in range(12)]
    corrupted = [noisy(rng, step, **wrong) for step in range(12, 24)]
    assert doubt_after(before + corrupted) == ("unlike", settled_by)
    # Measured again, rightly, it fades.
    assert doubt_after(before + corrupted + [noisy(rng, step) for step in range(24, 36)]) == ("none", None)


def test_one_artefact_is_nothing_strange() -> None:
    rng = np.random.default_rng(5)
    wild = hour(12, **(NORMAL | {"heart_rate": 250.0, "oxygen_saturation": 40.0}))
    assert doubt_after([*(noisy(rng, step) for step in range(12)), wild]) == ("none", None)


# -- the score


def plain_score(model: StayModel, hours: list[StepInput]) -> float:
    """Return the strangeness after the hours of one stay, written from its definition in plain Python."""
    doubt, now = fitted(model), int(hours[-1].step[0])

    def z(sign: int, value: float) -> float:
        away = (value - float(model.scaling.mean[sign])) / float(model.scaling.deviation[sign])
        return min(max(away, -6.0), 6.0)

    medians: dict[int, float] = {}
    terms: dict[str, float] = {"age": float(hours[-1].age_years[0])}
    for sign, name in enumerate(NAMES):
        known = {int(each.step[0]): round(float(each.values[0, sign]), 2) for each in hours}
        known = {step: value for step, value in known.items() if not math.isnan(value)}
        if not known or now - max(known) > model.manifest.assessable.within_hours:
            continue
        recent = [value for step, value in known.items() if now - step < 12]
        short = [value for step, value in known.items() if now - step < 5]
        if len(recent) >= 4:
            medians[sign] = statistics.median(recent)
        if len(short) >= 3:
            terms[f"{name}_median_5h"] = z(sign, statistics.median(short))
        latest = recent[::-1]
        same = [value == latest[0] for value in latest]
        terms[f"{name}_unchanged"] = same.index(False) if False in same else len(same)
    systolic, diastolic, mid = (medians.get(sign, math.nan) for sign in (4, 5, 6))
    terms["pressure_agreement_12h"] = mid - (systolic + 2 * diastolic) / 3
    terms["pulse_pressure_12h"] = systolic - diastolic
    signs = sorted(medians)
    away = np.array([z(sign, medians[sign]) - doubt.centre[sign] for sign in signs])
    covariance = np.array(doubt.covariance)[np.ix_(signs, signs)]
    distance = float(away @ np.linalg.solve(covariance, away)) if signs else 0.0
    return distance / 2 + sum(plain_excess(doubt.tails[name], value) for name, value in terms.items())


def plain_excess(tail: Tail, value: float) -> float:
    if math.isnan(value) or not tail.values:
        return 0.0
    points = list(zip(tail.values, tail.excess, strict=True))
    if len(points) == 1:
        return points[0][1]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    if value < points[0][0]:
        return max(points[0][1] + min(slopes[0], 0.0) * (value - points[0][0]), 0.0)
    if value >= points[-1][0]:
        return max(points[-1][1] + max(slopes[-1], 0.0) * (value - points[-1][0]), 0.0)
    piece = max(i for i, point in enumerate(points) if point[0] <= value)
    return max(points[piece][1] + slopes[piece] * (value - points[piece][0]), 0.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_score_is_that_of_a_plain_second_writing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hours = [made_up_input(rng, 1, step, late=0.0) for step in range(int(rng.integers(1, 26)))]
    if seed % 2:
        stuck = hours[-1].values.copy()
        hours = [replace(each, values=stuck) if step > 8 else each for step, each in enumerate(hours)]
    hours = [replace(each, age_years=hours[0].age_years) for each in hours]
    found = BEDSIDE.strangeness(lived(BEDSIDE, hours), hours[-1].step, hours[-1].age_years)[0]
    assert found == pytest.approx(plain_score(BEDSIDE, hours), rel=1e-3, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 200), steps=st.integers(1, 16))
def test_a_doubt_does_not_depend_on_the_batch(seed: int, size: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    hours = [made_up_input(rng, 200, step) for step in range(steps)]
    state, step, age = lived(BEDSIDE, hours), hours[-1].step, hours[-1].age_years
    whole, score = BEDSIDE.doubt(state, step, age), BEDSIDE.strangeness(state, step, age)
    rows = rng.permutation(200)[:size]
    part = BEDSIDE.doubt(state[rows], step[rows], age[rows])
    assert part.reason.tobytes() == whole.reason[rows].tobytes()
    assert part.sign.tobytes() == whole.sign[rows].tobytes()
    assert BEDSIDE.strangeness(state[rows], step[rows], age[rows]).tobytes() == score[rows].tobytes()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), seen=st.frozensets(st.sampled_from(NAMES)), age=st.booleans())
def test_hiding_a_vital_sign_makes_no_stay_stranger(seed: int, seen: frozenset[str], age: bool) -> None:
    rng = np.random.default_rng(seed)
    hours = [made_up_input(rng, 30, step, late=0.0) for step in range(14)]
    hidden = [masked(each, seen, frozenset({"age"} if age else ())) for each in hours]
    whole, part = (
        BEDSIDE.strangeness(lived(BEDSIDE, each), each[-1].step, each[-1].age_years) for each in (hours, hidden)
    )
    assert (part <= whole + 1e-6).all()


# -- the promise


def test_the_limit_is_the_rank_that_the_promise_needs() -> None:
    scores = np.arange(1.0, 100.0)  # 99
    assert conformal_limit(scores, 0.02) == 98  # the 98th of 99: a hundredth stay exceeds it twice in a hundred
    assert conformal_limit(scores[:49], 0.02) == 49
    assert conformal_limit(scores[:48], 0.02) is None
    assert conformal_limit(scores[:0], 0.02) is None


def test_exchangeable_stays_keep_the_promise() -> None:
    rng = np.random.default_rng(0)
    broken = []
    for _ in range(400):
        scores = rng.standard_t(3, 250)  # 150 to calibrate, 100 new
        limit = conformal_limit(scores[:150], 0.05)
        assert limit is not None
        broken.append((scores[150:] > limit).mean())
    assert np.mean(broken) == pytest.approx(0.05, abs=0.006)  # ties apart, exactly alpha at the most


def test_fitted_on_made_up_stays_new_ones_of_the_kind_are_rarely_unlike() -> None:
    model = untrained_model(3, hidden=8)
    doubt = fit_doubt(model, made_up_cohort(1, 300), made_up_cohort(2, 600))
    assert problem_of(doubt) is None
    assert doubt.alpha == ALPHA
    assert doubt.limit is not None
    limits = [doubt.calibration[name] or 0.0 for name in ("limit_of_all", "limit_of_septic")]
    assert doubt.limit == pytest.approx(max(limits), abs=1e-6)
    fresh = made_up_cohort(3, 600)
    scores = stay_scores(doubt, hours_of(model, fresh), fresh)
    assert (scores > doubt.limit).mean() <= 0.04
    assert (scores[fresh.septic] > doubt.limit).mean() <= 0.05


@pytest.mark.parametrize("common", [2.34567, 2.34561, -1.00006])
def test_a_value_that_many_have_is_no_surprise_however_it_is_rounded(common: float) -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(20_000) < 0.3, common, rng.uniform(-0.5, 0.5, 20_000))
    tail = tail_of(values, one_sided=False)
    assert plain_excess(tail, common) == 0
    rare = np.concatenate([values, np.full(10, 9.0)])
    assert plain_excess(tail_of(rare, one_sided=False), 9.0) == pytest.approx(math.log(2_001 / 2) - 5, abs=1e-3)


def test_too_few_calibration_stays_promise_nothing_and_call_nothing_unlike() -> None:
    model = untrained_model(3, hidden=8)
    doubt = fit_doubt(model, made_up_cohort(1, 40), made_up_cohort(2, 60))  # 20 of them septic
    assert doubt.limit is None
    assert problem_of(doubt) is None
    silent = StayModel(msgspec.structs.replace(model.manifest, doubt=doubt), "", model.weights)
    assert not (score_cohort(silent, made_up_cohort(3, 40)).doubt.reason == UNLIKE).any()


def test_fitting_survives_signs_that_nobody_measures() -> None:
    cohort = made_up_cohort(1, 60)
    values = cohort.values.copy()
    values[:, 3:] = np.nan
    few = replace(cohort, values=values, age_years=np.full_like(cohort.age_years, np.nan))
    doubt = fit_doubt(untrained_model(3, hidden=8), few, few)
    assert problem_of(doubt) is None
    assert doubt.tails["age"] == doubt.tails["pulse_pressure_12h"] == Tail((), ())
    score, sign = Strangeness(doubt).of(
        Measures(np.full((1, 7), np.nan, dtype=np.float32), np.full((1, len(TERMS)), np.nan, dtype=np.float32))
    )
    assert (score[0], sign.shape) == (0.0, (1,))


@pytest.mark.parametrize("name", shipped_models())
def test_the_shipped_layers_promise_the_same_and_offline_is_the_stream(name: str) -> None:
    model = load_model(name)
    doubt = fitted(model)
    assert doubt.alpha == ALPHA
    assert doubt.limit is not None
    cohort = made_up_cohort(4, 12)
    scored = score_cohort(model, cohort)
    assert np.array_equal(scored.assessable, scored.doubt.reason == NONE)
    assert set(scored.doubt.reason.tolist()) & {TOO_FEW, TOO_OLD}
    assert ((scored.doubt.sign == NO_SIGN) | (scored.doubt.reason != NONE)).all()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"limit": 0.0}, "limit"),
        ({"limit": math.nan}, "limit"),
        ({"centre": (0.0,) * 6}, "7 vital signs"),
        ({"centre": (math.inf,) * 7}, "not numbers"),
        ({"covariance": ((1.0,) * 7,) * 7}, "positive definite"),
        ({"covariance": ((1.0,) * 6,) * 7}, "7 vital signs"),
        ({"tails": {}}, "tails"),
        ({"settling": NAMES[:6]}, "settle"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(change: dict[str, object], problem: str) -> None:
    assert problem in (problem_of(msgspec.structs.replace(fitted(BEDSIDE), **change)) or "")


@pytest.mark.parametrize(
    ("tail", "problem"),
    [(Tail((1.0, 1.0), (0.0, 1.0)), "rise"), (Tail((1.0,), ()), "length"), (Tail((math.nan,), (0.0,)), "not numbers")],
)
def test_tails_that_cannot_be_used_are_named(tail: Tail, problem: str) -> None:
    doubt = fitted(BEDSIDE)
    assert problem in (problem_of(msgspec.structs.replace(doubt, tails=doubt.tails | {"age": tail})) or "")
