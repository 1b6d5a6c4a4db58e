"""A run without a fault, made without a broker: what the judge itself is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from agents import publishing
from agents.sending import Outgoing
from monitor.replay import ReplayOptions, ReplayStream
from tests.chaos.evidence import Evidence, Noted, Record
from tests.chaos.oracle import default_core
from tests.e2e.ward import PARTITIONS, real_stays

__all__ = ["honest_run"]

_CHUNK = 40
_NOW = datetime(2026, 11, 24, tzinfo=UTC)


def _log() -> list[Record]:
    """Return the log of some stays, one partition after the other, with a bad record in it."""
    core = default_core(PARTITIONS)
    assert core._right_partition is not None
    messages = [
        m for m in ReplayStream(real_stays(30, 1), ReplayOptions(), _NOW).messages() if m.topic == "observations"
    ]
    parts: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for message in messages:
        number = core._right_partition(message.key)
        values = [message.value, b"not JSON"] if len(parts[number]) == 7 else [message.value]
        for value in values:
            at = len(parts[number])
            parts[number].append(Record("vitals.observations.v1", number, at, message.time * 1000, message.key, value))
    return [record for part in parts for record in part]


def _kept(topic: str, partition: int, records: Sequence[Outgoing], into: list[Record]) -> None:
    for key, value, headers in records:
        offset = sum(record.partition == partition for record in into)
        into.append(Record(topic, partition, offset, 0, key, value, tuple(headers)))


def honest_run() -> Evidence:
    """Return what workers would leave behind: chunk after chunk, the third one of each partition done twice."""
    core, log = default_core(PARTITIONS), _log()
    alerts: list[Record] = []
    state: list[Record] = []
    scores: list[Record] = []
    rejected: list[Record] = []
    changelog: list[Record] = []
    stored: dict[bytes, bytes] = {}
    for number in range(PARTITIONS):
        part = [record for record in log if record.partition == number]
        chunks = [part[at : at + _CHUNK] for at in range(0, len(part), _CHUNK)]
        for i, chunk in enumerate(chunks):
            outcome = core.process(number, chunk, stored.get)
            events = [msgspec.structs.replace(event, published_at=str(i)) for _, event in outcome.alerts]
            for _ in range(2 if i == 2 else 1):  # killed before the state was written: everything again
                _kept("alerts.events.v1", number, publishing.alert_records(events), alerts)
                _kept("risk.scores.v1", number, publishing.score_records(outcome.scores), scores)
                _kept("alerts.state.v1", number, publishing.alert_state_records(events), state)
                refused = [publishing.rejected_record(chunk[at], why) for at, why in outcome.rejected]
                _kept("vitals.rejected.v1", number, refused, rejected)
            _kept("changelog", number, [(key, value, ()) for key, value in outcome.states.items()], changelog)
            outcome.store_in(stored)
    noted = [Noted(record.topic, record.partition, record.offset, record.key, record.value) for record in log]
    return Evidence(log, alerts, state, scores, rejected, changelog, noted, list(alerts))
