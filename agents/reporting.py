"""What a worker tells the service around it: counts for metrics, one log line for each alert's transition.

Neither holds a patient's id or values: an alert is named by its id and its place in the log.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from agents.checking import parse_time_ms
from agents.observer import ChunkReport, Observer
from agents.outcome import Outcome
from agents.rules import Rules
from agents.ward import Ward

__all__ = ["ALL_OTHERS", "MOST_SHOWN", "UNKNOWN_UNIT", "Reporting"]

_log = structlog.get_logger(__name__)
_PROGRESS_SECONDS = 3.0
MOST_SHOWN = 100  # units whose threshold is reported
ALL_OTHERS, UNKNOWN_UNIT = "(all others)", "(unknown)"  # no unit's name


class Reporting:
    """Passes on what one worker does, and the counts of its ward."""

    def __init__(self, observer: Observer, ward: Ward) -> None:
        self._observer = observer
        self._ward = ward
        self._lag_of: set[int] = set()
        self._told_progress = 0.0
        self._rules: Rules | None = None

    def worked_off(self, records: Sequence[Any], outcome: Outcome, acknowledged: float, seconds: float) -> None:
        """Report records that are done: `acknowledged` is when (epoch seconds), `seconds` is how long it took."""
        now_ms = acknowledged * 1000
        newest = {score.source.offset for score in outcome.scores}
        alerts = [(i, alert) for i, alert in outcome.alerts if not alert.test]  # a canary is no patient
        self._observer.chunk_done(
            ChunkReport(
                records=len(records),
                accepted=outcome.accepted,
                replayed=outcome.replayed,
                repeated=outcome.repeated,
                superseded=outcome.superseded,
                rejected=Counter(rejection.reason for _, rejection in outcome.rejected),
                steps_closed=outcome.steps_closed,
                risks=outcome.risks,
                alerts=Counter((alert.kind, alert.transition, alert.priority) for _, alert in alerts),
                state_resets=outcome.state_resets,
                intake=outcome.intake,
                model_seconds=outcome.model_seconds,
                seconds=seconds,
                append_to_alert_seconds=tuple((now_ms - records[i].timestamp) / 1000 for i, _ in alerts),
                time_to_alert_seconds=tuple(
                    (now_ms - (parse_time_ms(alert.occurred_at) or now_ms)) / 1000 for _, alert in alerts
                ),
                append_to_risk_seconds=tuple(
                    (now_ms - item.timestamp) / 1000 for item in records if item.offset in newest
                ),
            )
        )
        self._log_transitions(records, outcome)

    def refused(self, records: int, reasons: Mapping[str, int]) -> None:
        """Report admission events that have been looked at, and why some were refused."""
        self._observer.chunk_done(ChunkReport(records=records, rejected=reasons))

    def recovering(self, patients: int, state_bytes: int) -> None:
        """Report how far a recovery has come; a log line every few seconds."""
        self._observer.recovering(patients, state_bytes)
        if time.monotonic() - self._told_progress >= _PROGRESS_SECONDS:
            self._told_progress = time.monotonic()
            _log.info("worker_recovering", patients=patients, megabytes=round(state_bytes / 1e6, 1))

    def recovered(self, partitions: set[int], seconds: float, state_bytes: int) -> None:
        """Report that the state of these partitions, and of no others, is here; `state_bytes` were read for it."""
        patients = self._ward.counts().held
        self._observer.recovering(patients, state_bytes)
        _log.info("worker_ready", partitions=sorted(partitions), patients=patients, seconds=round(seconds, 2))
        self._observer.recovered(seconds, patients)

    def count_ward(self, state_bytes: int) -> None:
        """Report that the loop turns, how many stays are watched, silent and unassessable, and the open alerts.

        `state_bytes` are those of all stored records, stubs and settings among them.
        """
        self._observer.loop_turned()
        counts = self._ward.counts()
        self._observer.ward_counted(counts, state_bytes)

    def show_rules(self, rules: Sequence[Rules]) -> None:
        """Report the raise thresholds in force, by the first of these rules; nothing where they were shown last."""
        first = next(iter(rules), None)
        if first is None or first is self._rules:
            return
        self._rules = first
        units = {unit or UNKNOWN_UNIT: first.of_unit(unit).raise_threshold for unit in sorted(first.units)[:MOST_SHOWN]}
        self._observer.thresholds_shown({ALL_OTHERS: first.common.raise_threshold, **units})

    def count_lag(self, lag: Mapping[int, int]) -> None:
        """Report the records that wait, by partition; partitions that have left this worker are taken back."""
        for partition in self._lag_of - lag.keys():
            self._observer.lag_measured(partition, -1)
        for partition, records in lag.items():
            self._observer.lag_measured(partition, records)
        self._lag_of = set(lag)

    @staticmethod
    def _log_transitions(records: Sequence[Any], outcome: Outcome) -> None:
        for i, alert in outcome.alerts:
            _log.info(
                f"alert_{alert.transition}",
                alert_id=alert.alert_id,
                sequence=alert.sequence,
                kind=alert.kind,
                priority=alert.priority,
                partition=records[i].partition,
                offset=records[i].offset,
            )
        for reason, count in outcome.state_resets.items():
            _log.warning("state_reset", reason=reason, patients=count)
