"""Stays, scores and alerts of a made-up ward."""

from __future__ import annotations

from agents.messages import AlertEvent, ClosedStep, Identity, RiskScore, SourcePosition
from monitor.demo_ward import Stay
from monitor.replay import format_time
from tests.monitor.alert_examples import alert

__all__ = ["alert_at", "score", "stay"]

START = 1_795_000_000.0


def stay(patient: str = "p1", *, onset: float | None = None, labelled: bool = True) -> Stay:
    return Stay(patient, "A-MICU/01", START, labelled, onset)


def score(
    patient: str = "p1", *, step: int = 3, risk: float = 0.02, closed: tuple[int, ...] = (), ended: bool = False
) -> RiskScore:
    return RiskScore(
        patient_id=patient,
        stay_id=f"{patient}-1",
        time=format_time(START),
        step=step,
        risk=risk,
        closed=[ClosedStep(number, 0.01) for number in closed],
        assessable=True,
        ages_minutes={},
        news2_partial=0,
        qsofa_partial=0,
        sirs_partial=0,
        model=Identity("bedside", "1", "sha256:0"),
        source=SourcePosition(0, 0),
        ended=ended,
    )


def alert_at(hour: float, transition: str = "raised", *, number: int = 1, patient: str = "p1") -> AlertEvent:
    return alert(
        alert_id=f"alert-{number}",
        event_id=f"{number}-{transition}",
        transition=transition,
        state="ended" if transition == "resolved" else "active",
        patient_id=patient,
        occurred_at=format_time(START + hour * 3600),
    )
