"""The second opinion on rules: an honest run passes, and an alert under another rule than the log says is found."""

from __future__ import annotations

import json

import msgspec

from agents import publishing
from tests.agents.logs import ILL, MINUTE, START, admission, between, new_core, numbered, observation, threshold_record
from tests.agents.test_units import CALM, EAGER, UNITS
from tests.chaos.evidence import Evidence, Record
from tests.chaos.rules import wrong_rules


def lived() -> Evidence:
    log = numbered(
        [
            admission("p", "admitted", START, unit="MICU"),
            threshold_record("MICU", 0.02, EAGER),
            observation("p", START + MINUTE, **ILL),
            threshold_record("MICU", 0.9, EAGER, START + MINUTE),
            observation("p", START + 2 * MINUTE, **ILL),
        ]
    )
    outcome = new_core(CALM, UNITS).process(0, log, lambda _: None)
    kept = [Record("log", 0, each.offset, each.timestamp, each.key, each.value, each.headers) for each in log]
    events = [event for _, event in outcome.alerts]
    alerts = [
        Record("alerts", 0, at, 0, key, value, tuple(headers))
        for at, (key, value, headers) in enumerate(publishing.alert_records(events))
    ]
    return Evidence(log=kept, alerts=alerts)


def changed(evidence: Evidence, at: int, **fields: object) -> Evidence:
    records = list(evidence.alerts)
    body = json.loads(records[at].value or b"") | fields
    one = records[at]
    records[at] = Record(one.topic, one.partition, one.offset, 0, one.key, msgspec.json.encode(body), one.headers)
    return Evidence(log=evidence.log, alerts=records)


def test_an_honest_run_passes() -> None:
    evidence = lived()
    assert len(evidence.alerts) == 2
    assert list(wrong_rules(evidence, CALM, UNITS)) == []


def test_another_threshold_policy_or_unit_is_found() -> None:
    evidence, model = lived(), {"name": "m", "version": "1", "digest": "sha256:0"}
    (found,) = wrong_rules(changed(evidence, 0, threshold=EAGER.raise_threshold), CALM, UNITS)
    assert "at 0.01, not at 0.02" in found
    for fields in ({"policy": model}, {"unit": None}, {"unit": "SICU"}):
        assert len(list(wrong_rules(changed(evidence, 1, **fields), CALM, UNITS))) == 1
    assert len(list(wrong_rules(evidence, between(0.5, 0.4), {}))) == 2
