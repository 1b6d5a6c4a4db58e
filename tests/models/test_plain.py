"""The plain figures by hand, so that what is held against them stands on something."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.plain import bootstrap_interval, brier, expected_calibration_error

F64 = NDArray[np.float64]


def test_brier_and_calibration_error_by_hand() -> None:
    risks, labels = np.array([0.1, 0.2, 0.7, 0.8]), np.array([0, 1, 1, 1])
    assert brier(risks, labels) == pytest.approx((0.01 + 0.64 + 0.09 + 0.04) / 4)
    assert expected_calibration_error(risks, labels, bins=2) == pytest.approx((0.35 + 0.25) / 2)
    assert expected_calibration_error(np.full(10, 0.3), np.array([1] * 3 + [0] * 7), bins=1) == pytest.approx(0)


def test_the_interval_covers_and_is_repeatable() -> None:
    lengths = np.full(200, 5)
    rows = np.random.default_rng(1).normal(2.0, 1.0, 1000)

    def mean(weights: F64) -> float:
        return float(np.average(rows, weights=weights))

    low, high = bootstrap_interval(mean, lengths, seed=1)
    assert low < rows.mean() < high
    assert high - low < 0.3
    assert (low, high) == bootstrap_interval(mean, lengths, seed=1)
