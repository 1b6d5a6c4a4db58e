"""What Prometheus reads of a `Distribution` is what it would read of prometheus-client's own histogram."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from monitor.catalogue import CATALOGUE
from monitor.distribution import Distribution

BOUNDS = (0.005, 0.1, 1.0, 86_400.0)
VALUES = (0.001, 0.005, 0.0051, 0.1, 0.5, 86_400.0, 86_400.5, 1e9, 0.0)


def read(registry: CollectorRegistry) -> str:
    """Return the page, but for the moment at which a histogram was made."""
    return re.sub(r"(?m)^(\w+_created) \S+$", r"\1", generate_latest(registry).decode())


def both(bounds: tuple[float, ...]) -> tuple[CollectorRegistry, Distribution, CollectorRegistry, Histogram]:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    made = Distribution("waits_seconds", "How long.", bounds, ours)
    return ours, made, theirs, Histogram("waits_seconds", "How long.", buckets=bounds, registry=theirs)


@pytest.mark.parametrize("bounds", sorted({metric.buckets for metric in CATALOGUE if metric.kind == "histogram"}))
def test_an_empty_one_reads_as_prometheus_clients_own(bounds: tuple[float, ...]) -> None:
    ours, _, theirs, _ = both(bounds)
    assert read(ours) == read(theirs)


def test_values_one_by_one_and_all_at_once_read_as_prometheus_clients_own() -> None:
    ours, made, theirs, histogram = both(BOUNDS)
    for value in VALUES * 2:
        histogram.observe(value)
    for value in VALUES:
        made.observe(value)
    made.observe_all(VALUES)
    made.observe_all(())
    assert read(ours) == read(theirs)


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    Distribution("waits_seconds", "How long.", BOUNDS, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("waits_seconds", "How long.", registry=registry)
