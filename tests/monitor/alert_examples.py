"""Alert events to show and to follow."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.messages import AlertEvent, Identity, Reading, Reason, SourcePosition

__all__ = ["alert"]

_RAISED = AlertEvent(
    alert_id="7d5f1c9e-0000-5000-8000-000000000001",
    event_id="event-1",
    sequence=1,
    transition="raised",
    state="active",
    kind="sepsis_risk",
    source="physiological",
    priority="high",
    patient_id="p000018",
    stay_id="p000018-1",
    unit="A-MICU",
    bed="07",
    occurred_at="2026-11-22T10:00:07Z",
    published_at="2026-11-22T10:00:08Z",
    risk=0.0623,
    threshold=0.03,
    cause="The risk reached the threshold.",
    vital_signs={
        "heart_rate": Reading(118.0, 0),
        "temperature": Reading(38.9, 123),
        "oxygen_saturation": Reading(95, 5),
    },
    reasons=[Reason("oxygen_saturation", -0.1), Reason("heart_rate", 0.2), Reason("temperature", 0.6)],
    news2_partial=7,
    qsofa_partial=1,
    sirs_partial=2,
    model=Identity("bedside", "1.0.0", "sha256:0"),
    policy=Identity("bedside", "1", "sha256:0"),
    log=SourcePosition(3, 118273),
)


def alert(**changes: Any) -> AlertEvent:
    """Return a raised alert with `changes`."""
    return msgspec.structs.replace(_RAISED, **changes)
