"""The metrics of a worker, kept for Prometheus: an observer that fills the catalogue.

Children whose labels are known are made at the start, so that a counter reads 0 before its first event and a rate over
it is right.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from agents.episodes import KINDS
from agents.intake import Intake
from agents.observer import CHECKS, ChunkReport, Status
from agents.ward import WardCounts
from models.vital_signs import NAMES
from monitor.catalogue import CATALOGUE, OPEN_ALERTS, PREFIX, Metric
from monitor.distribution import Distribution

__all__ = ["Instruments", "Metrics"]


class Instruments:
    """The counters, gauges and histograms of a catalogue in one registry, by their names without the prefix.

    The registry gets what prometheus-client's collector says of the process, too.
    """

    def __init__(self, catalogue: tuple[Metric, ...], registry: CollectorRegistry) -> None:
        self._registry = registry
        self.counters: dict[str, Counter] = {}
        self.gauges: dict[str, Gauge] = {}
        self.histograms: dict[str, Distribution] = {}
        for metric in catalogue:
            self._make(metric)
        ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)

    def _make(self, metric: Metric) -> None:
        short = metric.name.removeprefix(PREFIX)
        if metric.kind == "histogram":
            self.histograms[short] = Distribution(metric.name, metric.meaning, metric.buckets, self._registry)
            return
        made: Counter | Gauge
        if metric.kind == "counter":
            made = self.counters[short] = Counter(metric.name, metric.meaning, metric.labels, registry=self._registry)
        else:
            made = self.gauges[short] = Gauge(metric.name, metric.meaning, metric.labels, registry=self._registry)
        for values in metric.children:
            child = made.labels(*values)
            if metric.kind == "info" and isinstance(child, Gauge):
                child.set(1)


class Metrics:
    """An `agents.observer.Observer` that counts into a registry of its own; safe to scrape from other threads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        made = Instruments(CATALOGUE, self.registry)
        self._counters, self._gauges, self._histograms = made.counters, made.gauges, made.histograms

    def identify(
        self,
        *,
        model: tuple[str, str, str],
        policy: tuple[str, str, str],
        units: Mapping[str, str] | None = None,
    ) -> None:
        """Say which model and common policy are at work, name, version and digest of each; and those of units.

        `units` has the digests of units' policies, by unit.
        """
        own = sorted((units or {}).items())
        digest = "sha256:" + hashlib.sha256(json.dumps(own).encode()).hexdigest()
        for metric, identity in (
            ("model_info", model),
            ("policy_info", policy),
            ("unit_policies_info", (str(len(own)), digest)),
        ):
            self._gauges[metric].clear()
            self._gauges[metric].labels(*identity).set(1)

    def watch(self, status: Callable[[], Status]) -> None:
        """Show from now on what `status` says; it is called at each scrape, from the scrape's thread."""
        self._gauges["ready"].set_function(lambda: float(status().ready))
        for check in CHECKS:
            self._gauges["failing_checks"].labels(check).set_function(_failing(status, check))

    def chunk_done(self, report: ChunkReport) -> None:
        """Count what came of one chunk."""
        self._gauges["last_chunk_timestamp_seconds"].set(time.time())
        if report.intake.measured.any():
            self._count_intake(report.intake)
        for name, amount in (
            ("records_total", report.records),
            ("observations_accepted_total", report.accepted),
            ("records_replayed_total", report.replayed),
            ("observations_repeated_total", report.repeated),
            ("observations_superseded_total", report.superseded),
            ("steps_closed_total", report.steps_closed),
            ("risks_computed_total", report.risks),
        ):
            self._counters[name].inc(amount)
        for reason, amount in report.rejected.items():
            self._counters["observations_rejected_total"].labels(reason).inc(amount)
        for reason, amount in report.state_resets.items():
            self._counters["state_resets_total"].labels(reason).inc(amount)
        for labels, amount in report.alerts.items():
            self._counters["alerts_total"].labels(*labels).inc(amount)
        for name, value in (
            ("batch_records", float(report.records)),
            ("batch_seconds", report.seconds),
            ("model_seconds", report.model_seconds),
        ):
            self._histograms[name].observe(value)
        for name, values in (
            ("append_to_risk_seconds", report.append_to_risk_seconds),
            ("append_to_alert_seconds", report.append_to_alert_seconds),
            ("time_to_alert_seconds", report.time_to_alert_seconds),
        ):
            self._histograms[name].observe_all(values)

    def ward_counted(self, counts: WardCounts, state_bytes: int) -> None:
        """Show how many patients this worker watches now, and their open alerts."""
        self._gauges["patients_watched"].set(counts.watched)
        self._gauges["patients_unassessable"].set(counts.unassessable)
        self._gauges["patients_silent"].set(counts.silent)
        for labels in OPEN_ALERTS:
            self._gauges["open_alerts"].labels(*labels).set(counts.open_alerts.get(labels, 0))
        for kind in KINDS:
            since = counts.waiting_since_ms.get(kind, 0) / 1000
            self._gauges["oldest_unacknowledged_timestamp_seconds"].labels(kind).set(since)
        self._gauges["newest_observation_timestamp_seconds"].set(counts.newest_ms / 1000)
        self._gauges["state_bytes"].set(state_bytes)

    def thresholds_shown(self, by_unit: Mapping[str, float]) -> None:
        """Show from which risk on patients of each unit are alerted."""
        self._gauges["raise_threshold"].clear()
        for unit, threshold in by_unit.items():
            self._gauges["raise_threshold"].labels(unit).set(threshold)

    def loop_turned(self) -> None:
        """Show that the event loop turns."""
        self._gauges["loop_timestamp_seconds"].set(time.time())

    def lag_measured(self, partition: int, records: int) -> None:
        """Show how many records of a partition wait; a partition that left this worker is shown no longer."""
        child = self._gauges["consumer_lag_records"].labels(str(partition))
        if records >= 0:
            child.set(records)
        else:
            self._gauges["consumer_lag_records"].remove(str(partition))

    def recovering(self, patients: int, state_bytes: int) -> None:
        """Show how far a recovery has come."""
        self._gauges["recovered_patients"].set(patients)
        self._gauges["recovered_bytes"].set(state_bytes)

    def recovered(self, seconds: float, patients: int) -> None:
        """Show how long the last recovery took."""
        self._counters["recoveries_total"].inc()
        self._gauges["recovery_seconds"].set(seconds)
        self._gauges["recovered_patients"].set(patients)

    def _count_intake(self, intake: Intake) -> None:
        deviations = self._counters["input_deviations_total"]
        for sign, name in enumerate(NAMES):
            self._counters["input_steps_total"].labels(name).inc(float(intake.measured[sign]))
            deviations.labels(name, "above").inc(float(intake.above[sign]))
            deviations.labels(name, "below").inc(float(intake.below[sign]))
            self._counters["input_squared_deviations_total"].labels(name).inc(float(intake.squared[sign]))


def _failing(status: Callable[[], Status], check: str) -> Callable[[], float]:
    return lambda: float(check in status().failing)
