"""Areas under curves by one sort and many weightings, against the plain metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics import auprc, auroc
from models.ranking import Ranking


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), groups=st.integers(1, 4))
def test_a_weighting_of_stays_is_a_weighting_of_their_rows(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    scores, labels = np.round(rng.random(n), 1), rng.integers(0, 2, n)
    stays, group = np.sort(rng.integers(0, 8, n)), rng.integers(0, groups, n)
    times = rng.integers(0, 3, 8).astype(np.uint16)
    weights = times[stays].astype(np.float64)
    pooled, precision = Ranking(scores, labels, stays).areas(times)
    assert pooled == pytest.approx(auroc(scores, labels, weights=weights), abs=1e-12, nan_ok=True)
    assert precision == pytest.approx(auprc(scores, labels, weights=weights), abs=1e-12, nan_ok=True)
    grouped = Ranking(scores, labels, stays, groups=group).auroc(times)
    assert grouped == pytest.approx(auroc(scores, labels, groups=group, weights=weights), abs=1e-12, nan_ok=True)


def test_without_rows_or_positives_there_is_no_area() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert np.isnan(Ranking(np.zeros(0), nothing, nothing).auroc(np.ones(3, dtype=np.uint16)))
    negatives = np.zeros(4, dtype=np.int64)
    assert np.isnan(Ranking(np.arange(4.0), negatives, np.arange(4)).areas(np.ones(4, dtype=np.uint16))).all()
