"""From a chunk's outcome to records of the public topics: values as JSON, CloudEvents headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agents import cloudevents
from agents.control import CommandFaulty, CommandSaid
from agents.decoding import StayChange
from agents.episodes import KINDS
from agents.messages import ALERT_TYPE, OBEYED_TYPE, SCORE_TYPE, STAY_TYPE, AlertEvent, RiskScore
from agents.outputs import utc
from agents.rejection import Rejection
from agents.sending import Outgoing

__all__ = [
    "alert_records",
    "alert_state_records",
    "alert_state_tombstones",
    "appended_record",
    "rejected_record",
    "rejected_stub",
    "score_records",
    "score_tombstones",
]

LARGEST_REJECTED_BYTES = 8 * 1024 * 1024  # below the topic's own limit, with room for the headers that are added
_LARGEST_STUB_KEY_BYTES = 1024
_NOBODY: Mapping[str, int] = {}

_encode = msgspec.json.Encoder().encode


def alert_records(alerts: Sequence[AlertEvent]) -> list[Outgoing]:
    """Return the records of alerts.events.v1, in order."""
    return [_alert_record(alert) for alert in alerts]


def alert_state_records(alerts: Sequence[AlertEvent], erased: Mapping[str, int] = _NOBODY) -> list[Outgoing]:
    """Return the records of alerts.state.v1: each patient's alert of each kind as the chunk leaves it.

    The key is the patient id, with the kind after a colon where it is a technical one. Of a patient in `erased` nothing
    is told that was decided up to that offset.
    """
    latest = {
        (alert.patient_id, alert.kind): alert
        for alert in alerts
        if alert.transition != "rejected" and alert.log.offset > erased.get(alert.patient_id, -1)
    }
    return [
        (_state_key(key or b"", alert.kind), value, headers)
        for alert, (key, value, headers) in ((alert, _alert_record(alert)) for alert in latest.values())
    ]


def alert_state_tombstones(keys: Sequence[bytes]) -> list[Outgoing]:
    """Return what takes patients who are gone for good off alerts.state.v1."""
    return [(_state_key(key, kind), None, ()) for key in keys for kind in KINDS]


def _state_key(patient: bytes, kind: str) -> bytes:
    return patient if kind == KINDS[0] else patient + b":" + kind.encode()


def _alert_record(alert: AlertEvent) -> Outgoing:
    headers = cloudevents.headers(
        event_id=alert.event_id,
        event_type=ALERT_TYPE.format(transition=alert.transition),
        source=cloudevents.SOURCE,
        time=alert.occurred_at,
        subject=alert.patient_id,
    )
    return alert.patient_id.encode(), _encode(alert), headers


def score_records(scores: Sequence[RiskScore], erased: Mapping[str, int] = _NOBODY) -> list[Outgoing]:
    """Return the records of risk.scores.v1, in order, but for those of `erased` patients up to that offset."""
    return [
        (
            score.patient_id.encode(),
            _encode(score),
            cloudevents.headers(
                event_id=_score_id(score),
                event_type=SCORE_TYPE,
                source=cloudevents.SOURCE,
                time=score.time,
                subject=score.patient_id,
            ),
        )
        for score in scores
        if score.source.offset > erased.get(score.patient_id, -1)
    ]


def score_tombstones(keys: Sequence[bytes]) -> list[Outgoing]:
    """Return what takes patients who are gone for good off risk.scores.v1."""
    return [(key, None, ()) for key in keys]


def _score_id(score: RiskScore) -> str:
    """Return the score's id: a long list of closed steps comes in several messages from one source record."""
    return f"{score.source.partition}:{score.source.offset}:{score.stay_id}:{score.first_step}"


def appended_record(record: Any, said: StayChange | CommandSaid | CommandFaulty) -> Outgoing:
    """Return an admission event or a command as it goes into the patient's log: its own bytes, and where it stood."""
    if isinstance(said, CommandSaid):
        own_id: str | None = said.command.command_id
        event_type, time = OBEYED_TYPE, said.command.time
    elif isinstance(said, CommandFaulty):
        own_id, event_type, time = said.command.command_id, OBEYED_TYPE, utc(said.time_ms)
    else:
        own_id, event_type, time = said.admission.event_id, STAY_TYPE, said.admission.time
    headers = cloudevents.headers(
        event_id=own_id or f"{record.partition}:{record.offset}",
        event_type=event_type,
        source=f"/{record.topic}/{record.partition}/{record.offset}",
        time=time,
        subject=said.patient_id,
    )
    others = [(name, value) for name, value in record.headers if not name.startswith("ce_") and name != "content-type"]
    return record.key, record.value, [*headers, *others]


def rejected_record(record: Any, rejection: Rejection) -> Outgoing:
    """Return a refused record as it came, with the reason and its place in headers added.

    One that is too large for the topic (it came compressed) is not carried over: its digest, size and place are.
    """
    size = len(record.key or b"") + len(record.value or b"") + sum(len(n) + len(v or b"") for n, v in record.headers)
    return rejected_stub(record, rejection) if size > LARGEST_REJECTED_BYTES else _as_it_came(record, rejection)


def rejected_stub(record: Any, rejection: Rejection) -> Outgoing:
    """Return what stands for a refused record that the topic cannot take."""
    value = record.value or b""
    headers = [
        ("rejected_value_bytes", str(len(value)).encode()),
        ("rejected_value_sha256", hashlib.sha256(value).hexdigest().encode()),
    ]
    key = record.key if len(record.key or b"") <= _LARGEST_STUB_KEY_BYTES else None
    return key, None, [*headers, *_place(record, rejection)]


def _as_it_came(record: Any, rejection: Rejection) -> Outgoing:
    return record.key, record.value, [*record.headers, *_place(record, rejection)]


def _place(record: Any, rejection: Rejection) -> list[tuple[str, bytes | None]]:
    return [
        ("rejected_reason", rejection.reason.encode()),
        ("rejected_detail", rejection.detail.encode()),
        ("rejected_topic", record.topic.encode()),
        ("rejected_partition", str(record.partition).encode()),
        ("rejected_offset", str(record.offset).encode()),
        ("rejected_timestamp", str(record.timestamp).encode()),
    ]
