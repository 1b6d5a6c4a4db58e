"""Metrics against brute force over all pairs, thresholds and rows, and the challenge's own worked example."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.metrics import (
    auprc,
    auroc,
    best_utility_threshold,
    normalised_utility,
    utility_rows,
)

F64 = NDArray[np.float64]


def pairwise(scores: F64, labels: NDArray[np.int64], groups: NDArray[np.int64], weights: F64) -> float:
    wins = pairs = 0.0
    for a, b in itertools.product(range(len(scores)), repeat=2):
        if labels[a] == 1 and labels[b] == 0 and groups[a] == groups[b]:
            weight = weights[a] * weights[b]
            pairs += weight
            wins += weight * (1.0 if scores[a] > scores[b] else 0.5 if scores[a] == scores[b] else 0.0)
    return wins / pairs if pairs else float("nan")


def official_utility(labels: list[int], predictions: list[int]) -> float:
    """Return the utility of one stay as the challenge's published script computes it, row by row."""
    dt_early, dt_optimal, dt_late, max_u_tp, min_u_fn, u_fp = -12, -6, 3, 1, -2, -0.05
    t_sepsis = labels.index(1) - dt_optimal if 1 in labels else float("inf")
    m_1 = max_u_tp / (dt_optimal - dt_early)
    m_2 = -max_u_tp / (dt_late - dt_optimal)
    m_3 = min_u_fn / (dt_late - dt_optimal)
    total = 0.0
    for t, predicted in enumerate(predictions):
        if t > t_sepsis + dt_late:
            continue
        if 1 in labels and predicted:
            if t <= t_sepsis + dt_optimal:
                total += max(m_1 * (t - t_sepsis) - m_1 * dt_early, u_fp)
            else:
                total += m_2 * (t - t_sepsis) - m_2 * dt_late
        elif predicted:
            total += u_fp
        elif 1 in labels and t > t_sepsis + dt_optimal:
            total += m_3 * (t - t_sepsis) - m_3 * dt_optimal
    return total


def stays(seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], F64]:
    rng = np.random.default_rng(seed)
    labels = []
    for stay in range(8):
        length = int(rng.integers(1, 30))
        onset = int(rng.integers(0, length)) if stay % 2 == 0 else length
        labels.append((np.arange(length) >= onset).astype(np.int64))
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in labels])))
    joined = np.concatenate(labels)
    return joined, offsets, np.round(rng.random(len(joined)), 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), groups=st.integers(1, 4), weighted=st.booleans())
def test_auroc_is_the_share_of_pairs_won(seed: int, groups: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    scores, labels = np.round(rng.random(n), 1), rng.integers(0, 2, n)
    group = rng.integers(0, groups, n)
    weights = rng.integers(0, 3, n).astype(np.float64) if weighted else np.ones(n)
    expected = pairwise(scores, labels, group, weights)
    found = auroc(scores, labels, groups=group, weights=weights if weighted else None)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_knowing_the_hour_alone_gives_one_half() -> None:
    hours = np.tile(np.arange(20), 10)
    labels = (np.arange(200) % 7 == 0).astype(np.int64)
    assert auroc(hours.astype(np.float64), labels, groups=hours) == 0.5


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_auprc_is_the_sum_over_thresholds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = np.round(rng.random(30), 1), rng.integers(0, 2, 30)
    labels[0] = 1
    expected = recall_before = 0.0
    for cut in sorted(set(scores.tolist()), reverse=True):
        flagged = scores >= cut
        recall = labels[flagged].sum() / labels.sum()
        expected += (recall - recall_before) * labels[flagged].mean()
        recall_before = recall
    assert auprc(scores, labels) == pytest.approx(expected, abs=1e-12)


def test_weights_are_repeated_rows() -> None:
    labels, _, scores = stays(3)
    weights = np.random.default_rng(0).integers(0, 4, len(labels))
    repeated = np.repeat(np.arange(len(labels)), weights)
    weight = weights.astype(np.float64)
    for metric in (auroc, auprc):
        expected = metric(scores[repeated], labels[repeated])
        assert metric(scores, labels, weights=weight) == pytest.approx(expected, abs=1e-12)


def test_the_documented_example_of_the_utility() -> None:
    labels, predictions = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1, 1], dtype=np.bool_)
    flagged, unflagged, _ = utility_rows(labels, np.array([0, 6]))
    assert np.where(predictions, flagged, unflagged).sum() == pytest.approx(3.388888888888889, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_utility_is_that_of_the_official_script(seed: int) -> None:
    labels, offsets, scores = stays(seed)
    flags = scores >= 0.5
    flagged, unflagged, best = utility_rows(labels, offsets)
    observed = inaction = most = 0.0
    for start, end in itertools.pairwise(offsets.tolist()):
        label = labels[start:end].tolist()
        observed += official_utility(label, flags[start:end].astype(int).tolist())
        inaction += official_utility(label, [0] * len(label))
        onset = label.index(1) + 6 if 1 in label else None
        ideal = [int(onset is not None and max(0, onset - 12) <= t <= onset + 3) for t in range(len(label))]
        most += official_utility(label, ideal)
    assert np.where(flags, flagged, unflagged).sum() == pytest.approx(observed, abs=1e-9)
    assert best.sum() == pytest.approx(most, abs=1e-9)
    expected = (observed - inaction) / (most - inaction)
    assert normalised_utility(labels, offsets, flags) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_the_best_of_all(seed: int) -> None:
    labels, offsets, scores = stays(seed)
    best = max(normalised_utility(labels, offsets, scores >= cut) for cut in set(scores.tolist()))
    found = best_utility_threshold(scores, labels, offsets)
    assert normalised_utility(labels, offsets, scores >= found) == pytest.approx(best, abs=1e-12)


def test_without_positives_there_is_no_figure() -> None:
    nothing = np.zeros(4, dtype=np.int64)
    assert np.isnan(auroc(np.arange(4.0), nothing))
    assert np.isnan(auprc(np.arange(4.0), nothing))
    assert np.isnan(normalised_utility(nothing, np.array([0, 4]), np.ones(4, dtype=np.bool_)))
