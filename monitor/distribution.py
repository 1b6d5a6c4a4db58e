"""A histogram for Prometheus that takes many values at once.

prometheus-client's own takes one value at a time, under a lock for each; with a risk an observation that was a call for
each observation of a chunk.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily

__all__ = ["Distribution"]


class Distribution:
    """Counts values by upper bounds, without labels; read as prometheus-client's `Histogram` is, from any thread."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._meaning, self._bounds = name, meaning, tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)  # the last is of what exceeds every bound
        self._sum = 0.0
        self._created = time.time()
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count one value."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def observe_all(self, values: Sequence[float]) -> None:
        """Count values, at hardly more than the price of one."""
        if not values:
            return
        amounts = np.asarray(values, dtype=np.float64)
        places = np.searchsorted(self._bounds, amounts)
        found = np.bincount(places, minlength=len(self._counts)).tolist()
        with self._lock:
            self._counts = [before + more for before, more in zip(self._counts, found, strict=True)]
            self._sum += float(amounts.sum())

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Yield the name, for the registry."""
        yield HistogramMetricFamily(self._name, self._meaning)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield what was counted, as one moment saw it."""
        with self._lock:
            counts, total = self._counts.copy(), self._sum
        names = [*map(repr, self._bounds), "+Inf"]
        up_to = np.cumsum(counts).astype(np.float64).tolist()
        family = HistogramMetricFamily(self._name, self._meaning, list(zip(names, up_to, strict=True)), total)
        family.add_sample(f"{self._name}_created", {}, self._created)
        yield family
