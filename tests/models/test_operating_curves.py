"""Curves for pictures: few points, all of them true, with the area of the whole curve."""

from __future__ import annotations

import numpy as np
import pytest

from models.metrics import auprc, auroc
from models.operating_curves import operating_curve


def test_the_points_are_of_the_curves() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(5000) < 0.1).astype(np.int64)
    scores = np.round(rng.normal(labels, 1.0), 3)
    found = operating_curve(scores, labels)
    roc, precision_recall = np.array(found["roc"]), np.array(found["precision_recall"])
    assert len(roc) <= 82
    assert (roc[0] == 0).all()
    assert (roc[-1] == 1).all()
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(auroc(scores, labels), abs=5e-3)
    area = (np.diff(precision_recall[:, 0], prepend=0) * precision_recall[:, 1]).sum()
    assert area == pytest.approx(auprc(scores, labels), abs=1e-2)
    cut = np.sort(scores)[-100]
    flagged = scores >= cut
    point = (labels[flagged].sum() / labels.sum(), labels[flagged].mean())
    assert np.abs(precision_recall - point).sum(axis=1).min() < 0.05


def test_without_positives_there_are_none() -> None:
    assert operating_curve(np.arange(3.0), np.zeros(3, dtype=np.int64)) == {"roc": [], "precision_recall": []}
