"""The metrics against their catalogue, as Prometheus would read them."""

from __future__ import annotations

import re
import time
from collections import abc
from typing import Any, get_origin, get_type_hints

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agents.intake import Intake
from agents.observer import ChunkReport, Observer, Status
from agents.rejection import REASONS
from agents.ward import WardCounts
from monitor.catalogue import CATALOGUE, PREFIX, PROCESS_CATALOGUE
from monitor.metrics import Metrics

FORBIDDEN = re.compile("patient|stay|alert_id|bed|name_of", re.IGNORECASE)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[PREFIX + name, tuple(sorted(labels.items()))]


def test_all_that_is_exported_stands_in_the_catalogue_and_the_other_way_round(metrics: Metrics) -> None:
    exported = {family.name for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())}
    exported = {name for name in exported if not name.endswith("_created")}
    catalogue = CATALOGUE + PROCESS_CATALOGUE
    assert exported == {metric.name.removesuffix("_total") for metric in catalogue}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        assert family.documentation


def test_names_follow_the_rules() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert metric.name.startswith(PREFIX)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.kind == "info") == metric.name.endswith("_info")
        assert (metric.kind == "histogram") == bool(metric.buckets)
        assert metric.meaning.endswith(".") or metric.meaning.endswith("1.")
        assert "milli" not in metric.name


def test_no_label_tells_a_patient_a_stay_an_alert_or_a_bed(metrics: Metrics) -> None:
    for metric in CATALOGUE:
        assert not [label for label in metric.labels if FORBIDDEN.search(label)]
    for _, labels in samples(metrics):
        assert not [label for label, _ in labels if FORBIDDEN.search(label)]


def test_children_that_are_known_read_zero_before_anything_happens(metrics: Metrics) -> None:
    for reason in REASONS:
        assert value(metrics, "observations_rejected_total", reason=reason) == 0
    assert value(metrics, "alerts_total", kind="sepsis_risk", transition="raised", priority="medium") == 0
    assert value(metrics, "records_total") == 0


def test_a_chunk_is_counted_in_full(metrics: Metrics) -> None:
    report = ChunkReport(
        records=12,
        accepted=7,
        repeated=2,
        superseded=1,
        rejected={"not_json": 2},
        steps_closed=5,
        risks=4,
        alerts={("sepsis_risk", "raised", "medium"): 1},
        state_resets={"damaged": 3},
        model_seconds=0.004,
        seconds=0.03,
        append_to_alert_seconds=(0.2,),
        append_to_risk_seconds=(0.2, 0.3),
        time_to_alert_seconds=(40.0,),
    )
    metrics.chunk_done(report)
    metrics.chunk_done(report)
    expected = {
        "records_total": 24,
        "observations_accepted_total": 14,
        "observations_repeated_total": 4,
        "observations_superseded_total": 2,
        "steps_closed_total": 10,
        "risks_computed_total": 8,
        "batch_records_sum": 24,
        "batch_seconds_count": 2,
        "model_seconds_sum": 0.008,
        "append_to_alert_seconds_count": 2,
        "append_to_risk_seconds_count": 4,
        "time_to_alert_seconds_sum": 80,
    }
    for name, amount in expected.items():
        assert value(metrics, name) == pytest.approx(amount), name
    assert value(metrics, "observations_rejected_total", reason="not_json") == 4
    assert value(metrics, "state_resets_total", reason="damaged") == 6
    assert value(metrics, "alerts_total", kind="sepsis_risk", transition="raised", priority="medium") == 2


def test_every_field_of_a_report_ends_in_a_metric(metrics: Metrics) -> None:
    def shown() -> dict[Any, float]:
        moving = ("last_chunk_timestamp", "_process_", "batch_", "_created")  # whatever the report says
        return {key: value for key, value in samples(metrics).items() if not any(part in key[0] for part in moving)}

    intake = Intake(np.ones(7), np.ones(7), np.ones(7), np.ones(7))
    examples: dict[Any, Any] = {int: 1, float: 1.0, tuple: (1.0,), abc.Mapping: {"reason": 1}, Intake: intake}
    for name, kind in get_type_hints(ChunkReport).items():
        before = shown()
        example = {("k", "t", "p"): 1} if name == "alerts" else examples[get_origin(kind) or kind]
        fields: dict[str, Any] = {name: example}
        metrics.chunk_done(ChunkReport(**fields))
        assert shown() != before, name


def test_the_ward_and_the_last_recovery_are_shown(metrics: Metrics) -> None:
    observer: Observer = metrics
    observer.ward_counted(WardCounts(21, 20, 3, 1, {("sepsis_risk", "active", "medium"): 2}), state_bytes=4096)
    observer.recovered(1.5, 20)
    observer.recovering(7, 21_000)
    assert (value(metrics, "recovered_patients"), value(metrics, "recovered_bytes")) == (7, 21_000)
    observer.recovered(0.5, 10)
    shown = ("patients_watched", "patients_unassessable", "patients_silent", "state_bytes", "recovery_seconds")
    assert [value(metrics, name) for name in shown] == [20, 3, 1, 4096, 0.5]
    open_alerts = {
        labels: amount for (name, labels), amount in samples(metrics).items() if name.endswith("open_alerts") and amount
    }
    assert open_alerts == {(("kind", "sepsis_risk"), ("phase", "active"), ("priority", "medium")): 2}
    assert (value(metrics, "recoveries_total"), value(metrics, "recovered_patients")) == (2, 10)


def test_the_lag_of_a_partition_that_left_is_shown_no_longer(metrics: Metrics) -> None:
    metrics.lag_measured(0, 17)
    metrics.lag_measured(1, 0)
    metrics.lag_measured(0, -1)
    metrics.lag_measured(2, -1)
    lag = {labels: amount for (name, labels), amount in samples(metrics).items() if "lag_records" in name}
    assert lag == {(("partition", "1"),): 0}


def test_thresholds_are_those_of_the_units_that_were_shown_last(metrics: Metrics) -> None:
    metrics.thresholds_shown({"(all others)": 0.02, "MICU": 0.03})
    metrics.thresholds_shown({"(all others)": 0.02, "SICU": 0.04})
    assert value(metrics, "raise_threshold", unit="SICU") == 0.04
    shown = {dict(labels)["unit"] for name, labels in samples(metrics) if name == PREFIX + "raise_threshold"}
    assert shown == {"(all others)", "SICU"}


def test_model_and_policy_are_identified_once(metrics: Metrics) -> None:
    metrics.identify(model=("bedside", "1.0.0", "sha256:a"), policy=("pager", "1", "sha256:b"))
    metrics.identify(model=("bedside", "1.1.0", "sha256:c"), policy=("pager", "1", "sha256:b"))
    models = [dict(labels) for name, labels in samples(metrics) if "model_info" in name]
    assert models == [{"name": "bedside", "version": "1.1.0", "digest": "sha256:c"}]


def test_which_unit_has_which_policy_is_one_digest(metrics: Metrics) -> None:
    def digest(**units: str) -> tuple[str, str]:
        metrics.identify(model=("m", "1", "a"), policy=("p", "1", "b"), units=units)
        ((_, labels),) = (each for each in samples(metrics) if each[0] == PREFIX + "unit_policies_info")
        return dict(labels)["units"], dict(labels)["digest"]

    assert digest(MICU="sha256:a", SICU="sha256:b") == digest(SICU="sha256:b", MICU="sha256:a")
    assert digest()[0] == "0"
    assert len({digest(), digest(MICU="sha256:a"), digest(SICU="sha256:a"), digest(MICU="sha256:b")}) == 4


def test_what_readyz_says_is_shown_at_each_scrape(metrics: Metrics) -> None:
    status = Status(live=True, ready=False, failing=("broker",))
    metrics.watch(lambda: status)
    assert (value(metrics, "ready"), value(metrics, "failing_checks", check="broker")) == (0, 1)
    status = Status(live=True, ready=True)
    assert (value(metrics, "ready"), value(metrics, "failing_checks", check="broker")) == (1, 0)


def test_the_clocks_of_a_worker_are_shown(metrics: Metrics) -> None:
    assert value(metrics, "last_chunk_timestamp_seconds") == value(metrics, "loop_timestamp_seconds") == 0
    now = time.time()
    metrics.loop_turned()
    metrics.chunk_done(ChunkReport())
    metrics.ward_counted(
        WardCounts(1, 1, 0, 0, {}, {"sepsis_risk": 1_795_341_600_000}, 1_795_341_700_000), state_bytes=1
    )
    assert value(metrics, "loop_timestamp_seconds") >= now
    assert value(metrics, "last_chunk_timestamp_seconds") >= now
    assert value(metrics, "oldest_unacknowledged_timestamp_seconds", kind="sepsis_risk") == 1_795_341_600
    assert value(metrics, "newest_observation_timestamp_seconds") == 1_795_341_700
    metrics.ward_counted(WardCounts(1, 1, 0, 0, {}), state_bytes=1)
    assert value(metrics, "oldest_unacknowledged_timestamp_seconds", kind="sepsis_risk") == 0


def test_what_hours_brought_is_counted_by_vital_sign(metrics: Metrics) -> None:
    metrics.chunk_done(ChunkReport(intake=Intake(np.full(7, 2.0), np.full(7, 3.0), np.full(7, 0.5), np.full(7, 8.0))))
    assert value(metrics, "input_steps_total", vital_sign="temperature") == 2
    assert value(metrics, "input_deviations_total", vital_sign="temperature", side="above") == 3
    assert value(metrics, "input_deviations_total", vital_sign="temperature", side="below") == 0.5
    assert value(metrics, "input_squared_deviations_total", vital_sign="temperature") == 8
