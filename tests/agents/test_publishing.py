"""Records of the public topics: keys, JSON values, CloudEvents headers; and that they are read back as they were."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest

from agents import publishing
from agents.decoding import StayChange, decode_admission, decode_log_record
from agents.messages import AlertEvent, RiskScore
from agents.outputs import utc
from agents.rejection import Rejection
from tests.agents.logs import (
    HOUR,
    LIMITS,
    MINUTE,
    START,
    Record,
    Run,
    admission,
    between,
    clock,
    command,
    never_alerting,
    new_core,
    numbered,
    observation,
    work_off,
)

ILL = {"heart_rate": 150, "temperature": 40}


def two_alerts() -> Run:
    """Return the run of p and q with an alert each, p's resolved again."""
    log = [observation("p", START, **ILL), observation("q", START, **ILL)]
    run = work_off(numbered(log), core=new_core(between(1e-6, 1e-7)))
    return work_off(
        numbered([observation("p", START + MINUTE, **ILL)], first=2), core=new_core(never_alerting()), onto=run
    )


def alerts_of(run: Run) -> list[AlertEvent]:
    return [alert for _, alert in run.alerts]


def test_every_alert_event_is_a_record_of_its_patient_in_order() -> None:
    alerts = alerts_of(two_alerts())
    records = publishing.alert_records(alerts)
    assert [key for key, _, _ in records] == [b"p", b"q", b"p"]
    assert [msgspec.json.decode(value or b"", type=AlertEvent) for _, value, _ in records] == alerts


def test_the_alert_state_is_the_last_event_of_each_patient() -> None:
    alerts = alerts_of(two_alerts())
    values = {key: json.loads(value or b"") for key, value, _ in publishing.alert_state_records(alerts)}
    assert {key: value["transition"] for key, value in values.items()} == {b"p": "resolved", b"q": "raised"}


def test_each_kind_has_a_state_of_its_own_and_a_refused_command_has_none() -> None:
    policy = between(1e-6, 1e-7)
    run = work_off(numbered([observation("p", START, **ILL)]), core=new_core(policy))
    later = [
        clock("p", START + 90 * MINUTE, "monitoring_lost"),
        command("p", "acknowledge", run.alerts[0][1].alert_id, START + 91 * MINUTE, sequence=9),
    ]
    work_off(numbered(later, first=1), core=new_core(policy), onto=run)
    assert [alert.transition for alert in alerts_of(run)] == ["raised", "raised", "rejected"]
    states = publishing.alert_state_records(alerts_of(run))
    assert {key: json.loads(value or b"")["kind"] for key, value, _ in states} == {
        b"p": "sepsis_risk",
        b"p:monitoring_lost": "monitoring_lost",
    }
    assert [key for key, _, _ in publishing.alert_records(alerts_of(run))] == [b"p"] * 3


def test_headers_are_cloudevents_in_binary_mode() -> None:
    alert = alerts_of(two_alerts())[0]
    ((_, _, headers),) = publishing.alert_records([alert])
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": alert.event_id.encode(),
        "ce_type": b"org.sepsis-monitor.alerts.raised.v1",
        "ce_source": b"/sepsis-monitor",
        "ce_time": b"2026-11-22T10:00:00Z",
        "ce_subject": b"p",
        "content-type": b"application/json",
    }


def test_scores_are_records_with_ids_that_differ() -> None:
    log = numbered([observation("p", START, **ILL), admission("p", "discharged", START + HOUR)])
    log += numbered([observation("p", START + 2 * HOUR, **ILL), observation("q", START, **ILL)], first=2)
    scores = work_off(log).scores
    records = publishing.score_records(scores)
    assert [msgspec.json.decode(value or b"", type=RiskScore) for _, value, _ in records] == scores
    assert [key for key, _, _ in records] == [score.patient_id.encode() for score in scores]
    assert len({dict(headers)["ce_id"] for _, _, headers in records}) == len(records) == 3


def said_at(value: bytes) -> Record:
    """Return the record of an admission event at offset 118 of partition 3."""
    headers = (("trace", b"1"), ("ce_id", b"theirs"), ("content-type", b"text/plain"))
    return Record(b"p", value, START, headers, 118, topic="stays.admissions.v1", partition=3)


def test_an_appended_event_keeps_its_bytes_and_whatever_headers_are_not_cloudevents() -> None:
    value = json.dumps({"patient_id": "p", "type": "admitted", "time": utc(START), "site": "north"}).encode()
    change = decode_admission(b"p", value, (), START, LIMITS)
    assert isinstance(change, StayChange)
    _, appended, headers = publishing.appended_record(said_at(value), change)
    assert appended == value
    assert [name for name, _ in headers].count("ce_id") == 1
    assert dict(headers)["trace"] == b"1"


def test_a_refused_record_too_large_for_the_topic_is_stood_for_by_its_digest() -> None:
    record = Record(b"p", b"x" * (9 * 1024 * 1024), START, (), 7, partition=2)
    key, value, headers = publishing.rejected_record(record, Rejection("value_too_large", "too large"))
    found = dict(headers)
    assert (key, value, found["rejected_value_bytes"]) == (b"p", None, b"9437184")
    assert found["rejected_value_sha256"] == hashlib.sha256(record.value or b"").hexdigest().encode()
    assert (found["rejected_reason"], found["rejected_offset"]) == (b"value_too_large", b"7")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stay_id": "visit-9", "age": 71.5, "sex": "female", "unit": "Süd 2", "bed": "7", "unit_type": "medical"},
        {"admitted": utc(START - HOUR), "hospital_admitted": utc(START - 50 * HOUR), "event_id": "adt-1"},
    ],
)
def test_an_admission_event_is_the_same_after_it_was_appended(fields: dict[str, object]) -> None:
    value = json.dumps({"patient_id": "p", "type": "admitted", "time": utc(START), **fields}).encode()
    change = decode_admission(b"p", value, (), START, LIMITS)
    assert isinstance(change, StayChange)
    key, appended, headers = publishing.appended_record(said_at(value), change)
    again = decode_log_record(key, appended, headers, START + MINUTE, LIMITS)
    assert isinstance(again, StayChange)
    assert again.source_offset == 118
    assert (again.admission, again.time_ms, again.admitted_ms, again.hospital_admitted_ms) == (
        change.admission,
        change.time_ms,
        change.admitted_ms,
        change.hospital_admitted_ms,
    )


@pytest.mark.parametrize(("event_id", "expected"), [("adt-1", b"adt-1"), (None, b"3:118")])
def test_an_appended_event_has_an_id(event_id: str | None, expected: bytes) -> None:
    said = {"patient_id": "p", "type": "admitted", "time": utc(START), "event_id": event_id}
    value = json.dumps(said).encode()
    change = decode_admission(b"p", value, (), START, LIMITS)
    assert isinstance(change, StayChange)
    headers = dict(publishing.appended_record(said_at(value), change)[2])
    assert (headers["ce_id"], headers["ce_source"]) == (expected, b"/stays.admissions.v1/3/118")


def test_a_refused_record_keeps_its_bytes_and_headers_and_says_why() -> None:
    record = Record(b"\xff\x00", b"not json \xfe", START, (("trace", b"\x01"), ("empty", None)), 7, partition=2)
    key, value, headers = publishing.rejected_record(record, Rejection("not_json", "the value is not JSON"))
    assert (key, value) == (record.key, record.value)
    assert list(headers) == [
        ("trace", b"\x01"),
        ("empty", None),
        ("rejected_reason", b"not_json"),
        ("rejected_detail", b"the value is not JSON"),
        ("rejected_topic", b"vitals.observations.v1"),
        ("rejected_partition", b"2"),
        ("rejected_offset", b"7"),
        ("rejected_timestamp", b"%d" % START),
    ]


def test_a_tombstone_is_refused_as_one() -> None:
    key, value, _ = publishing.rejected_record(Record(None, None, START), Rejection("value_missing", "no value"))
    assert (key, value) == (None, None)
