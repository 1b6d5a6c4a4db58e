"""Areas under ROC and precision-recall curves of rows that are sorted once and weighted by their stays many times.

The same figures as `metrics.auroc` and `metrics.auprc`, for a bootstrap over a million rows: a round costs one pass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranking"]

Integers = NDArray[np.integer]
I64 = NDArray[np.int64]


class Ranking:
    """Rows (R) in order of their scores, within groups where there are any."""

    def __init__(
        self, scores: NDArray[np.floating], labels: Integers, stays: Integers, *, groups: Integers | None = None
    ) -> None:
        """Take scores, labels (0 or 1) and the number of the stay of each row (R); groups as `metrics.auroc` has."""
        group = np.zeros(len(scores), dtype=np.int8) if groups is None else groups
        order = np.lexsort((scores, group))
        sorted_scores, sorted_groups = scores[order], group[order]
        new_group = np.concatenate(([True], np.diff(sorted_groups) != 0))[: len(order)]
        new_tie = new_group | np.concatenate(([True], np.diff(sorted_scores) != 0))[: len(order)]
        self._stay = stays[order]
        self._positive = np.flatnonzero(labels[order] == 1)  # places of the positive rows
        # Only ties and groups with a positive row matter: where they begin and end, and their first positive row.
        self._tie_start, self._tie_end, self._tie_first = self._spans(np.flatnonzero(new_tie), len(order))
        self._group_start, self._group_end, self._group_first = self._spans(np.flatnonzero(new_group), len(order))
        begins = np.searchsorted(self._group_start, self._tie_start, side="right") - 1
        self._tie_group_start = self._group_start[begins]

    def _spans(self, starts: I64, n: int) -> tuple[I64, I64, I64]:
        ends = np.append(starts[1:], n)
        span, first = np.unique(np.searchsorted(starts, self._positive, side="right") - 1, return_index=True)
        return starts[span], ends[span], first.astype(np.int64)

    def auroc(self, times: Integers) -> float:
        """Return the area when the rows of stay i count times[i] times; NaN without pairs."""
        return self.areas(times)[0]

    def areas(self, times: Integers) -> tuple[float, float]:
        """Return the areas under the ROC and the precision-recall curve; the latter is meant without groups."""
        weight = times[self._stay]
        positive = weight[self._positive].astype(np.int64)
        total = int(positive.sum())
        if total == 0:
            return float("nan"), float("nan")
        weight[self._positive] = 0
        below = np.zeros(len(weight) + 1, dtype=np.int64)  # weight of the negative rows before each place
        np.cumsum(weight, out=below[1:])
        tie_positive = np.add.reduceat(positive, self._tie_first)
        before = below[self._tie_start]
        tied = below[self._tie_end] - before
        wins = float((tie_positive * ((before - below[self._tie_group_start]) + tied / 2)).sum())
        in_group = below[self._group_end] - below[self._group_start]
        pairs = float((np.add.reduceat(positive, self._group_first) * in_group).sum())
        found = np.cumsum(tie_positive[::-1])[::-1]  # positive rows at or over the tie
        flagged = found + below[-1] - before
        precision = np.divide(found, flagged, out=np.zeros(len(found)), where=flagged > 0)
        return wins / pairs if pairs else float("nan"), float((tie_positive * precision).sum() / total)
