"""Records of a made-up ward for tests of the live budget: admissions, scores and alert events as workers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agents.messages import Admission, AlertEvent, Identity, RiskScore
from agents.policy import Budget, Policy
from monitor.budget.burden import Burden
from tests.monitor.alert_examples import alert
from tests.monitor.test_ward_now import score

__all__ = ["BEGIN", "BUDGET", "POLICY", "admitted", "ended", "hour", "marked", "ms", "seen", "steady"]

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
BUDGET = Budget(0.5, 0.01, 0.04)
POLICY = Policy("icu", "1", "sha256:icu", 0.02, 0.016, model="m 1", budget=BUDGET)


def hour(at: float) -> str:
    """Return a time of the ward, in hours since its beginning."""
    return (BEGIN + timedelta(hours=at)).isoformat().replace("+00:00", "Z")


def ms(at: float) -> int:
    """Return the same as epoch milliseconds."""
    return round((BEGIN + timedelta(hours=at)).timestamp() * 1000)


def admitted(patient: str, at: float, unit: str | None, kind: Any = "admitted", **fields: Any) -> Admission:
    """Return an admission event."""
    return Admission(patient, kind, hour(at), unit=unit, **fields)


def seen(patient: str, at: float, since: float = 0.0, **fields: Any) -> RiskScore:
    """Return the score at `at` of a stay that began at `since`."""
    changes = {"patient_id": patient, "stay_id": f"{patient}-1", "time": hour(at), "step": int(at - since), **fields}
    return msgspec.structs.replace(score(), **changes)


def ended(name: str, at: float, unit: str | None = "A", **fields: Any) -> AlertEvent:
    """Return the end of a sepsis alert."""
    changes = {"sequence": 2, "transition": "resolved", "state": "ended", "policy": Identity("icu", "1", "sha256:icu")}
    return alert(alert_id=name, occurred_at=hour(at), unit=unit, **{**changes, **fields})


def marked(name: str, at: float, verdict: str, sequence: int = 3) -> AlertEvent:
    """Return what somebody said of an alert that has ended."""
    return ended(name, at, transition="marked", verdict=verdict, sequence=sequence)


def steady(beds: int, hours: float, episodes: int, unit: str = "A", start: float = 0.0) -> Burden:
    """Return what a unit of so many beds bore until `hours`, its false episodes spread evenly."""
    burden = Burden()
    for bed in range(beds):
        burden.take_admission(admitted(f"{unit}{bed}", start, unit))
        burden.take_score(seen(f"{unit}{bed}", hours, start))
    for number in range(episodes):
        burden.take_event(ended(f"{unit}-{number}", start + (number + 0.5) * (hours - start) / episodes, unit))
    return burden
