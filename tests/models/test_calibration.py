"""The calibration map: the one of highest likelihood, rising, and refused where nothing rises."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration import CalibrationError, fit_calibration


def test_it_finds_the_map_the_labels_were_drawn_from() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 1.5, 200_000)
    labels = (rng.random(len(logit)) < 1 / (1 + np.exp(-(0.7 * logit - 3.0)))).astype(np.int64)
    found = fit_calibration(logit, labels)
    assert found.slope == pytest.approx(0.7, abs=0.03)
    assert found.intercept == pytest.approx(-3.0, abs=0.05)


def test_mean_risk_equals_the_share_of_positives() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(2, 3, 5000)
    labels = (logit + rng.normal(0, 4, 5000) > 6).astype(np.int64)
    found = fit_calibration(logit, labels)
    risk = 1 / (1 + np.exp(-(found.slope * logit + found.intercept)))
    assert risk.mean() == pytest.approx(labels.mean(), abs=1e-8)
    assert (risk * logit).mean() == pytest.approx((labels * logit).mean(), abs=1e-7)


def test_no_other_map_is_more_likely() -> None:
    rng = np.random.default_rng(2)
    logit = rng.normal(0, 1, 2000)
    labels = (rng.random(2000) < 1 / (1 + np.exp(-logit))).astype(np.int64)

    def likelihood(slope: float, intercept: float) -> float:
        margin = (slope * logit + intercept) * np.where(labels == 1, 1, -1)
        return -float(np.logaddexp(0, -margin).sum())

    best = fit_calibration(logit, labels)
    for slope, intercept in ((0.05, 0.0), (-0.05, 0.0), (0.0, 0.05), (0.0, -0.05)):
        other = likelihood(best.slope + slope, best.intercept + intercept)
        assert likelihood(best.slope, best.intercept) > other


def test_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(CalibrationError, match="all of one kind"):
        fit_calibration(np.arange(10.0), np.zeros(10, dtype=np.int64))


def test_a_falling_map_is_refused() -> None:
    logit = np.linspace(-3, 3, 100)
    labels = (np.arange(100) % 10 < 10 - np.arange(100) // 10).astype(np.int64)
    with pytest.raises(CalibrationError, match="learned nothing"):
        fit_calibration(logit, labels)
