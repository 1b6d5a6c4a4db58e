"""The reference: one pass of the pure core over the log that the broker kept, without transport, table or Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from kafka.partitioner.default import murmur2

from agents.clock import ERASE, LET_GO
from agents.core import Core
from agents.decoding import Limits
from agents.policy import Policy, load_policy
from agents.rebuilding import Rebuilding
from agents.recent_log import Feed, LogPart
from models.artifact import load_model
from tests.chaos.evidence import Record

__all__ = [
    "Alert",
    "ClosedSteps",
    "LastWords",
    "Oracle",
    "Place",
    "Reference",
    "collect_closed",
    "default_core",
    "plain",
    "without_source",
]

_TAKES_AWAY = tuple(f'"{what}"'.encode() for what in (ERASE, LET_GO))
_PASS_RECORDS = 997  # no multiple of anything that the workers use: results must not depend on it
Place = tuple[int, int]  # partition, offset
Alert = dict[str, Any]
ClosedSteps = dict[tuple[str, str, int], set[float]]  # patient, stay, step: the risks that were given
LastWords = dict[tuple[int, bytes], Alert | None]  # by partition and key; None where it was taken away
_SEPSIS = "sepsis_risk"  # an alert of this kind stands under the patient's id alone
_TECHNICAL = ("cannot_assess", "monitoring_lost")
# Of a score: what tells where the chunk ended that it came from, and what was closed or made anew within that chunk.
_OF_THE_CHUNK = ("source", "closed", "rebuilt")


@dataclass
class Reference:
    """What the log means."""

    alerts: dict[str, Alert] = field(default_factory=dict)  # by event_id, without published_at
    closed: ClosedSteps = field(default_factory=dict)
    states: dict[bytes, bytes] = field(default_factory=dict)
    rejected: dict[Place, set[str]] = field(default_factory=dict)  # place in the log: reasons
    let_go: set[bytes] = field(default_factory=set)  # keys of whom, somewhere in the log, nothing was kept any more
    alert_state: LastWords = field(default_factory=dict)  # of each patient's alert of each kind the last event
    last_scores: LastWords = field(default_factory=dict)
    replayed: int = 0


def plain(value: bytes | None) -> Alert:
    """Return the JSON object of a record's value, without what the wall clock put into it."""
    body: Alert = msgspec.json.decode(value or b"null")
    body.pop("published_at", None)
    return body


def without_source(score: Mapping[str, Any]) -> Alert:
    """Return what a score says of the patient, whichever chunk it came from."""
    return {name: value for name, value in score.items() if name not in _OF_THE_CHUNK}


def collect_closed(score: Mapping[str, Any], into: ClosedSteps) -> None:
    """Add the closed steps of a score."""
    for step in score["closed"]:
        into.setdefault((score["patient_id"], score["stay_id"], step["step"]), set()).add(step["risk"])


def default_core(
    partitions: int, model: str = "bedside", policy: Policy | None = None, units: Mapping[str, Policy] | None = None
) -> Core:
    """Return the core of a worker with the settings that the suite gives it."""

    def partition_of(key: bytes) -> int:
        return int((murmur2(key) & 0x7FFFFFFF) % partitions)

    return Core(load_model(model), policy or load_policy(), Limits(), units=units, right_partition=partition_of)


class Oracle:
    """Works off the log by one core after the other: `eras` holds where each takes over.

    An era is a core and the offset in each partition from which on it decides; the first one starts at 0 everywhere.
    """

    def __init__(
        self,
        core: Core,
        later: Sequence[tuple[Mapping[int, int], Core]] = (),
        *,
        pass_records: int = _PASS_RECORDS,
    ) -> None:
        self._core, self._later, self._pass_records = core, later, pass_records

    def run(self, log: Iterable[Record], seeded: Mapping[bytes, bytes] | None = None) -> Reference:
        """Return what the log means; `seeded` are the states that were there before it began."""
        reference = Reference(states=dict(seeded or {}))
        for partition, records in _by_partition(log).items():
            own = {record.key for record in records}

            def items_of(_: int, own: set[bytes | None] = own) -> list[tuple[bytes, bytes]]:
                return [(key, state) for key, state in reference.states.items() if key in own]

            for core, part in self._eras(partition, records):
                deciding = Rebuilding(core, _reader(records), items_of)
                for records_of_pass in _passes(part, self._pass_records):
                    self._pass(deciding, partition, records_of_pass, reference)
        return reference

    def _eras(self, partition: int, records: list[Record]) -> Iterable[tuple[Core, list[Record]]]:
        bounds = [0, *(starts.get(partition, 0) for starts, _ in self._later)]
        cores = [self._core, *(core for _, core in self._later)]
        for core, begin, end in zip(cores, bounds, [*bounds[1:], None], strict=True):
            yield core, [r for r in records if r.offset >= begin and (end is None or r.offset < end)]

    @staticmethod
    def _pass(deciding: Rebuilding, partition: int, records: Sequence[Record], reference: Reference) -> None:
        outcome = deciding.process(partition, records, reference.states.get)
        outcome.store_in(reference.states)
        reference.let_go.update(key for key, state in outcome.states.items() if state is None)
        reference.replayed += outcome.replayed
        for key in outcome.forgotten:
            reference.last_scores[partition, key] = None
            for name in (key, *(key + f":{kind}".encode() for kind in _TECHNICAL)):
                reference.alert_state[partition, name] = None
        for _, event in outcome.alerts:
            alert = reference.alerts[event.event_id] = plain(msgspec.json.encode(event))
            if event.transition != "rejected" and event.log.offset > outcome.erased.get(event.patient_id, -1):
                of_kind = "" if event.kind == _SEPSIS else f":{event.kind}"
                reference.alert_state[partition, f"{event.patient_id}{of_kind}".encode()] = alert
        for score in outcome.scores:
            if score.source.offset <= outcome.erased.get(score.patient_id, -1):
                continue  # of whom is erased nothing is told any more
            said = msgspec.json.decode(msgspec.json.encode(score))
            collect_closed(said, reference.closed)
            reference.last_scores[partition, score.patient_id.encode()] = said
        for i, rejection in outcome.rejected:
            reference.rejected.setdefault((partition, records[i].offset), set()).add(rejection.reason)


def _passes(records: Sequence[Record], longest: int) -> Iterator[Sequence[Record]]:
    """Cut records into passes. What takes a patient away stands alone: what comes before and after must not hide it."""
    begin = 0
    for at, record in enumerate(records):
        alone = any(what in (record.value or b"") for what in _TAKES_AWAY)
        for end in (at, at + 1) if alone else (at + 1,) if at + 1 - begin == longest else ():
            if end > begin:
                yield records[begin:end]
                begin = end
    if begin < len(records):
        yield records[begin:]


def _reader(log: Sequence[Record]) -> Callable[[int, LogPart, Callable[[bool], Feed]], int]:
    """Return what gives a part of this log again, as a worker reads it from the broker."""

    def read(_: int, part: LogPart, begin: Callable[[bool], Feed]) -> int:
        start = next((record.offset for record in log if record.timestamp >= part.from_ms), part.until)
        records = [record for record in log if max(start, part.first) <= record.offset < part.until]
        begin(True)(records)
        return len(records)

    return read


def _by_partition(log: Iterable[Record]) -> dict[int, list[Record]]:
    parts: dict[int, list[Record]] = {}
    for record in log:
        parts.setdefault(record.partition, []).append(record)
    return parts
