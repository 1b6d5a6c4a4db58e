"""ROC and precision-recall curves as few enough points for a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["OperatingCurve", "operating_curve"]

Points = list[tuple[float, float]]

_POINTS = 80


class OperatingCurve(dict[str, Points]):
    """`roc`: (false positive rate, sensitivity); `precision_recall`: (sensitivity, precision), from strict to lax."""


def operating_curve(scores: NDArray[np.float64], labels: NDArray[np.integer], points: int = _POINTS) -> OperatingCurve:
    """Return both curves over thresholds of scores (R), thinned so that neighbours are equally far apart in rate.

    Empty where the labels are all alike.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    found = np.cumsum(labels[order], dtype=np.int64)[ends]
    flagged = ends + 1
    positives, negatives = int(labels.sum()), len(labels) - int(labels.sum())
    if not positives or not negatives:
        return OperatingCurve(roc=[], precision_recall=[])
    sensitivity, false_rate = found / positives, (flagged - found) / negatives
    return OperatingCurve(
        roc=[(0.0, 0.0), *_thinned(false_rate, sensitivity, false_rate + sensitivity, points)],
        precision_recall=_thinned(sensitivity, found / flagged, sensitivity, points),
    )


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64], along: NDArray[np.float64], points: int) -> Points:
    marks = np.linspace(float(along[0]), float(along[-1]), points)
    kept = np.unique(np.append(np.searchsorted(along, marks), len(along) - 1))
    return list(zip(x[kept].tolist(), y[kept].tolist(), strict=True))
