"""Whether risks mean what they say: calibration slope and intercept, calibration error, and the curve behind them.

Slope and intercept as Van Calster et al. (BMC Med 17:230, 2019): the labels' log-odds regressed on the risks'; the
intercept is that of calibration in the large, with the slope held at 1. A perfect model has slope 1 and intercept 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.resampling import Figure, Resamples

__all__ = ["BINS", "Bin", "calibration_figures", "fit_line", "probabilities_on", "reliability_curve"]

F64 = NDArray[np.float64]
Integers = NDArray[np.integer]

BINS = 20  # of equally many rows
_LEAST = 1e-6  # a risk is rounded to this: 0 and 1 have no log-odds
_NEWTON_STEPS = 50
_TOLERANCE = 1e-10
_MIN_CURVATURE = 1e-9


@dataclass(frozen=True)
class Bin:
    """Rows of similar risk: how many, their mean risk, and the share with a positive label."""

    rows: int
    risk: float
    share: float


def calibration_figures(
    risks: F64, labels: Integers, stays: Integers, resamples: Resamples, n_stays: int
) -> dict[str, Figure]:
    """Return Brier score, calibration error, slope and intercept of rows (R), with intervals over stays.

    Intervals of slope and intercept take, in each round, one Newton step from the values of all stays: a second step
    would move them by far less than the interval is wide.
    """
    rows = _Rows(stays, n_stays)
    squares = rows.sums((risks - labels) ** 2, np.ones(len(risks)))
    logit = _logit(risks)
    return {
        "brier": resamples.of_sums(squares, lambda sums: _ratio(sums[:, 0], sums[:, 1])),
        "ece": _calibration_error(rows.sums_by_bin(risks, labels), resamples),
        "calibration_slope": _slope(logit, labels, rows, resamples),
        "calibration_intercept": _intercept(logit, labels, rows, resamples),
    }


def reliability_curve(risks: F64, labels: Integers, bins: int = BINS) -> list[Bin]:
    """Return bins of equally many rows, from the lowest risks to the highest."""
    order = np.argsort(risks, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [Bin(len(part), float(risks[part].mean()), float(labels[part].mean())) for part in parts]


@dataclass(frozen=True)
class _Rows:
    """Which stay each row is of, and how many stays there are."""

    stays: Integers
    n_stays: int

    def sums(self, *parts: F64) -> F64:
        """Return the sum of each part (R) over the rows of each stay (S, parts)."""
        return np.stack([np.bincount(self.stays, weights=part, minlength=self.n_stays) for part in parts], axis=1)

    def sums_by_bin(self, risks: F64, labels: Integers) -> F64:
        """Return, for each stay and bin of risk, the sum of risk less label, and last the stay's rows (S, bins + 1)."""
        order = np.argsort(risks, kind="stable")
        bin_of_row = np.empty(len(risks), dtype=np.int64)
        for number, part in enumerate(np.array_split(order, BINS)):
            bin_of_row[part] = number
        cell = self.stays * np.int64(BINS) + bin_of_row
        over = np.bincount(cell, weights=risks - labels, minlength=self.n_stays * BINS).reshape(self.n_stays, BINS)
        return np.concatenate([over, self.sums(np.ones(len(risks)))], axis=1)


def _calibration_error(per_stay: F64, resamples: Resamples) -> Figure:
    value = float(_error(per_stay.sum(axis=0)[None])[0])
    return resamples.figure(value, _error(resamples.sums(per_stay)), noisy_upwards=True)


def _error(sums: F64) -> F64:
    return _ratio(np.abs(sums[:, :-1]).sum(axis=1), sums[:, -1])


def _ratio(part: F64, whole: F64) -> F64:
    ratio: F64 = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return ratio


def _logit(risks: F64) -> F64:
    clipped = np.clip(risks, _LEAST, 1 - _LEAST)
    logit: F64 = np.log(clipped / (1 - clipped))
    return logit


def _sigmoid(logit: F64) -> F64:
    probability: F64 = 0.5 + 0.5 * np.tanh(0.5 * logit)
    return probability


def fit_line(scores: F64, labels: Integers) -> tuple[float, float] | None:
    """Return slope and intercept of the labels' log-odds on scores (R) by highest likelihood; None if undetermined."""
    positives = int(labels.sum())
    if not 0 < positives < len(labels):
        return None
    # From no slope and the base rate, where the likelihood (it has one summit) is well curved.
    slope, intercept = 0.0, float(np.log(positives / (len(labels) - positives)))
    for _ in range(_NEWTON_STEPS):
        sums = np.array([[part.sum() for part in _slope_parts(scores, labels, slope, intercept)]])
        to_slope, to_intercept = (float(step[0]) for step in _slope_step(sums))
        slope, intercept = slope + to_slope, intercept + to_intercept
        if not np.isfinite(slope):
            return None
        if abs(to_slope) + abs(to_intercept) < _TOLERANCE:
            break
    return slope, intercept


def probabilities_on(scores: F64, slope: float, intercept: float) -> F64:
    """Return the probabilities (R) that a line gives scores (R)."""
    return _sigmoid(slope * scores + intercept)


def _slope(logit: F64, labels: Integers, rows: _Rows, resamples: Resamples) -> Figure:
    """Return the slope of the labels' log-odds on the risks', an intercept being fitted with it."""
    line = fit_line(logit, labels)
    if line is None:
        return Figure(float("nan"))
    at_fit = rows.sums(*_slope_parts(logit, labels, *line))
    return resamples.figure(line[0], line[0] + _slope_step(resamples.sums(at_fit))[0])


def _slope_parts(logit: F64, labels: Integers, slope: float, intercept: float) -> tuple[F64, ...]:
    """Return each row's part in the gradient (slope, intercept) and the curvature (slope, both, intercept)."""
    p = _sigmoid(slope * logit + intercept)
    residual, curvature = labels - p, p * (1 - p)
    return residual * logit, residual, curvature * logit**2, curvature * logit, curvature


def _slope_step(sums: F64) -> tuple[F64, F64]:
    """Return the Newton steps of slope and intercept (N each) for sums of those parts (N, 5)."""
    g_slope, g_intercept, a, b, d = sums.T
    determinant = a * d - b * b
    usable = determinant > _MIN_CURVATURE * a * d
    nan = np.full(len(sums), np.nan)
    return (
        np.divide(d * g_slope - b * g_intercept, determinant, out=nan.copy(), where=usable),
        np.divide(a * g_intercept - b * g_slope, determinant, out=nan, where=usable),
    )


def _intercept(logit: F64, labels: Integers, rows: _Rows, resamples: Resamples) -> Figure:
    """Return by how much the labels' log-odds lie over the risks', as one number for all rows."""
    if not 0 < labels.sum() < len(labels):
        return Figure(float("nan"))
    intercept = 0.0
    for _ in range(_NEWTON_STEPS):
        p = _sigmoid(logit + intercept)
        step = float(np.clip((labels - p).sum() / (p * (1 - p)).sum(), -1, 1))  # far from the summit it overshoots
        intercept += step
        if abs(step) < _TOLERANCE:
            break
    p = _sigmoid(logit + intercept)
    sums = resamples.sums(rows.sums(labels - p, p * (1 - p)))
    return resamples.figure(intercept, intercept + _ratio(sums[:, 0], sums[:, 1]))
