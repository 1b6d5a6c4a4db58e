"""The table of vital signs and the checks of plausibility and contradiction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.vital_signs import (
    DIASTOLIC_BP,
    MEAN_ARTERIAL_PRESSURE,
    NAMES,
    SYSTOLIC_BP,
    VITAL_SIGNS,
    VitalSign,
    contradictory,
    implausible,
    usable,
)


def row(**known: float) -> NDArray[np.float32]:
    values = np.full((1, len(NAMES)), np.nan, dtype=np.float32)
    for name, value in known.items():
        values[0, NAMES.index(name)] = value
    return values


def test_the_order_of_the_arrays_is_fixed() -> None:
    assert NAMES == (
        "heart_rate",
        "respiratory_rate",
        "temperature",
        "oxygen_saturation",
        "systolic_bp",
        "diastolic_bp",
        "mean_arterial_pressure",
    )


@pytest.mark.parametrize("sign", VITAL_SIGNS, ids=lambda sign: sign.name)
def test_the_plausible_range_includes_its_ends(sign: VitalSign) -> None:
    column = NAMES.index(sign.name)
    for value, expected in (
        (sign.low, False),
        (sign.high, False),
        (sign.low - 0.1, True),
        (sign.high + 0.1, True),
        (float("inf"), True),
        (float("-inf"), True),
        (float("nan"), False),
    ):
        assert implausible(row(**{sign.name: value}))[0, column] == expected


def test_only_the_implausible_value_is_refused() -> None:
    refused = implausible(row(heart_rate=400, temperature=37))
    assert refused.tolist() == [[True, False, False, False, False, False, False]]


@pytest.mark.parametrize(
    ("systolic", "diastolic", "mean", "doubtful"),
    [
        (120, 80, 93, []),
        (120, 120, 93, [SYSTOLIC_BP, DIASTOLIC_BP]),
        (80, 120, 93, [SYSTOLIC_BP, DIASTOLIC_BP]),
        (120, 80, 79, [MEAN_ARTERIAL_PRESSURE]),
        (120, 80, 121, [MEAN_ARTERIAL_PRESSURE]),
        (120, 80, 80, []),
        (120, 80, 120, []),
        (120, float("nan"), 121, [MEAN_ARTERIAL_PRESSURE]),
        (float("nan"), 80, 79, [MEAN_ARTERIAL_PRESSURE]),
        (float("nan"), float("nan"), 79, []),
    ],
)
def test_pressures_that_cannot_be_true_together(
    systolic: float, diastolic: float, mean: float, doubtful: list[int]
) -> None:
    values = row(systolic_bp=systolic, diastolic_bp=diastolic, mean_arterial_pressure=mean, heart_rate=80)
    assert np.flatnonzero(contradictory(values)[0]).tolist() == doubtful


def test_usable_drops_the_implausible_before_it_compares() -> None:
    values = row(systolic_bp=5, diastolic_bp=80, mean_arterial_pressure=90)
    before = values.copy()
    kept = usable(values)
    assert np.flatnonzero(~np.isnan(kept[0])).tolist() == [DIASTOLIC_BP, MEAN_ARTERIAL_PRESSURE]
    assert np.array_equal(values, before, equal_nan=True)
