"""What any model must be better than: the hour alone, and the early warning scores of the vital signs it sees.

Scores are ranked as they are. Where a figure needs a threshold or a probability, both are chosen on other stays than
those they are used on: the stays are dealt into five folds, and each fold gets what the other four give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.early_warning import mews_partial, news2_partial, qsofa_partial, sirs_partial
from models.evaluation import hours_only
from models.metrics import best_utility_threshold
from models.reliability import fit_line, probabilities_on
from models.vital_signs import NAMES, usable

__all__ = ["Fitted", "cross_fitted", "last_known", "rule_scores"]

F64 = NDArray[np.float64]

_FOLDS = 5
_RULES = {
    "sirs_partial": sirs_partial,
    "qsofa_partial": qsofa_partial,
    "news2_partial": news2_partial,
    "mews_partial": mews_partial,
}


@dataclass(frozen=True)
class Fitted:
    """What scores (R) come to with thresholds and probabilities from other stays."""

    flags: NDArray[np.bool_]  # at or over the threshold of best utility
    probabilities: F64


def rule_scores(cohort: Cohort, vitals: frozenset[str] | None = None) -> dict[str, F64]:
    """Return the hour and the points of each early warning score for every row (R), by name.

    Points are of each vital sign's last known value, as the service publishes them; one that was never measured, or
    that is not in `vitals` (None: all are), gives none.
    """
    values = last_known(cohort)
    seen = np.array([vitals is None or name in vitals for name in NAMES])
    values = np.where(seen, values, np.float32(np.nan))
    return {"hours_only": hours_only(cohort)} | {name: rule(values).astype(np.float64) for name, rule in _RULES.items()}


def last_known(cohort: Cohort) -> NDArray[np.float32]:
    """Return, for each row, the last usable value of each vital sign in its stay up to then (R, 7); NaN: none yet."""
    values = usable(cohort.values)
    row = np.arange(cohort.n_rows)[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, row), axis=0)
    start = np.repeat(cohort.offsets[:-1], cohort.lengths)[:, None]
    known = last >= start
    return np.where(known, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.float32(np.nan))


def cross_fitted(scores: F64, cohort: Cohort, seed: int) -> Fitted:
    """Return flags and probabilities (R each) of scores over a cohort with labels, fold by fold of its stays.

    The probability is the logistic line of highest likelihood; the base rate, where the other folds determine none.
    """
    labels = cohort.known_labels
    fold = np.random.default_rng(seed).permutation(cohort.n_stays) % _FOLDS
    flags = np.zeros(len(scores), dtype=np.bool_)
    probabilities = np.zeros(len(scores))
    for each in range(_FOLDS):
        mine = np.repeat(fold == each, cohort.lengths)
        if not mine.any() or mine.all():
            continue
        others = cohort.select(fold != each)
        known = others.known_labels
        flags[mine] = scores[mine] >= best_utility_threshold(scores[~mine], known, others.offsets)
        line = fit_line(scores[~mine], known)
        probabilities[mine] = float(labels[~mine].mean()) if line is None else probabilities_on(scores[mine], *line)
    return Fitted(flags, probabilities)
