"""The bootstrap over stays: sums by one product equal round by round, and its intervals are those of the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.resampling import Figure, Resamples
from tests.models.plain import bootstrap_interval


def test_sums_are_those_of_the_drawn_stays() -> None:
    rng = np.random.default_rng(0)
    per_stay = rng.normal(size=(30, 2))
    resamples = Resamples.draw(30, 70, seed=3)
    assert np.allclose(
        resamples.sums(per_stay), [per_stay[np.repeat(np.arange(30), t)].sum(0) for t in resamples.times]
    )
    assert (resamples.times.sum(axis=1) == 30).all()


def test_both_ways_to_a_figure_and_the_plain_bootstrap_agree() -> None:
    lengths = np.random.default_rng(1).integers(1, 9, 50)
    rows = np.random.default_rng(2).normal(2.0, 1.0, int(lengths.sum()))
    stay = np.repeat(np.arange(50), lengths)
    resamples = Resamples.draw(50, 200, seed=7)
    per_stay = np.stack([np.bincount(stay, weights=rows), lengths.astype(np.float64)], axis=1)

    def mean(times: NDArray[np.integer]) -> float:
        return float(np.average(rows, weights=times[stay]))

    summed = resamples.of_sums(per_stay, lambda sums: np.asarray(sums[:, 0] / sums[:, 1]))
    drawn = resamples.of_draws(mean)
    low, high = bootstrap_interval(lambda weights: float(np.average(rows, weights=weights)), lengths, seed=7)
    assert summed.value == pytest.approx(rows.mean())
    assert (summed.low, summed.high) == pytest.approx((low, high))
    assert (drawn.value, drawn.low, drawn.high) == pytest.approx((summed.value, low, high))


def test_without_rounds_there_is_no_interval() -> None:
    resamples = Resamples.draw(5, 0, seed=0)
    assert resamples.of_sums(np.ones((5, 1)), lambda sums: sums[:, 0]) == Figure(5.0)
    assert Figure(0.12345).rounded(3) == {"value": 0.123}
    assert Figure(0.12345, 0.1, 0.2).rounded(2) == {"value": 0.12, "low": 0.1, "high": 0.2}


def test_rounds_that_gave_nothing_do_not_count() -> None:
    figure = Resamples.figure(1.0, np.array([np.nan, 1.0, 1.0]))
    assert (figure.low, figure.high) == (1.0, 1.0)
