"""From logits to probabilities: a smooth, strictly rising map with two parameters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.manifest import Calibration

__all__ = ["CalibrationError", "fit_calibration"]

_MAX_STEPS = 100
_TOLERANCE = 1e-10
_MIN_CURVATURE = 1e-12


class CalibrationError(ValueError):
    """The rows do not determine a rising map: the message says why."""


def fit_calibration(logit: NDArray[np.float64], labels: NDArray[np.integer]) -> Calibration:
    """Return the slope and intercept of highest likelihood, by Newton's method.

    Platt, Probabilistic outputs for support vector machines (1999), without his smoothing of the targets: there are
    thousands of positives here. Raises CalibrationError where the labels are all alike or the slope is not positive.
    """
    positives = int(labels.sum())
    if positives in (0, len(labels)):
        msg = "The rows for calibration are all of one kind; give more stays."
        raise CalibrationError(msg)
    # From no slope and the base rate, where the likelihood (it has one summit) is well curved.
    slope, intercept = 0.0, float(np.log(positives / (len(labels) - positives)))
    for _ in range(_MAX_STEPS):
        p = 0.5 + 0.5 * np.tanh(0.5 * (slope * logit + intercept))
        residual, curvature = labels - p, p * (1 - p)
        a, b, d = (curvature * logit**2).sum(), (curvature * logit).sum(), curvature.sum()
        determinant = a * d - b * b
        if determinant < _MIN_CURVATURE:
            break
        g_slope, g_intercept = (residual * logit).sum(), residual.sum()
        step_slope = (d * g_slope - b * g_intercept) / determinant
        step_intercept = (a * g_intercept - b * g_slope) / determinant
        slope, intercept = float(slope + step_slope), float(intercept + step_intercept)
        if abs(step_slope) + abs(step_intercept) < _TOLERANCE:
            break
    if not (np.isfinite(slope) and np.isfinite(intercept) and slope > 0):
        msg = "A higher logit does not mean a higher risk in the rows for calibration; the model has learned nothing."
        raise CalibrationError(msg)
    return Calibration(slope=slope, intercept=intercept)
