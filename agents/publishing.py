"""From a chunk's outcome to records of the public topics: values as JSON, CloudEvents headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agents import cloudevents
from agents.decoding import StayChange
from agents.messages import ALERT_TYPE, SCORE_TYPE, STAY_TYPE, AlertEvent, RiskScore
from agents.rejection import Rejection
from agents.sending import Outgoing

__all__ = ["alert_records", "alert_state_records", "appended_record", "rejected_record", "score_records"]

_SOURCE = "/sepsis-monitor"
_encode = msgspec.json.Encoder().encode


def alert_records(alerts: Sequence[AlertEvent]) -> list[Outgoing]:
    """Return the records of alerts.events.v1, in order."""
    return [_alert_record(alert) for alert in alerts]


def alert_state_records(alerts: Sequence[AlertEvent]) -> list[Outgoing]:
    """Return the records of alerts.state.v1: the last transition of each patient in the chunk."""
    latest = {alert.patient_id: alert for alert in alerts}
    return [_alert_record(alert) for alert in latest.values()]


def _alert_record(alert: AlertEvent) -> Outgoing:
    headers = cloudevents.headers(
        event_id=alert.event_id,
        event_type=ALERT_TYPE.format(transition=alert.transition),
        source=_SOURCE,
        time=alert.occurred_at,
        subject=alert.patient_id,
    )
    return alert.patient_id.encode(), _encode(alert), headers


def score_records(scores: Sequence[RiskScore]) -> list[Outgoing]:
    """Return the records of risk.scores.v1, in order."""
    return [
        (
            score.patient_id.encode(),
            _encode(score),
            cloudevents.headers(
                event_id=f"{score.source.partition}:{score.source.offset}:{score.stay_id}",
                event_type=SCORE_TYPE,
                source=_SOURCE,
                time=score.time,
                subject=score.patient_id,
            ),
        )
        for score in scores
    ]


def appended_record(change: StayChange, topic: str, partition: int, offset: int) -> Outgoing:
    """Return an admission event as it goes into the patient's log: with its place in the admissions topic."""
    said = change.admission
    headers = cloudevents.headers(
        event_id=said.event_id or f"{partition}:{offset}",
        event_type=STAY_TYPE,
        source=f"/{topic}/{partition}/{offset}",
        time=said.time,
        subject=said.patient_id,
    )
    return said.patient_id.encode(), _encode(said), headers


def rejected_record(record: Any, rejection: Rejection) -> Outgoing:
    """Return a refused record as it came, with the reason and its place in headers added."""
    headers: list[tuple[str, bytes | None]] = list(record.headers)
    headers += [
        ("rejected_reason", rejection.reason.encode()),
        ("rejected_detail", rejection.detail.encode()),
        ("rejected_topic", record.topic.encode()),
        ("rejected_partition", str(record.partition).encode()),
        ("rejected_offset", str(record.offset).encode()),
        ("rejected_timestamp", str(record.timestamp).encode()),
    ]
    return record.key, record.value, headers
