"""The judge itself: an honest run passes, and each kind of tampering has its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from agents.record import source_offset
from tests.chaos.evidence import Evidence, Noted, Record
from tests.chaos.honest import honest_run
from tests.chaos.judge import ANOMALIES, judge
from tests.chaos.oracle import Oracle, Reference, default_core
from tests.e2e.ward import PARTITIONS


@lru_cache(maxsize=1)
def _honest() -> Evidence:
    return honest_run()


@lru_cache(maxsize=1)
def _reference() -> Reference:
    return Oracle(default_core(PARTITIONS)).run(_honest().log)


def _edited(record: Record, **fields: Any) -> Record:
    return replace(record, value=json.dumps(json.loads(record.value or b"") | fields).encode())


def _without(records: Sequence[Record], position: int) -> list[Record]:
    return [*records[:position], *records[position + 1 :]]


def _at(records: Sequence[Record], position: int, record: Record) -> list[Record]:
    return [*records[:position], record, *records[position + 1 :]]


def _all_of_one_alert_removed(honest: Evidence) -> Evidence:
    gone = json.loads(honest.alerts[0].value or b"")["event_id"]
    left = [record for record in honest.alerts if json.loads(record.value or b"")["event_id"] != gone]
    return replace(honest, alerts=left, seen=left)


def _state_of_the_newest_removed(honest: Evidence) -> Evidence:
    newest = _newest_state(honest)
    return replace(honest, changelog=[record for record in honest.changelog if record != newest])


def _closed_step(honest: Evidence) -> tuple[Record, list[dict[str, Any]]]:
    for record in honest.scores:
        closed = json.loads(record.value or b"")["closed"]
        if closed:
            return record, closed
    raise AssertionError


def _step_with_another_risk(honest: Evidence) -> Evidence:
    record, closed = _closed_step(honest)
    closed[0]["risk"] += 0.01
    return replace(honest, scores=[*honest.scores, _edited(record, closed=closed)])


def _step_removed(honest: Evidence) -> Evidence:
    last = max(i for i, record in enumerate(honest.scores) if json.loads(record.value or b"")["closed"])
    return replace(honest, scores=_without(honest.scores, last))


def _newest_state(honest: Evidence) -> Record:
    return max(honest.changelog, key=lambda record: source_offset(record.value or b""))


def _another_state(honest: Evidence) -> Evidence:
    newest, layout = _newest_state(honest), default_core(PARTITIONS).layout
    rows = np.frombuffer(newest.value or b"", layout.dtype).copy()
    rows["risk"] += 0.01
    return replace(honest, changelog=[*honest.changelog, replace(newest, value=layout.dump(rows)[0])])


def _damaged_state(honest: Evidence) -> Evidence:
    newest = _newest_state(honest)
    value = newest.value or b""
    return replace(honest, changelog=[*honest.changelog, replace(newest, value=value[:-1] + bytes([value[-1] ^ 1]))])


def _seen_in_another_order(honest: Evidence) -> Evidence:
    names = [(json.loads(r.value or b"")["alert_id"], json.loads(r.value or b"")["sequence"]) for r in honest.alerts]
    later = next(i for i, (_, sequence) in enumerate(names) if sequence == 2)
    first = names.index((names[later][0], 1))
    seen = list(honest.alerts)
    seen[first], seen[later] = seen[later], seen[first]
    return replace(honest, seen=seen)


def _alert_state_of_yesterday(honest: Evidence) -> Evidence:
    stale = next(r for r in honest.alert_state if json.loads(r.value or b"")["sequence"] == 2)
    first = next(
        r for r in honest.alerts if json.loads(r.value or b"")["alert_id"] == json.loads(stale.value or b"")["alert_id"]
    )
    return replace(honest, alert_state=[*honest.alert_state, replace(first, topic="alerts.state.v1")])


def _score_of_yesterday(honest: Evidence) -> Evidence:
    """Let a patient's first score come once more, after all others."""
    (key,) = {record.key for record in honest.scores[:1]}
    assert len({record.value for record in honest.scores if record.key == key}) > 1
    return replace(honest, scores=[*honest.scores, honest.scores[0]])


def _last_scores_removed(honest: Evidence) -> Evidence:
    """Leave a patient without the last score, though with all closed steps."""
    score = next(r for r in reversed(honest.scores) if not json.loads(r.value or b"")["closed"])
    later = [record for record in honest.scores if record.key == score.key][-1]
    said = json.loads(later.value or b"")
    rest = [record for record in honest.scores if record.key == score.key and record.value != later.value]
    closed = [*json.loads(rest[-1].value or b"")["closed"], *said["closed"]]
    kept = [record for record in honest.scores if record.value != later.value]
    return replace(honest, scores=[*kept, _edited(rest[-1], closed=closed)])


def _newest_alert_state(honest: Evidence, **fields: Any) -> Evidence:
    return replace(honest, alert_state=[*honest.alert_state, _edited(honest.alert_state[-1], **fields)])


def _alert_state_under_another_key(honest: Evidence) -> Evidence:
    """Let one patient's alert stand where another's of the same partition should."""
    *_, last = honest.alert_state
    other = next(r for r in honest.alert_state if r.partition == last.partition and r.key != last.key)
    return replace(honest, alert_state=[*honest.alert_state, replace(last, key=other.key)])


def _log_hole(honest: Evidence) -> Evidence:
    return replace(honest, noted=[*honest.noted, Noted("vitals.observations.v1", 0, 10**6, b"p", b"v")])


def _admission_not_appended(honest: Evidence) -> Evidence:
    return replace(honest, noted=[*honest.noted, Noted("stays.admissions.v1", 0, 3, b"p", b"v")])


def _foreign_key(topic: str) -> Callable[[Evidence], Evidence]:
    def tampered(honest: Evidence) -> Evidence:
        records = getattr(honest, topic)
        changed: Any = {topic: [*records, replace(records[0], key=b"somebody-else")]}
        return replace(honest, **changed)

    return tampered


_TAMPERINGS: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "an alert is missing": ("lost-alert", _all_of_one_alert_removed),
    "the subscriber missed one": ("lost-alert", lambda e: replace(e, seen=_without(e.seen or [], len(e.alerts) - 1))),
    "an alert nobody explains": (
        "phantom-alert",
        lambda e: replace(e, alerts=[*e.alerts, _edited(e.alerts[0], event_id="new")], seen=None),
    ),
    "an alert with another risk": (
        "changed-alert",
        lambda e: replace(e, alerts=_at(e.alerts, 3, _edited(e.alerts[3], risk=0.5))),
    ),
    "a repeat that says something else": (
        "changed-alert",
        lambda e: replace(e, alerts=[*e.alerts, _edited(e.alerts[0], cause="another")]),
    ),
    "an acknowledged record is not in the log": ("lost-event", _log_hole),
    "an admission was not appended": ("lost-event", _admission_not_appended),
    "the newest state is missing": ("lost-event", _state_of_the_newest_removed),
    "a closed step was never published": ("lost-event", _step_removed),
    "a refusal was not kept": ("lost-event", lambda e: replace(e, rejected=[])),
    "a step has two risks": ("double-step", _step_with_another_risk),
    "two states at one offset": ("state-regress", _another_state),
    "a damaged state": ("state-regress", _damaged_state),
    "a deletion nobody explains": (
        "state-regress",
        lambda e: replace(e, changelog=[replace(_newest_state(e), value=None), *e.changelog]),
    ),
    "alerts.state shows what is over": ("state-regress", _alert_state_of_yesterday),
    "alerts.state is empty": ("lost-alert", lambda e: replace(e, alert_state=[])),
    "alerts.state lacks what an alert came to": (
        "lost-alert",
        lambda e: replace(e, alert_state=[r for r in e.alert_state if r.value != e.alert_state[-1].value]),
    ),
    "alerts.state shows another risk": ("changed-alert", lambda e: _newest_alert_state(e, risk=0.5)),
    "alerts.state shows what nobody decided": ("phantom-alert", lambda e: _newest_alert_state(e, event_id="new")),
    "alerts.state shows another patient's alert": ("cross-patient", _alert_state_under_another_key),
    "alerts.state shows an alert of nobody": ("phantom-alert", _foreign_key("alert_state")),
    "alerts.state was taken away": (
        "state-regress",
        lambda e: replace(e, alert_state=[*e.alert_state, replace(e.alert_state[-1], value=None)]),
    ),
    "an overtaken score is the last word": ("state-regress", _score_of_yesterday),
    "the last score was never told": ("lost-event", _last_scores_removed),
    "no score was told": ("lost-event", lambda e: replace(e, scores=[])),
    "a last score of nobody": ("cross-patient", _foreign_key("scores")),
    "an alert under another key": ("cross-patient", _foreign_key("alerts")),
    "a score under another key": ("cross-patient", _foreign_key("scores")),
    "a state under another key": ("cross-patient", _foreign_key("changelog")),
    "resolved before raised": ("order", _seen_in_another_order),
}


def test_an_honest_run_with_repeats_passes() -> None:
    verdict = judge(_honest(), _reference())
    assert verdict.clean, verdict.found
    assert verdict.duplicates > 0
    assert {"sepsis_risk raised", "sepsis_risk resolved"} <= verdict.kinds.keys()


@pytest.mark.parametrize("name", _TAMPERINGS)
def test_tampering_has_its_name(name: str) -> None:
    anomaly, tamper = _TAMPERINGS[name]
    verdict = judge(tamper(_honest()), _reference())
    assert verdict.found[anomaly], verdict.counts()


def test_whoever_was_let_go_may_come_back_and_is_kept_then() -> None:
    honest = _honest()
    deletion = replace(_newest_state(honest), value=None)
    reference = replace(_reference(), let_go={deletion.key or b""})
    before = judge(replace(honest, changelog=[deletion, *honest.changelog]), reference)
    assert before.clean, before.found
    for seen in ((), (("seen", b"1000000"),)):
        late = replace(deletion, headers=seen)
        after = judge(replace(honest, changelog=[*honest.changelog, late]), reference)
        assert after.counts() == dict.fromkeys(ANOMALIES, 0) | {"state-regress": 1}
    overtaken = replace(deletion, headers=(("seen", b"0"),))  # recovery passes over it
    assert judge(replace(honest, changelog=[*honest.changelog, overtaken]), reference).clean


def test_what_was_overtaken_is_admitted_of_a_suspended_worker_alone() -> None:
    for tamper in (_alert_state_of_yesterday, _score_of_yesterday):
        told = tamper(_honest())
        verdict = judge(replace(told, suspended=True), _reference())
        assert verdict.clean, verdict.found
        assert verdict.overtaken == 1
        assert judge(told, _reference()).counts() == dict.fromkeys(ANOMALIES, 0) | {"state-regress": 1}
    never = judge(replace(_honest(), suspended=True, alert_state=[]), _reference())
    assert never.found["lost-alert"]


def test_where_chunks_end_makes_no_other_last_score() -> None:
    singly = Oracle(default_core(PARTITIONS), pass_records=1).run(_honest().log)
    assert singly.alert_state == _reference().alert_state
    assert judge(_honest(), singly).clean


def test_every_anomaly_is_tried() -> None:
    assert {anomaly for anomaly, _ in _TAMPERINGS.values()} == set(ANOMALIES)


def test_what_a_client_was_told_to_be_there_already_is_looked_for() -> None:
    honest = _honest()
    (record, *_) = honest.log
    known = Noted(record.topic, record.partition, None, record.key, record.value)
    assert not any(judge(replace(honest, noted=[known]), _reference()).counts().values())
    missing = replace(known, value=b"{}")
    assert judge(replace(honest, noted=[missing]), _reference()).counts()["lost-event"] == 1


def test_what_a_broker_lost_is_counted_apart() -> None:
    verdict = judge(replace(_log_hole(_honest()), broker_lost=True), _reference())
    assert verdict.clean
    assert verdict.broker_lost == 1


def test_an_alert_that_a_broker_lost_was_seen_by_who_subscribes() -> None:
    honest = _honest()
    lost = replace(_all_of_one_alert_removed(honest), broker_lost=True)
    seen_before = judge(replace(lost, seen=honest.seen), _reference())
    assert (seen_before.counts()["lost-alert"], seen_before.broker_lost) == (0, 1)
    assert judge(lost, _reference()).counts()["lost-alert"] == 1
