"""Events as gateways really send them, and patients as they really come and go."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Evidence
from tests.chaos.feed import Spoiling
from tests.chaos.oracle import plain
from tests.chaos.stage import Stage, scenario

__all__ = ["added_latency_ms", "poison", "spoilt_events"]

_MOST_ADDED_MS = 200.0
_HOURS = 30


@scenario("spoilt-events", most_rounds=10)
def spoilt_events(stage: Stage) -> None:
    """Repeats, vital signs one by one and shuffled, late ones and ones from the future, while workers die."""
    spoiling = Spoiling(repeated=0.1, split=True, future=0.02, late=0.05, poison=0.02)
    with stage.ward(rate=300.0, spoiling=spoiling, kinds=frozenset()) as chaos:
        for instance in ("worker-1", "worker-2"):
            chaos.flowing(800)
            chaos.kill(instance)
            chaos.start(instance, wait=False)
        chaos.flowing(800)


@scenario("poison", most_rounds=10)
def poison(stage: Stage) -> None:
    """Bad records one to one among good ones: what the good ones wait longer is measured, and bounded."""
    with stage.ward(rate=80.0, replays=False) as chaos:
        chaos.flowing(600)
        begin = time.time() * 1000
        chaos.feed.spoiling, chaos.feed.rate = Spoiling(poison=1.0), 160.0
        chaos.note("poison, one bad record to a good one")
        chaos.flowing(1_200)
    calm, poisoned = added_latency_ms(stage.evidence, begin)
    stage.result.notes.append(f"p99 from log to score: {calm:.0f} ms, with poison {poisoned:.0f} ms")
    stage.empty_unless(len(stage.evidence.rejected) > 300, "hardly any poison was refused")
    stage.demand(poisoned - calm < _MOST_ADDED_MS, "order", f"good events waited {poisoned - calm:.0f} ms longer")


def added_latency_ms(evidence: Evidence, begin: float) -> tuple[float, float]:
    """Return p99 of the milliseconds from log to score, of what came before `begin` (epoch ms), and after."""
    arrived = {(record.partition, record.offset): record.timestamp for record in evidence.log}
    waits: tuple[list[int], list[int]] = ([], [])
    for record in evidence.scores:
        source = plain(record.value)["source"]
        at = arrived[source["partition"], source["offset"]]
        waits[at >= begin].append(record.timestamp - at)
    assert waits[0], "no score before the poison"
    assert waits[1], "no score after the poison began"
    return float(np.percentile(waits[0], 99)), float(np.percentile(waits[1], 99))


# -- patients


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _observe(chaos: ChaosWard, patient: str, start: datetime, hours: int = _HOURS) -> None:
    """Send an hourly observation of somebody who falls ill, the same for every patient."""
    for hour in range(hours):
        body = {
            "patient_id": patient,
            "time": _time(start + timedelta(hours=hour, minutes=7)),
            "heart_rate": 80 + 2 * hour,
            "respiratory_rate": 16 + hour // 2,
            "temperature": round(37.0 + hour / 12, 1),
            "systolic_bp": 122 - hour,
            "oxygen_saturation": 97 - hour // 6,
        }
        chaos.feed.send(chaos.ward.topics.observations, patient.encode(), json.dumps(body).encode())


def _admit(chaos: ChaosWard, patient: str, kind: str, moment: datetime, **more: Any) -> None:
    """Send an admission event, and wait until it stands in the patient's log."""
    body = {
        "patient_id": patient,
        "type": kind,
        "time": _time(moment),
        "event_id": f"{patient}:{kind}:{moment}",
        **more,
    }
    chaos.feed.send(chaos.ward.topics.admissions, patient.encode(), json.dumps(body).encode())
    chaos.await_appended()


def _steps(evidence: Evidence, patient: str) -> Mapping[tuple[str, int], float]:
    """Return the risks of a patient's closed steps, by stay and step."""
    found: dict[tuple[str, int], float] = {}
    for record in evidence.scores:
        if record.key == patient.encode():
            body = plain(record.value)
            found.update({(body["stay_id"], step["step"]): step["risk"] for step in body["closed"]})
    return found


@scenario("patients", most_rounds=5)
def patients(stage: Stage) -> None:
    """Use an id again after a discharge, move a patient, merge two; every worker dies on the way."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=100)
    middle = begin + timedelta(hours=40)
    with stage.ward(rate=60.0) as chaos:
        for patient in ("reused", "moved", "merged", "target"):
            _admit(chaos, patient, "admitted", begin, unit="A", bed="1", age=70)
            _observe(chaos, patient, begin)
        chaos.kill("worker-1")
        chaos.start("worker-1", wait=False)
        chaos.await_worked_off()
        _admit(chaos, "moved", "transferred", begin + timedelta(hours=_HOURS), unit="B", bed="2")
        _admit(chaos, "merged", "merged", begin + timedelta(hours=_HOURS), into="target")
        _admit(chaos, "reused", "discharged", begin + timedelta(hours=_HOURS))
        chaos.kill("worker-2")
        chaos.start("worker-2", wait=False)
        for patient in ("reused", "fresh"):
            _admit(chaos, patient, "admitted", middle, unit="A", bed="1", age=70)
            _observe(chaos, patient, middle)
        _observe(chaos, "moved", begin + timedelta(hours=_HOURS), 6)
        _observe(chaos, "merged", begin, 3)  # what still comes for who is no more
        chaos.flowing(100)
    evidence = stage.evidence
    fresh = {step: risk for (_, step), risk in _steps(evidence, "fresh").items()}
    again = {step: risk for (stay, step), risk in _steps(evidence, "reused").items() if stay == "reused-2"}
    stage.demand(again == fresh, "cross-patient", "a second stay under the same id is not that of a new patient")
    late = [record for record in evidence.rejected if record.key == b"merged"]
    stage.demand(len(late) >= 3, "lost-event", "events of a merged patient were not refused")
    alerts = [plain(record.value) for record in evidence.alerts if record.key == b"merged"]
    stage.empty_unless(bool(alerts), "the merged patient had no alert")
    stage.demand(not alerts or alerts[-1]["state"] != "active", "lost-alert", "a merged patient's alert stays open")


@scenario("silent-two-days", most_rounds=5)
def silent(stage: Stage) -> None:
    """Nothing of a patient for two days of event time, then more of the same stay; the owner dies in between."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=100)
    with stage.ward(rate=60.0) as chaos:
        _observe(chaos, "silent", begin)
        chaos.await_worked_off()
        for instance in ("worker-1", "worker-2"):
            chaos.kill(instance)
            chaos.start(instance, wait=False)
        _observe(chaos, "silent", begin + timedelta(hours=_HOURS + 48), 4)
        chaos.flowing(300)
    steps = sorted(step for _, step in _steps(stage.evidence, "silent"))
    stage.demand(
        steps == list(range(_HOURS + 48 + 3)), "lost-event", f"closed steps {steps[:3]}..., {len(steps)} in all"
    )
