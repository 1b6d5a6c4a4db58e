"""What alerts a shift had, and what people said of them: the burden, and how often the alerts were right.

Pure. Counted by event time, on alerts of `sepsis_risk` but for canaries'.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median

from agents.messages import AlertEvent
from monitor.ward_now import when

__all__ = ["RIGHT", "Shift", "shift_of", "verdict_of"]

RIGHT = frozenset({"true", "already_treated"})  # marks that say that an alert was right


@dataclass(frozen=True)
class Shift:
    """Counts of one shift; `ppv` is the share of the marked alerts that were right, None where none was marked."""

    begin: str
    end: str
    patient_days: float
    raised: int
    raised_per_patient_day: float | None
    escalated: int
    acknowledged: int
    median_minutes_to_acknowledge: float | None
    resolved: int
    marked_true: int
    marked_false: int
    marked_already_treated: int
    ppv: float | None
    monitoring_lost: int
    cannot_assess: int

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}


def shift_of(
    events: Iterable[AlertEvent], patient_days: float, begin: datetime, end: datetime, unit: str | None = None
) -> Shift:
    """Count what happened in [begin, end); an event that came twice counts once, a mark by its last word.

    An event counts for the unit where its patient was then, and so have `patient_days` to be counted:
    `monitor.budget.burden.Burden.patient_days`.
    """
    once = {event.event_id: event for event in events if not event.test and (unit is None or event.unit == unit)}
    every = sorted(once.values(), key=lambda event: (event.alert_id, event.sequence))
    here = [event for event in every if begin <= when(event.occurred_at) < end]
    sepsis = [event for event in here if event.kind == "sepsis_risk"]
    verdicts = {event.alert_id: verdict for event in sepsis if (verdict := verdict_of(event)) is not None}
    right = sum(verdict in RIGHT for verdict in verdicts.values())
    raised = _count(sepsis, "raised")
    waits = _waits(every, here)
    return Shift(
        begin=begin.isoformat(),
        end=end.isoformat(),
        patient_days=patient_days,
        raised=raised,
        raised_per_patient_day=raised / patient_days if patient_days else None,
        escalated=_count(sepsis, "escalated"),
        acknowledged=len(waits),
        median_minutes_to_acknowledge=median(waits) if waits else None,
        resolved=_count(sepsis, "resolved"),
        marked_true=sum(verdict == "true" for verdict in verdicts.values()),
        marked_false=sum(verdict == "false" for verdict in verdicts.values()),
        marked_already_treated=sum(verdict == "already_treated" for verdict in verdicts.values()),
        ppv=right / len(verdicts) if verdicts else None,
        monitoring_lost=_count([event for event in here if event.kind == "monitoring_lost"], "raised"),
        cannot_assess=_count([event for event in here if event.kind == "cannot_assess"], "raised"),
    )


def verdict_of(event: AlertEvent) -> str | None:
    """Return the mark that an event gives its alert; a command that was refused marks nothing."""
    return None if event.transition == "rejected" else event.verdict


def _count(events: list[AlertEvent], transition: str) -> int:
    return sum(event.transition == transition for event in events)


def _waits(every: list[AlertEvent], here: list[AlertEvent]) -> list[float]:
    """Return minutes from raising to the first acknowledgement, of the alerts first acknowledged in the shift.

    What a person's clock says may lie before the alert: then nobody waited.
    """
    first: dict[str, AlertEvent] = {}
    for event in every:
        if event.transition == "acknowledged" and event.kind == "sepsis_risk":
            first.setdefault(event.alert_id, event)
    ids = {event.event_id for event in here}
    return [
        max(0.0, (when(event.occurred_at) - when(event.raised_at or event.occurred_at)).total_seconds() / 60)
        for event in first.values()
        if event.event_id in ids
    ]
