"""How well hourly risks discriminate, and the challenge's utility of flags: plain, one figure at a time.

All take rows as arrays (R) and may weight them. `evaluation` gives the same figures with intervals over stays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "auprc",
    "auroc",
    "best_utility_threshold",
    "normalised_utility",
    "utility_rows",
]

F64 = NDArray[np.float64]
Integers = NDArray[np.integer]

# PhysioNet/CinC Challenge 2019 (Reyna et al., Crit Care Med 48:210-217, 2020), hours and utilities.
_EARLY, _OPTIMAL, _LATE = -12, -6, 3
_MAX_TRUE_POSITIVE, _MIN_FALSE_NEGATIVE, _FALSE_POSITIVE = 1.0, -2.0, -0.05


def auroc(
    scores: F64, labels: Integers, *, groups: Integers | None = None, weights: NDArray[np.floating] | None = None
) -> float:
    """Return the chance that a positive row scores over a negative one, ties counting half; NaN without pairs.

    With `groups` (R), only rows of the same group are compared, all pairs weighing the same: with the hour of the stay
    as group this is the time-adjusted AUROC, which knowing the hour alone leaves at 0.5.
    """
    group = np.zeros(len(scores), dtype=np.int64) if groups is None else groups
    order = np.lexsort((scores, group))
    s, g = scores[order], group[order]
    weight = np.ones(len(s)) if weights is None else weights[order].astype(np.float64)
    positive = weight * labels[order]
    negative = weight - positive
    new_group = np.diff(g, prepend=g[:1] - 1) != 0 if len(g) else np.zeros(0, dtype=np.bool_)
    ties = np.flatnonzero(new_group | (np.diff(s, prepend=np.nan) != 0))
    if not len(ties):
        return float("nan")
    tie_positive, tie_negative = np.add.reduceat(positive, ties), np.add.reduceat(negative, ties)
    below = np.cumsum(tie_negative) - tie_negative
    first = np.flatnonzero(new_group[ties])
    below -= np.repeat(below[first], np.diff(np.append(first, len(ties))))
    wins = float((tie_positive * (below + tie_negative / 2)).sum())
    group_positive, group_negative = np.add.reduceat(tie_positive, first), np.add.reduceat(tie_negative, first)
    pairs = float((group_positive * group_negative).sum())
    return wins / pairs if pairs > 0 else float("nan")


def auprc(scores: F64, labels: Integers, *, weights: NDArray[np.floating] | None = None) -> float:
    """Return the area under precision against recall as a step function (average precision); NaN without positives."""
    order = np.argsort(-scores, kind="stable")
    weight = np.ones(len(order)) if weights is None else weights[order].astype(np.float64)
    positive = weight * labels[order]
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    found, flagged = np.cumsum(positive)[ends], np.cumsum(weight)[ends]
    total = float(positive.sum())
    if total <= 0:
        return float("nan")
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    return float((np.diff(found, prepend=0) * precision).sum() / total)


def utility_rows(labels: Integers, offsets: Integers) -> tuple[F64, F64, F64]:
    """Return the official utility of each row when flagged, when not flagged, and under the best possible flags (R).

    `labels` are already 1 from six hours before onset on, as the challenge gives them; rows of stay i are offsets[i]
    to offsets[i + 1]. Hours are counted by row, as the official script does.
    """
    lengths = np.diff(offsets)
    starts = offsets[:-1]
    row = np.arange(len(labels)) - np.repeat(starts, lengths)
    first = np.minimum.reduceat(np.where(labels == 1, row, np.iinfo(np.int64).max), starts)
    septic = np.repeat(first < np.iinfo(np.int64).max, lengths)
    onset = np.where(septic, np.repeat(np.where(first < np.iinfo(np.int64).max, first, 0), lengths) - _OPTIMAL, 0)
    d = (row - onset).astype(np.float64)  # hours from onset
    rising = _MAX_TRUE_POSITIVE * (d - _EARLY) / (_OPTIMAL - _EARLY)
    falling = _MAX_TRUE_POSITIVE * (_LATE - d) / (_LATE - _OPTIMAL)
    missed = _MIN_FALSE_NEGATIVE * (d - _OPTIMAL) / (_LATE - _OPTIMAL)
    over = d > _LATE
    septic_flagged = np.where(over, 0.0, np.where(d <= _OPTIMAL, np.maximum(rising, _FALSE_POSITIVE), falling))
    septic_unflagged = np.where(over | (d <= _OPTIMAL), 0.0, missed)
    flagged = np.where(septic, septic_flagged, _FALSE_POSITIVE)
    unflagged = np.where(septic, septic_unflagged, 0.0)
    window = septic & (d >= _EARLY) & (d <= _LATE)
    return flagged, unflagged, np.where(window, flagged, unflagged)


def normalised_utility(
    labels: Integers, offsets: Integers, flags: NDArray[np.bool_], *, weights: NDArray[np.floating] | None = None
) -> float:
    """Return the official utility of hourly flags: 0 for never flagging, 1 for the best possible flags."""
    flagged, unflagged, best = utility_rows(labels, offsets)
    weight = np.ones(len(labels)) if weights is None else weights
    gain = float((weight * np.where(flags, flagged - unflagged, 0.0)).sum())
    most = float((weight * (best - unflagged)).sum())
    return gain / most if most > 0 else float("nan")


def best_utility_threshold(risks: F64, labels: Integers, offsets: Integers) -> float:
    """Return the risk from which flagging gives the highest utility; an exact search over all risks."""
    flagged, unflagged, _ = utility_rows(labels, offsets)
    order = np.argsort(-risks, kind="stable")
    gain = np.cumsum((flagged - unflagged)[order])
    ends = np.flatnonzero(np.diff(risks[order], append=-np.inf) != 0)
    return float(risks[order][ends[np.argmax(gain[ends])]])
