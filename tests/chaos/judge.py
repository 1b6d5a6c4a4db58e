"""The verdict on a run: what the broker kept, held against the reference, as named anomalies.

Nothing here runs in a worker. Repeats with the same id and the same content are counted and not condemned: delivery is
at least once. An anomaly is a sentence about one record, without the patient's name.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agents.record import source_offset
from tests.chaos.evidence import Evidence, Record
from tests.chaos.last_words import OVERTAKEN, judge_alert_state, judge_last_scores
from tests.chaos.oracle import Alert, ClosedSteps, Reference, collect_closed, plain

__all__ = ["ANOMALIES", "Verdict", "judge"]

ANOMALIES = (
    "lost-alert",  # in the reference, not in the topic, or never seen by the subscriber
    "phantom-alert",  # in the topic, not in the reference
    "changed-alert",  # same id, other content than the reference or than its own repeat
    "lost-event",  # acknowledged and not in the log, or in the log and without its effect
    "double-step",  # a closed step with another risk than the reference: the hidden state advanced too often
    "state-regress",  # the record that recovery will choose, or that a board shows, is not the reference's newest
    "cross-patient",  # something of one patient under the name of another
    "order",  # a live subscriber saw an alert's transitions with a gap or reversed
)

_PATIENT_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")  # other keys hold what is not a patient's


@dataclass
class Verdict:
    """Anomalies by name, and what else was counted."""

    found: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in ANOMALIES})
    observations: int = 0
    alerts: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # of the reference: "kind transition"
    duplicates: int = 0
    repeats: int = 0  # changelog and score records that say again what was said before: work done twice
    broker_lost: int = 0
    overtaken: int = 0  # last words that a suspended worker repeated: admitted, and counted

    @property
    def clean(self) -> bool:
        """Tell whether nothing was found."""
        return not any(self.found.values())

    def counts(self) -> dict[str, int]:
        """Return how many of each anomaly."""
        return {name: len(lines) for name, lines in self.found.items()}

    def add(self, name: str, lines: Iterable[str]) -> None:
        """Add anomalies of one name."""
        self.found[name] += lines


def judge(evidence: Evidence, reference: Reference) -> Verdict:
    """Compare what the broker kept with one undisturbed pass over its own log (`Oracle.run`)."""
    verdict = Verdict(observations=len(evidence.log), alerts=len(reference.alerts))
    verdict.kinds.update(f"{alert['kind']} {alert['transition']}" for alert in reference.alerts.values())
    _judge_alerts(evidence, reference, verdict)
    _judge_last_words(evidence, reference, verdict)
    _judge_subscriber(evidence, verdict)
    _judge_noted(evidence, verdict)
    _judge_states(evidence, reference, verdict)
    _judge_steps(evidence, reference, verdict)
    _judge_rejected(evidence, reference, verdict)
    return verdict


def _name(alert: Alert) -> str:
    return f"{alert['kind']} {alert['transition']} #{alert['sequence']} of log {alert['log']}"


def _judge_alerts(evidence: Evidence, reference: Reference, verdict: Verdict) -> None:
    published: dict[str, Alert] = {}
    for record in evidence.alerts:
        body = plain(record.value)
        if record.key != body["patient_id"].encode():
            verdict.add("cross-patient", [f"{record.place}: an alert under another patient's key"])
        name = body["event_id"]
        before = published.setdefault(name, body)
        verdict.duplicates += before is not body
        wanted = reference.alerts.get(name)
        if wanted is None:
            verdict.add("phantom-alert", [f"{record.place}: {_name(body)}"])
        elif body != wanted:
            fields = sorted(key for key in body.keys() | wanted.keys() if body.get(key) != wanted.get(key))
            verdict.add("changed-alert", [f"{record.place}: {_name(body)} differs in {', '.join(fields)}"])
    lost = reference.alerts.keys() - published.keys()
    if evidence.broker_lost:  # whoever subscribes has had them before the broker lost them
        had = {body["event_id"]: body for body in (plain(record.value) for record in evidence.seen or ())}
        gone = {name for name in lost if had.get(name) == reference.alerts[name]}
        verdict.broker_lost += len(gone)
        lost -= gone
    verdict.add("lost-alert", [_name(reference.alerts[name]) for name in sorted(lost)])


def _judge_last_words(evidence: Evidence, reference: Reference, verdict: Verdict) -> None:
    """Judge what the compacted topics end with, which is what a board shows."""
    for name, line in (
        *judge_alert_state(evidence.alert_state, reference.alert_state, reference.alerts),
        *judge_last_scores(evidence.scores, reference.last_scores),
    ):
        if name != OVERTAKEN:
            verdict.add(name, [line])
        elif evidence.suspended:
            verdict.overtaken += 1
        else:
            verdict.add("state-regress", [line])


def _judge_subscriber(evidence: Evidence, verdict: Verdict) -> None:
    if evidence.seen is None:
        return
    reached: dict[str, int] = {}
    seen: set[str] = set()
    for record in evidence.seen:
        body = plain(record.value)
        if body["event_id"] in seen:
            continue
        seen.add(body["event_id"])
        if body["transition"] == "rejected":  # the answer to a command that moved nothing
            continue
        expected = reached.get(body["alert_id"], 0) + 1
        if body["sequence"] != expected:
            verdict.add("order", [f"{record.place}: {_name(body)} where #{expected} was due"])
        reached[body["alert_id"]] = max(body["sequence"], expected - 1)
    unseen = {plain(record.value)["event_id"] for record in evidence.alerts} - seen
    verdict.add("lost-alert", [f"the subscriber never saw {name}" for name in sorted(unseen)])


def _judge_noted(evidence: Evidence, verdict: Verdict) -> None:
    if not evidence.noted:
        return
    kept = {(record.partition, record.offset): (record.key, record.value) for record in evidence.log}
    somewhere = {(record.partition, record.key, record.value) for record in evidence.log}
    appended = {dict(record.headers).get("ce_source") for record in evidence.log}
    log_topic = evidence.log[0].topic if evidence.log else ""
    lost: list[str] = []
    for noted in evidence.noted:
        at = f"{noted.partition}@{noted.offset}"
        if noted.offset is None:  # what is appended from elsewhere keeps its partition, key and bytes
            if (noted.partition, noted.key, noted.value) not in somewhere:
                lost.append(f"acknowledged as known in partition {noted.partition}, not in the log there")
        elif noted.topic == log_topic:
            if kept.get((noted.partition, noted.offset)) != (noted.key, noted.value):
                lost.append(f"acknowledged at {at}, not in the log there")
        elif f"/{noted.topic}/{noted.partition}/{noted.offset}".encode() not in appended:
            lost.append(f"admission {at} was never appended to its log")
    if evidence.broker_lost:
        verdict.broker_lost += len(lost)
    else:
        verdict.add("lost-event", lost)


def _judge_states(evidence: Evidence, reference: Reference, verdict: Verdict) -> None:
    best = _recovered(evidence, reference, verdict)
    for key, state in reference.states.items():
        if evidence.seeded.get(key) == state:
            continue
        wanted = source_offset(state)
        if key in best and best[key][1].value is None:
            verdict.add("state-regress", [f"{best[key][1].place}: deleted, but the log goes on to offset {wanted}"])
        elif key not in best or best[key][0] < wanted:
            at = best[key][0] if key in best else -1
            verdict.add("lost-event", [f"log offset {wanted} has no effect: the newest state stands at {at}"])
        elif best[key][1].value != state:
            verdict.add("state-regress", [f"{best[key][1].place}: not the reference's state at log offset {wanted}"])
    verdict.add(
        "state-regress", [f"{best[key][1].place}: a state that no log explains" for key in _strangers(best, reference)]
    )


def _recovered(evidence: Evidence, reference: Reference, verdict: Verdict) -> dict[bytes, tuple[int, Record]]:
    """Return the record that recovery will choose for each key, with its log offset; it may be a deletion."""
    best: dict[bytes, tuple[int, Record]] = {}
    said: dict[tuple[bytes, int], bytes] = {}
    for record in evidence.changelog:
        key = record.key
        if key is None or (record.partition, record.offset) in evidence.injected:
            continue
        if record.value is None:
            at = int(dict(record.headers).get("seen") or b"-1")
            always = at < 0  # it does not say what it has seen, and counts for more than all that stands before it
            if key not in reference.let_go:
                verdict.add("state-regress", [f"{record.place}: a deletion that no log explains"])
        else:
            at, always = _judge_state(record, key, record.value, said, verdict), False
        if always or key not in best or at >= best[key][0]:
            best[key] = (at, record)
    return best


def _judge_state(
    record: Record, key: bytes, state: bytes, said: dict[tuple[bytes, int], bytes], verdict: Verdict
) -> int:
    """Judge one state by itself and by what was said before; return the log offset that it stands at."""
    at = source_offset(state)
    if at < 0:
        verdict.add("state-regress", [f"{record.place}: a damaged state"])
    if _PATIENT_ID.fullmatch(key) and key not in state[:96]:  # the head holds the patient's id
        verdict.add("cross-patient", [f"{record.place}: a state under another patient's key"])
    if (key, at) in said:
        verdict.repeats += 1
        if said[key, at] != state:
            verdict.add("state-regress", [f"{record.place}: two different states at log offset {at}"])
    said[key, at] = state
    return at


def _strangers(best: Mapping[bytes, tuple[int, Record]], reference: Reference) -> Iterable[bytes]:
    return {key for key, (_, record) in best.items() if record.value is not None} - reference.states.keys()


def _judge_steps(evidence: Evidence, reference: Reference, verdict: Verdict) -> None:
    published: ClosedSteps = {}
    ids: set[object] = set()
    for record in evidence.scores:
        if record.value is None:  # of whom is forgotten; what is missing, or too much, is counted below
            continue
        body = plain(record.value)
        if record.key != body["patient_id"].encode():
            verdict.add("cross-patient", [f"{record.place}: a score under another patient's key"])
        identity = hashlib.sha256(record.value).digest()
        verdict.repeats += identity in ids
        ids.add(identity)
        collect_closed(body, published)
    for place, risks in published.items():
        wrong = risks - reference.closed.get(place, set())
        if wrong:
            verdict.add(
                "double-step", [f"step {place[2]}: risk {sorted(wrong)} instead of {reference.closed.get(place)}"]
            )
    lost = sum(bool(risks - published.get(place, set())) for place, risks in reference.closed.items())
    verdict.add("lost-event", ["a closed step was never published"] * lost)


def _judge_rejected(evidence: Evidence, reference: Reference, verdict: Verdict) -> None:
    topic = evidence.log[0].topic.encode() if evidence.log else b""
    kept: set[tuple[int, int, str]] = set()
    for record in evidence.rejected:
        headers = {name: value or b"" for name, value in record.headers}
        if headers["rejected_topic"] == topic:
            place = int(headers["rejected_partition"]), int(headers["rejected_offset"])
            kept.add((*place, headers["rejected_reason"].decode()))
    wanted = {(*place, reason) for place, reasons in reference.rejected.items() for reason in reasons}
    verdict.add("lost-event", [f"refused ({reason}) at {p}@{o} and not kept" for p, o, reason in sorted(wanted - kept)])
    verdict.add(
        "phantom-alert", [f"refused ({reason}) at {p}@{o} though sound" for p, o, reason in sorted(kept - wanted)]
    )
