"""Medians of many small sets at once.

Sets of a dozen values are sorted by a network of comparisons (Batcher, Sorting networks and their applications, AFIPS
1968): each comparison is one elementwise minimum and maximum over all sets, which is far quicker than sorting every set
by itself, and gives the same whatever else is in the batch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["middles", "sort_first_axis"]


@lru_cache
def _comparisons(size: int) -> tuple[tuple[int, int], ...]:
    """Return the pairs of places to compare, in order: Batcher's odd-even merge sort (Knuth, TAOCP 3, 5.2.2 M)."""
    pairs = []
    span = 1
    while span < size:
        apart = span
        while apart:
            for start in range(apart % span, size - apart, 2 * apart):
                for low in range(start, min(start + apart, size - apart)):
                    if low // (2 * span) == (low + apart) // (2 * span):
                        pairs.append((low, low + apart))
            apart //= 2
        span *= 2
    return tuple(pairs)


def sort_first_axis(values: NDArray[Any]) -> None:
    """Sort values (K, ...) along the first axis, in place, smallest first; there must be no NaN."""
    lower = np.empty_like(values[0])
    for low, high in _comparisons(len(values)):
        np.minimum(values[low], values[high], out=lower)
        np.maximum(values[low], values[high], out=values[high])
        values[low] = lower


def middles(
    ordered: NDArray[Any], first: NDArray[np.intp], count: NDArray[np.intp]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the two middle ones of `count` (...) values from place `first` (...) on, in sorted values (K, ...).

    Where the count is odd they are the same; where it is 0 they mean nothing.
    """
    size = ordered[0].size
    flat, column = ordered.reshape(-1), np.arange(size).reshape(ordered.shape[1:])
    last = np.maximum(count - 1, 0)
    low = np.minimum(first + last // 2, len(ordered) - 1) * size + column
    high = np.minimum(first + (last + 1) // 2, len(ordered) - 1) * size + column
    return flat[low], flat[high]
