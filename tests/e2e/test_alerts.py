"""The life of an alert on real processes: people and the wall clock move it, also when the worker dies in between."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from agents.core import Core
from agents.decoding import Limits
from agents.policy import load_policy
from agents.worker import partition_of
from models.artifact import load_model
from tests.e2e.test_kills import alerts_by_id
from tests.e2e.ward import Ward, open_ward
from tests.waiting import until

_SILENT_SECONDS = 5.0
_LATE_SECONDS = 30.0  # 10 are promised, and tried by the chaos of silence; a machine that runs all tests is busy
_POLICY = f"""
name = "{{name}}"
version = "1"
model = "bedside"
raise_threshold = {{threshold}}
resolve_threshold = {{threshold}}
acknowledge_minutes = 0
update_step = 0
monitoring_lost_minutes = {_SILENT_SECONDS / 60}
"""
_SIGNS = {"heart_rate": 90, "temperature": 37.5, "respiratory_rate": 20, "systolic_bp": 120, "oxygen_saturation": 97}
_WORKERS = ("worker-1", "worker-2")
Told = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).isoformat()


def observe(ward: Ward, patient: str, heart_rate: int) -> None:
    value = {"patient_id": patient, "time": now(), **_SIGNS, "heart_rate": heart_rate}
    ward.send(ward.topics.observations, [(patient.encode(), json.dumps(value).encode(), [])])


def observe_in_transaction(ward: Ward, patient: str) -> None:
    """Observe as a gateway with transactions: the log then ends with a record that nobody sees."""
    value = json.dumps({"patient_id": patient, "time": now(), **_SIGNS}).encode()

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=ward.bootstrap, transactional_id=f"gateway-{patient}")
        await producer.start()
        async with producer.transaction():
            await producer.send_and_wait(ward.topics.observations, value, key=patient.encode())
        await producer.stop()

    asyncio.run(send())


def order(ward: Ward, alert: Told, name: str, kind: str, **fields: Any) -> None:
    said = {
        "command_id": name, "patient_id": alert["patient_id"], "alert_id": alert["alert_id"], "type": kind,
        "time": now(), "by": "nurse", **fields,
    }  # fmt: skip
    ward.send(ward.topics.alert_commands, [(alert["patient_id"].encode(), json.dumps(said).encode(), [])])


def told(ward: Ward, wanted: Callable[[Told], bool], count: int = 1) -> Told:
    """Wait for the n-th alert event that is wanted, and return it."""

    def found() -> Told | None:
        events = list(alerts_by_id(ward.values(ward.topics.alert_events)).values())
        published = {event["event_id"]: event for event in reversed(ward.values(ward.topics.alert_events))}
        some = [published[event["event_id"]] for event in events if wanted(event)]
        return some[count - 1] if len(some) >= count else None

    event = until(found, seconds=60, what="an alert event")
    assert event is not None
    return event


def of(patient: str, kind: str, transition: str) -> Callable[[Told], bool]:
    return lambda event: (event["patient_id"], event["kind"], event["transition"]) == (patient, kind, transition)


def lateness(lost: Told) -> float:
    """Return the seconds from when the patient had been silent for the policy's time to the alert's publication."""
    since, published = (datetime.fromisoformat(lost[name]) for name in ("since", "published_at"))
    return (published - since).total_seconds() - _SILENT_SECONDS


def undisturbed(ward: Ward) -> dict[str, Told]:
    """Return the alerts of one pass over the logs, each partition at once, under the policies that they name."""
    core = Core(load_model("bedside"), load_policy(), Limits())
    logs: dict[int, list[Any]] = {}
    for record in ward.records(ward.topics.observations):
        logs.setdefault(record.partition, []).append(record)
    events = []
    for partition, records in logs.items():
        events += [event for _, event in core.process(partition, records, lambda _: None).alerts]
    return alerts_by_id([msgspec.json.decode(msgspec.json.encode(event)) for event in events])


def test_people_the_clock_and_a_new_policy_move_alerts_also_when_a_worker_dies(
    apache_kafka: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(_POLICY.format(name="eager", threshold=0.000001))
    with open_ward(apache_kafka, tmp_path, SEPSIS_MONITOR_POLICY__FILE=str(policy)) as ward:
        for instance in _WORKERS:
            ward.start(instance)
        for instance in _WORKERS:
            ward.wait_ready(instance)
        alone = next(f"q{n}" for n in range(99) if partition_of(f"q{n}".encode(), 4) != partition_of(b"p1", 4))
        observe_in_transaction(ward, alone)
        observe(ward, "p1", 90)
        raised = told(ward, of("p1", "sepsis_risk", "raised"))
        order(ward, raised, "c1", "acknowledge", sequence=1)
        assert told(ward, of("p1", "sepsis_risk", "acknowledged"))["by"] == "nurse"
        order(ward, raised, "c2", "acknowledge", sequence=1)
        order(ward, raised, "c3", "snooze", sequence=2, minutes=0.02)
        rejected = told(ward, of("p1", "sepsis_risk", "rejected"))
        assert (rejected["command_id"], rejected["reason"], rejected["sequence"]) == ("c2", "stale_sequence", 2)
        woken = told(ward, of("p1", "sepsis_risk", "updated"))
        assert (woken["sequence"], woken["state"]) == (4, "active")
        calm = told(ward, of("p1", "monitoring_lost", "raised"))
        assert 0 <= lateness(calm) <= _LATE_SECONDS
        assert 0 <= lateness(told(ward, of(alone, "monitoring_lost", "raised"))) <= _LATE_SECONDS
        observe(ward, "p1", 91)
        told(ward, of("p1", "monitoring_lost", "resolved"))
        owner = next(instance for instance in _WORKERS if raised["alert_id"] in ward.log(instance))
        until(lambda: time.time() > seen_at(ward) + _SILENT_SECONDS - 1, what="a second before the alert")
        ward.kill(owner)
        hurried = told(ward, of("p1", "monitoring_lost", "raised"), count=2)
        (survivor,) = set(_WORKERS) - {owner}
        assert ward.terminate(survivor) == 0
        observe(ward, "p1", 92)  # before the new policy is named: decided on under the old one
        policy.write_text(_POLICY.format(name="strict", threshold=0.9))
        ward.start(survivor)
        ward.wait_ready(survivor)
        observe(ward, "p1", 93)
        resolved = told(ward, of("p1", "sepsis_risk", "resolved"))
        assert (resolved["policy"]["name"], resolved["vital_signs"]["heart_rate"]["value"]) == ("strict", 93)
        ward.drain()
        assert alerts_by_id(ward.values(ward.topics.alert_events)) == undisturbed(ward)
        assert 0 <= lateness(hurried) <= _LATE_SECONDS


def seen_at(ward: Ward) -> float:
    """Return when the last observation came into the log, in seconds since 1970."""
    return max(float(r.timestamp) for r in ward.records(ward.topics.observations) if not r.headers) / 1000
