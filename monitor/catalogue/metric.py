"""What stands in the catalogue of one metric, and the bounds that histograms share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["AGES", "DURATIONS", "LATENCIES", "PREFIX", "SIZES", "Metric"]

PREFIX = "sepsis_monitor_"

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
AGES = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SIZES = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)


@dataclass(frozen=True)
class Metric:
    """One metric: its full name as scraped, what it counts, and which label values exist from the start."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    children: tuple[tuple[str, ...], ...] = ()  # label values known beforehand, in the order of `labels`
