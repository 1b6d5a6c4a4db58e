"""What the doubt layer costs: shares with exact intervals, by group and by reason."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.doubt import NO_SIGN, TOO_FEW, UNLIKE, Doubts
from models.doubt_figures import ever_unlike, exact_interval, hours_in_doubt
from models.resampling import Figure
from tests.models.stays import made_up_cohort


@pytest.mark.parametrize(
    ("found", "of", "low", "high"),
    [(0, 10, 0.0, 0.30850), (5, 10, 0.18709, 0.81291), (10, 10, 0.69150, 1.0), (1, 50, 0.00051, 0.10647)],
)
def test_intervals_are_those_of_clopper_and_pearson(found: int, of: int, low: float, high: float) -> None:
    figure = exact_interval(found, of)
    assert figure.value == found / of
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=2e-5)


def test_of_nothing_there_is_no_share() -> None:
    assert math.isnan(exact_interval(0, 0).value)


def test_a_stay_counts_once_however_long_it_is_unlike() -> None:
    cohort = made_up_cohort(1, 12)
    reason = np.zeros(cohort.n_rows, dtype=np.uint8)
    reason[cohort.stay_of_row == 3] = UNLIKE  # septic, of hospital B
    reason[cohort.offsets[5]] = UNLIKE
    reason[cohort.offsets[6]] = TOO_FEW
    doubt = Doubts(reason, np.full(cohort.n_rows, NO_SIGN, dtype=np.int8))
    found = ever_unlike(cohort, doubt)
    counts = {name: (group["stays"], group["unlike"]) for name, group in found.items()}
    assert counts == {
        **{"all": (12, 2), "septic": (4, 1), "other": (8, 1)},
        **{"hospital A": (6, 0), "hospital B": (6, 2)},
    }
    share = found["all"]["share"]
    assert isinstance(share, Figure)
    assert share.value == 2 / 12
    hours = hours_in_doubt(doubt)
    assert hours["unlike"] == (cohort.lengths[3] + 1) / cohort.n_rows
    assert hours["too_few"] == 1 / cohort.n_rows
    assert hours["too_old"] == 0
