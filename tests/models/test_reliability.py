"""Calibration figures on risks whose calibration is known, and their intervals against refitting in every round."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from models.calibration import fit_calibration
from models.reliability import calibration_figures, reliability_curve
from models.resampling import Figure, Resamples
from tests.models.plain import brier, expected_calibration_error

F64 = NDArray[np.float64]
STAYS, HOURS = 600, 20


def sigmoid(x: F64) -> F64:
    return np.asarray(1 / (1 + np.exp(-x)))


def example(slope: float = 1.0, intercept: float = 0.0) -> tuple[F64, NDArray[np.uint8], NDArray[np.int64]]:
    """Return risks, labels drawn so that the true log-odds are slope * logit(risk) + intercept, and stays."""
    rng = np.random.default_rng(5)
    logit = rng.normal(-2, 1, STAYS * HOURS)
    labels = (rng.random(len(logit)) < sigmoid(slope * logit + intercept)).astype(np.uint8)
    return sigmoid(logit), labels, np.repeat(np.arange(STAYS), HOURS)


def figures(risks: F64, labels: NDArray[np.uint8], stays: NDArray[np.int64], rounds: int = 100) -> dict[str, Figure]:
    return calibration_figures(risks, labels, stays, Resamples.draw(STAYS, rounds, seed=1), STAYS)


def inside(figure: Figure, truth: float) -> bool:
    return figure.low is not None and figure.high is not None and figure.low <= truth <= figure.high


def test_calibrated_risks_have_slope_one_and_intercept_nought() -> None:
    found = figures(*example())
    assert found["calibration_slope"].value == pytest.approx(1.0, abs=0.1)
    assert found["calibration_intercept"].value == pytest.approx(0.0, abs=0.1)
    assert found["ece"].value < 0.02


def test_miscalibration_is_measured() -> None:
    found = figures(*example(slope=0.6, intercept=0.0))
    assert inside(found["calibration_slope"], 0.6)
    found = figures(*example(intercept=0.8))
    assert inside(found["calibration_intercept"], 0.8)
    assert found["ece"].value > 0.05


def test_values_are_the_plain_ones() -> None:
    risks, labels, stays = example(slope=1.2, intercept=-0.2)
    found = figures(risks, labels, stays, rounds=0)
    fitted = fit_calibration(np.log(risks / (1 - risks)), labels)
    assert found["brier"].value == pytest.approx(brier(risks, labels))
    assert found["ece"].value == pytest.approx(expected_calibration_error(risks, labels))
    assert found["calibration_slope"].value == pytest.approx(fitted.slope, abs=1e-8)


def test_one_step_gives_the_interval_that_refitting_gives() -> None:
    risks, labels, stays = example(slope=0.8)
    logit = np.log(risks / (1 - risks))
    resamples = Resamples.draw(STAYS, 60, seed=1)
    slopes = []
    for times in resamples.times:
        rows = np.repeat(np.arange(len(stays)), times[stays])
        slopes.append(fit_calibration(logit[rows], labels[rows]).slope)
    found = calibration_figures(risks, labels, stays, resamples, STAYS)["calibration_slope"]
    assert (found.low, found.high) == pytest.approx(np.percentile(slopes, [2.5, 97.5]), abs=3e-3)


def test_where_nothing_can_be_fitted_nothing_is_claimed() -> None:
    risks, _, stays = example()
    found = figures(risks, np.zeros(len(risks), dtype=np.uint8), stays)
    assert np.isnan(found["calibration_slope"].value)
    assert np.isnan(found["calibration_intercept"].value)
    constant = figures(np.full(len(risks), 0.1), example()[1], stays)
    assert np.isnan(constant["calibration_slope"].value)


def test_the_curve_has_bins_of_equally_many_rows() -> None:
    risks, labels, _ = example()
    curve = reliability_curve(risks, labels, bins=10)
    assert [each.rows for each in curve] == [1200] * 10
    assert all(a.risk < b.risk for a, b in itertools.pairwise(curve))
    assert sum(each.share * each.rows for each in curve) == pytest.approx(labels.sum())
