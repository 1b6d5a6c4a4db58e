"""The sentence made of the reasons."""

from __future__ import annotations

import pytest

from models.reasons import SignReason
from models.summary import NOTHING, measure, summary
from models.vital_signs import (
    HEART_RATE,
    MEAN_ARTERIAL_PRESSURE,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SYSTOLIC_BP,
    TEMPERATURE,
)


def reason(  # noqa: PLR0917 (a row of a table)
    sign: int, by: float, now: float, reference: float, change: float | None, hours: int | None = 5, *, own: bool = True
) -> SignReason:
    return SignReason(sign, (by,), now, reference, own, change, hours)


HOT = reason(TEMPERATURE, 0.9, 38.9, 37.4, 1.4)
FAST = reason(RESPIRATORY_RATE, 0.4, 26, 19, 8)


def test_the_sentence_of_the_strongest_reasons() -> None:
    assert summary([FAST, HOT]) == "temperature up 1.4 °C and respiratory rate up 8/min over 5 h"


def test_three_of_the_same_hours_and_others_behind() -> None:
    pulse = reason(HEART_RATE, 0.8, 120, 90, 25)
    assert summary([FAST, HOT, pulse]) == (
        "temperature up 1.4 °C, heart rate up 25/min and respiratory rate up 8/min over 5 h"
    )
    low = reason(SYSTOLIC_BP, 0.7, 88, 120, -30, hours=2)
    assert summary([low, HOT, pulse]) == (
        "temperature up 1.4 °C and heart rate up 25/min over 5 h; systolic pressure down 30 mmHg over 2 h"
    )


def test_two_that_are_told_alike_share_the_end_of_the_sentence() -> None:
    low = reason(SYSTOLIC_BP, 0.7, 88, 120, None, None)
    warm = reason(TEMPERATURE, 0.6, 38.0, 37.4, None, None)
    assert (
        summary([low, warm]) == "systolic pressure 32 mmHg below and temperature 0.6 °C above this patient's own mean"
    )


def test_what_pushed_down_or_next_to_nothing_is_left_out() -> None:
    calm = reason(HEART_RATE, -2.0, 60, 90, -30)
    weak = reason(OXYGEN_SATURATION, 0.2, 90, 97, -7)
    assert summary([calm, weak, HOT]) == "temperature up 1.4 °C over 5 h"
    assert summary([calm]) == summary([]) == NOTHING
    assert summary([reason(TEMPERATURE, 0.04, 38.9, 37.4, 1.4)]) == NOTHING


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (reason(TEMPERATURE, 1, 38.9, 37.4, 0.1), "temperature 1.5 °C above this patient's own mean"),
        (reason(MEAN_ARTERIAL_PRESSURE, 1, 55, 80, None, None), "mean pressure 25 mmHg below this patient's own mean"),
        (reason(TEMPERATURE, 1, 39.2, 37.4, -0.5), "temperature 1.8 °C above this patient's own mean"),
        (reason(TEMPERATURE, 1, 39.2, 37.0, None, None, own=False), "temperature at 39.2 °C"),
        (reason(HEART_RATE, 1, 91, 90, 1), "heart rate at 91/min"),
        (reason(OXYGEN_SATURATION, 1, 90, 97, -7, 1), "oxygen saturation down 7 % over 1 h"),
    ],
)
def test_a_sign_without_a_change_is_told_by_its_distance_or_its_value(given: SignReason, expected: str) -> None:
    assert summary([given]) == expected


def test_measures_have_their_units() -> None:
    assert [measure(TEMPERATURE, 1.44), measure(HEART_RATE, 8.4), measure(SYSTOLIC_BP, 30)] == [
        "1.4 °C",
        "8/min",
        "30 mmHg",
    ]
