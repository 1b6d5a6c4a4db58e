"""The page of metrics is the catalogue's, and how many series there are does not depend on the patients."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agents.core import Core
from agents.reporting import Reporting
from agents.ward import Ward
from monitor.metrics import Metrics
from monitor.metrics_page import PROGRAMS, page
from tests.agents.logs import BUSY, HOUR, LIMITS, MODEL, START, numbered, observation

_PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_the_catalogues() -> None:
    assert _PAGE.read_text() == page(), "write it anew: python -m monitor.metrics_page > docs/metrics.md"


def test_a_name_stands_in_one_catalogue_only() -> None:
    names = [metric.name for _, _, catalogue in PROGRAMS for metric in catalogue]
    assert len(set(names)) == len(names)


def test_the_number_of_series_does_not_grow_with_the_patients() -> None:
    few, many = _series_after(20), _series_after(20_000)
    assert few == many
    assert len(many) < 700  # a dashboard over a hundred workers is nothing to Prometheus


def _series_after(patients: int) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the names and labels of the samples once so many patients have been seen, a tenth of them in two hours."""
    metrics, ward, core = Metrics(), Ward(), Core(MODEL, BUSY, LIMITS, explains=False)
    metrics.identify(model=(MODEL.name, MODEL.version, MODEL.digest), policy=("pager", "1", "sha256:0"))
    reporting = Reporting(metrics, ward)
    states: dict[bytes, bytes] = {}
    for hour, temperature, count in ((0, 37.0, patients), (1, 39.5, patients // 10)):
        said = [
            observation(f"p{number:05}", START + hour * HOUR, heart_rate=90, temperature=temperature)
            for number in range(count)
        ]
        records = numbered(said, first=hour * patients)
        for begin in range(0, count, 4000):
            outcome = core.process(0, records[begin : begin + 4000], states.get)
            outcome.store_in(states)
            ward.take(0, outcome.states)
            reporting.worked_off(records[begin : begin + 4000], outcome, (START + HOUR) / 1000, 0.1)
    reporting.count_ward(sum(map(len, states.values())))
    reporting.count_lag({0: 0})
    assert ward.counts().watched == patients
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples}
