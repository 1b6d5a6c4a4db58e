"""The running features against the same quantities computed from a stay's whole history, plainly."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from models.early_warning import news2_points
from models.features import FEATURE_NAMES, INPUT_BOUND, INPUT_GRID, FeatureState, Scaling, clock_features
from models.step_input import StepInput
from models.vital_signs import NAMES
from tests.models.stays import SPREAD, TYPICAL, made_up_input, rows_of

SCALING = Scaling(mean=TYPICAL.astype(np.float32), deviation=SPREAD.astype(np.float32))
N = 12
STEPS = 40

Measurement = tuple[int, float]  # step, value


def z_of(sign: int, value: float) -> float:
    return min(max((value - float(TYPICAL[sign])) / float(SPREAD[sign]), -INPUT_BOUND), INPUT_BOUND)


def weighted(measurements: list[Measurement], sign: int, now: int, hours: float) -> tuple[float, float]:
    weights = [math.exp(-(now - at) / hours) for at, _ in measurements]
    values = [z_of(sign, value) for _, value in measurements]
    mean = sum(w * z for w, z in zip(weights, values, strict=True)) / sum(weights)
    variance = sum(w * (z - mean) ** 2 for w, z in zip(weights, values, strict=True)) / sum(weights)
    return mean, math.sqrt(variance)


def sign_features(measurements: list[Measurement], sign: int, now: int, first: int) -> dict[str, float]:
    """Return what is expected of one vital sign at step `now`; `first` is the stay's first step with anything."""
    if not measurements:
        return {}
    values = [z_of(sign, value) for _, value in measurements]
    last_step = measurements[-1][0]
    mean_4, deviation_4 = weighted(measurements, sign, now, 4)
    mean_16, deviation_16 = weighted(measurements, sign, now, 16)
    window = [z for (at, _), z in zip(measurements, values, strict=True) if now - at < 12]
    recent = [(at - now, z) for (at, _), z in zip(measurements, values, strict=True) if now - at < 8]
    line = np.array(recent)
    slope = float(np.polyfit(line[:, 0], line[:, 1], 1)[0]) * 8 if len(recent) > 1 else 0.0
    measured = sum(math.exp(-(now - at) / 8) for at, _ in measurements)
    possible = sum(math.exp(-(now - at) / 8) for at in range(first, now + 1))
    return {
        "level": values[-1],
        "measured": float(last_step == now),
        "recency": 1 - math.log1p(min(now - last_step, 48)) / math.log1p(48),
        "change": min(max(values[-1] - values[-2], -INPUT_BOUND), INPUT_BOUND) if len(values) > 1 else 0.0,
        "mean_4h": mean_4,
        "mean_16h": mean_16,
        "deviation_4h": deviation_4,
        "deviation_16h": deviation_16,
        "mean_stay": sum(values) / len(values),
        "measured_8h": measured / possible,
        "lowest_12h": min(window, default=0.0),
        "highest_12h": max(window, default=0.0),
        "slope_8h": min(max(slope, -INPUT_BOUND), INPUT_BOUND),
    }


def column(name: str) -> int:
    return FEATURE_NAMES.index(name)


def made_up_stays(seed: int) -> list[StepInput]:
    rng = np.random.default_rng(seed)
    return [made_up_input(rng, N, step, late=0.0) for step in range(STEPS)]


def test_the_clock_is_a_logarithm_and_days_on_the_grid() -> None:
    x = clock_features(np.array([-1, 0, 1, 24, 10_000], dtype=np.int32))
    assert x[:, 0].tolist() == pytest.approx([0, 0, np.log(2) / 4, np.log(25) / 4, np.log(10_001) / 4], abs=1e-6)
    assert x[:, 1].tolist() == pytest.approx([0, 0, 1 / 24, 1, INPUT_BOUND], abs=1e-6)
    assert (np.rint(x / INPUT_GRID) * INPUT_GRID == x).all()


@pytest.mark.parametrize("seed", range(3))
def test_running_features_equal_those_of_the_whole_history(seed: int) -> None:
    inputs = made_up_stays(seed)
    state = FeatureState.initial(N)
    history: list[list[list[Measurement]]] = [[[] for _ in NAMES] for _ in range(N)]
    first = [STEPS] * N
    for now, step in enumerate(inputs):
        x = state.advance(step, SCALING)
        for stay in range(N):
            for sign in range(len(NAMES)):
                value = float(step.values[stay, sign])
                if not math.isnan(value):
                    history[stay][sign].append((now, value))
                    first[stay] = min(first[stay], now)
                expected = sign_features(history[stay][sign], sign, now, first[stay])
                check(x[stay], NAMES[sign], expected)


def check(row: NDArray[np.float32], sign: str, expected: Mapping[str, float]) -> None:
    for name in FEATURE_NAMES:
        if name.startswith(f"{sign}_") and "news2" not in name:
            what = name.removeprefix(f"{sign}_")
            assert row[column(name)] == pytest.approx(expected.get(what, 0.0), abs=2e-3), name


def test_pressures_and_points_of_the_last_known_values() -> None:
    inputs = made_up_stays(5)
    state = FeatureState.initial(N)
    known = np.full((N, len(NAMES)), np.nan, dtype=np.float32)
    shocks: list[list[tuple[int, float]]] = [[] for _ in range(N)]
    for now, step in enumerate(inputs):
        x = state.advance(step, SCALING)
        known = np.where(np.isnan(step.values), known, step.values)
        points = news2_points(known)
        for stay in range(N):
            heart, systolic, diastolic = (
                float(known[stay, NAMES.index(n)]) for n in ("heart_rate", "systolic_bp", "diastolic_bp")
            )
            shock = heart / systolic
            if not math.isnan(shock):
                shocks[stay].append((now, shock))
                weights = [math.exp(-(now - at) / 8) for at, _ in shocks[stay]]
                mean = sum(w * s for w, (_, s) in zip(weights, shocks[stay], strict=True)) / sum(weights)
                assert x[stay, column("shock_index")] == pytest.approx((shock - 0.7) / 0.25, abs=1e-4)
                assert x[stay, column("shock_index_8h")] == pytest.approx((mean - 0.7) / 0.25, abs=1e-4)
            if not math.isnan(systolic - diastolic):
                expected = (systolic - diastolic - 60) / 20
                assert x[stay, column("pulse_pressure")] == pytest.approx(expected, abs=1e-4)
            assert x[stay, column("news2_partial")] == pytest.approx(points[stay].sum() / 5, abs=1e-5)
            expected = points[stay, NAMES.index("temperature")] / 3
            assert x[stay, column("temperature_news2_points")] == pytest.approx(expected, abs=1e-5)


def test_a_late_measurement_counts_as_if_it_had_come_in_time() -> None:
    """All but its order against other measurements, of which a late one that is newer has none."""
    in_time, too_late = FeatureState.initial(1), FeatureState.initial(1)
    temperature, heart = NAMES.index("temperature"), NAMES.index("heart_rate")
    for now in range(8):
        on_time, delayed = empty(now), empty(now)
        on_time.values[0, heart] = delayed.values[0, heart] = 80 + now
        if now in (1, 3):
            on_time.values[0, temperature] = 36.5 + now
        if now == 1:
            delayed.values[0, temperature] = 36.5 + now
        if now == 6:
            delayed.late_values[0, temperature] = 36.5 + 3
            delayed.late_steps[0, temperature] = 3
        x, y = in_time.advance(on_time, SCALING), too_late.advance(delayed, SCALING)
        if now >= 6:
            assert np.abs(x - y).max() < 1e-4
        elif now >= 3:
            assert np.abs(x - y).max() > 0.1


def empty(step: int) -> StepInput:
    rng = np.random.default_rng(0)
    inputs = rows_of(made_up_input(rng, 2, step), np.array([1]))
    inputs.values[...] = np.nan
    inputs.late_values[...] = np.nan
    return inputs


def test_details_and_their_masks() -> None:
    inputs = empty(0)
    inputs.age_years[0], inputs.sex[0], inputs.hospital_hours[0], inputs.unit_type[0] = 78, 0, math.e**2 - 1, 2
    row = FeatureState.initial(1).advance(inputs, SCALING)[0]
    known = {
        **{"age": 1.0, "age_known": 1.0, "sex": -1.0, "sex_known": 1.0},
        **{"hospital_hours": 0.5, "hospital_hours_sign": 1.0, "hospital_hours_known": 1.0},
        **{"medical_unit": 0.0, "surgical_unit": 1.0},
    }
    for name, value in known.items():
        assert row[column(name)] == pytest.approx(value, abs=1e-5), name
    assert not row[: column("age")].any()
    inputs.age_years[0] = inputs.sex[0] = inputs.hospital_hours[0] = np.nan
    inputs.unit_type[0] = 0
    assert not FeatureState.initial(1).advance(inputs, SCALING).any()


def test_every_feature_is_bounded_and_on_the_grid() -> None:
    rng = np.random.default_rng(4)
    state = FeatureState.initial(200)
    for now in range(30):
        inputs = made_up_input(rng, 200, now, late=0.3)
        inputs.values[...] = np.where(rng.random(inputs.values.shape) < 0.2, rng.choice([20, 300.0]), inputs.values)
        inputs.age_years[:2] = [1e30, -1e30]
        inputs.hospital_hours[:2] = [1e30, -1e30]
        x = state.advance(inputs, SCALING)
        assert np.isfinite(x).all()
        assert np.abs(x).max() <= INPUT_BOUND
        assert np.array_equal(np.rint(x.astype(np.float64) / INPUT_GRID) * INPUT_GRID, x)


def test_nothing_counts_the_hours_of_a_stay() -> None:
    """After many hours of the same values, one more hour changes no feature."""
    state = FeatureState.initial(1)
    rows = []
    for now in range(300):
        inputs = empty(now)
        inputs.values[0] = TYPICAL
        rows.append(state.advance(inputs, SCALING)[0])
    assert np.abs(rows[299] - rows[150]).max() < 1e-5


def test_values_are_read_in_hundredths() -> None:
    rough, exact = empty(0), empty(0)
    rough.values[0], exact.values[0] = [80.004, 18.0, 36.881, 97.0, 120.0, 64.0, 82.0], [80, 18, 36.88, 97, 120, 64, 82]
    states = FeatureState.initial(1), FeatureState.initial(1)
    rows = [state.advance(inputs, SCALING) for state, inputs in zip(states, (rough, exact), strict=True)]
    assert rows[0].tobytes() == rows[1].tobytes()
    assert states[0].last_value.tolist() == [[np.float32(value) for value in exact.values[0]]]


def test_names_are_unique_and_plain() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    assert "heart_rate_mean_4h" in FEATURE_NAMES
    assert FEATURE_NAMES[0] == "heart_rate_level"
