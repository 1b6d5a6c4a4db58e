"""The network sorts as numpy does, and finds the middles that the statistics module finds."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.order import middles, sort_first_axis


@pytest.mark.parametrize("size", range(1, 17))
def test_every_set_is_sorted(size: int) -> None:
    values = np.random.default_rng(size).integers(-9, 9, (size, 300, 2)).astype(np.int16)
    expected = np.sort(values, axis=0)
    sort_first_axis(values)
    assert (values == expected).all()


@pytest.mark.parametrize("size", [5, 12])
def test_zeros_and_ones_are_sorted_in_every_arrangement(size: int) -> None:
    every = (np.arange(2**size) >> np.arange(size)[:, None] & 1).astype(np.int16)  # the zero-one principle
    expected = np.sort(every, axis=0)
    sort_first_axis(every)
    assert (every == expected).all()


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=12), st.integers(0, 11))
def test_the_middles_are_those_of_the_values_that_count(some: list[float], absent: int) -> None:
    values = np.array([*some, *[np.inf] * absent], dtype=np.float32)[:, None]
    sort_first_axis(values)
    low, high = middles(values, np.zeros(1, dtype=np.intp), np.array([len(some)]))
    assert (low[0], high[0]) == (statistics.median_low(some), statistics.median_high(some))
