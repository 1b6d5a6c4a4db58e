"""What the compacted topics hold: of each key the newest record, which is all that a board or a new reader sees.

`alerts.state.v1` must end with the last event of a patient's alert of each kind, `risk.scores.v1` with the patient's
last score. A key of whom nothing is kept may end with a deletion alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.chaos.evidence import Record
from tests.chaos.oracle import Alert, LastWords, plain, without_source

__all__ = ["OVERTAKEN", "Finding", "judge_alert_state", "judge_last_scores"]

OVERTAKEN = "overtaken"  # the right one is there, and an older one stands behind it
Finding = tuple[str, str]  # the anomaly's name, or OVERTAKEN, and a sentence
_Key = tuple[int, bytes]


def judge_alert_state(records: Sequence[Record], wanted: LastWords, events: Mapping[str, Alert]) -> Iterator[Finding]:
    """Hold the newest record of each key against the last of the `events` of the patient's alert of that kind."""
    said = _by_key(records)
    for _, alert, bodies in _pairs(said, wanted):
        name = f"{alert['kind']} {alert['transition']} #{alert['sequence']} of log {alert['log']}"
        if not bodies:
            yield "lost-alert", f"{name} never stood in alerts.state"
            continue
        at, newest = bodies[-1][0].place, bodies[-1][1]
        if newest == alert:
            continue
        if newest is not None and newest["patient_id"] != alert["patient_id"]:
            yield "cross-patient", f"{at}: another patient's alert stands in place of {name}"
        elif newest is not None and newest["event_id"] == alert["event_id"]:
            yield "changed-alert", f"{at}: {name} stands in alerts.state with another content"
        elif newest is not None and newest != events.get(newest["event_id"]):
            yield "phantom-alert", f"{at}: {_said(newest)} stands in place of {name} and nothing explains it"
        elif any(body == alert for _, body in bodies):
            yield OVERTAKEN, f"{at}: {_said(newest)} stands as the alert's state, {name} was there before it"
        else:
            yield "lost-alert", f"{at}: {_said(newest)} stands in alerts.state, {name} never did"
    for record, body in _unexplained(said, wanted):
        yield "phantom-alert", f"{record.place}: {_said(body)} stands in alerts.state and nothing explains it"


def judge_last_scores(records: Sequence[Record], wanted: LastWords) -> Iterator[Finding]:
    """Hold each patient's newest score against the reference's last one.

    What it was told from may differ: a score names the last record of the chunk that touched the patient, and where
    chunks end is nobody's promise. What it says of the patient may not.
    """
    said = _by_key(records)
    for partition, score, bodies in _pairs(said, wanted):
        at = f"log {partition}@{score['source']['offset']}"
        if not bodies:
            yield "lost-event", f"the last score, of {at}, was never told, nor any other of the patient"
            continue
        told = [None if body is None else without_source(body) for _, body in bodies]
        last = without_source(score)
        if told[-1] == last:
            continue
        newest, where = bodies[-1][1], bodies[-1][0].place
        of = "a deletion" if newest is None else f"a score of offset {newest['source']['offset']}"
        if last in told:
            yield OVERTAKEN, f"{where}: {of} is the patient's last word, that of {at} was there before it"
        else:
            yield "lost-event", f"{where}: {of} is the patient's last word, that of {at} was never told"
    for record, _ in _unexplained(said, wanted):
        yield "cross-patient", f"{record.place}: a last score where nothing is known of a patient by that key"


def _by_key(records: Sequence[Record]) -> dict[_Key, list[Record]]:
    found: dict[_Key, list[Record]] = {}
    for record in records:
        found.setdefault((record.partition, record.key or b""), []).append(record)
    return found


def _pairs(
    said: Mapping[_Key, Sequence[Record]], wanted: LastWords
) -> Iterator[tuple[int, Alert, list[tuple[Record, Alert | None]]]]:
    """Give of each key that should end with something its partition, that, and all that was said under it."""
    for key, word in wanted.items():
        if word is not None:
            yield key[0], word, [(record, _body(record)) for record in said.get(key, ())]


def _unexplained(said: Mapping[_Key, Sequence[Record]], wanted: LastWords) -> Iterator[tuple[Record, Alert]]:
    """Give the newest records of keys that should have none, or a deletion."""
    for key, records in said.items():
        body = _body(records[-1])
        if body is not None and wanted.get(key) is None:
            yield records[-1], body


def _body(record: Record) -> Alert | None:
    return None if record.value is None else plain(record.value)


def _said(body: Alert | None) -> str:
    return "a deletion" if body is None else f"{body['kind']} {body['transition']} #{body['sequence']}"
