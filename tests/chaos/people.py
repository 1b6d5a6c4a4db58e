"""Single patients beside the feed: admitted, observed, and always in the same way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Evidence
from tests.chaos.oracle import plain

__all__ = ["HOURS", "admit_all", "announce", "closed_steps", "observations", "observe"]

HOURS = 30


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def observations(patient: str, start: datetime, hours: int = HOURS) -> Iterator[bytes]:
    """Give the values of hourly observations of somebody who falls ill, the same for every patient."""
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
        yield json.dumps(body).encode()


def observe(chaos: ChaosWard, patient: str, start: datetime, hours: int = HOURS) -> None:
    """Send a patient's observations through the feed."""
    for value in observations(patient, start, hours):
        chaos.feed.send(chaos.ward.topics.observations, patient.encode(), value)


def closed_steps(evidence: Evidence, patient: str) -> Mapping[tuple[str, int], float]:
    """Return the risks of a patient's closed steps, by stay and step."""
    found: dict[tuple[str, int], float] = {}
    for record in evidence.scores:
        if record.key == patient.encode() and record.value is not None:
            body = plain(record.value)
            found.update({(body["stay_id"], step["step"]): step["risk"] for step in body["closed"]})
    return found


def announce(chaos: ChaosWard, patient: str, kind: str, moment: datetime, **more: Any) -> None:
    """Send an admission event."""
    body = {
        "patient_id": patient,
        "type": kind,
        "time": _time(moment),
        "event_id": f"{patient}:{kind}:{moment}",
        **more,
    }
    chaos.feed.send(chaos.ward.topics.admissions, patient.encode(), json.dumps(body).encode())


def admit_all(chaos: ChaosWard, patients: Sequence[str], moment: datetime) -> None:
    """Admit patients, and wait until that stands in their logs."""
    for patient in patients:
        announce(chaos, patient, "admitted", moment, unit="A", bed="1", age=70)
    chaos.await_appended()
