"""An alert event as one line for people."""

from __future__ import annotations

from datetime import datetime
from typing import get_args, get_type_hints

from agents.messages import AlertEvent, Reading
from models.vital_signs import VITAL_SIGNS

__all__ = ["alert_line", "leading_signs", "percent", "place"]

_LEADING = 3
_LABELS = {sign.name: sign.label.lower() for sign in VITAL_SIGNS}
_UNITS = {sign.name: sign.unit if sign.unit.startswith("/") else f" {sign.unit}" for sign in VITAL_SIGNS}
_MINUTES = 60
_TRANSITION_WIDTH = max(map(len, get_args(get_type_hints(AlertEvent)["transition"])))


def alert_line(event: AlertEvent) -> str:
    """Return time, transition, priority, patient, place, risk, what speaks for it, and why it moved.

    What speaks for it is the summary of the reasons or, where there is none, the leading vital signs. The answer to a
    command that could not be obeyed says why, and nothing of the patient: it may be of an alert that nobody had.
    """
    when = datetime.fromisoformat(event.occurred_at).strftime("%Y-%m-%d %H:%M:%S%z").replace("+0000", "Z")
    head = f"{when}  {event.transition.upper():<{_TRANSITION_WIDTH}}  {event.priority:<6}  {event.patient_id}"
    by = f"by {event.by}" if event.by else ""
    if event.transition == "rejected":
        return "  ".join(part for part in (head, place(event), event.cause, by) if part)
    what = event.kind.replace("_", " ")
    if event.kind == "sepsis_risk" and event.risk is not None:
        what = f"risk {percent(event.risk)}"
        what += "" if event.threshold is None else f" (threshold {percent(event.threshold)})"
    why = event.summary if event.reasons and event.summary else ", ".join(leading_signs(event))
    parts = (head, place(event), what, why, event.cause, by)
    return "  ".join(part for part in parts if part)


def leading_signs(event: AlertEvent, most: int = _LEADING) -> list[str]:
    """Return the vital signs that moved the risk the way of this event, most first, each with its value and age.

    Where the event names no reasons, the vital signs measured last stand in for them.
    """
    towards = -1.0 if event.transition in {"resolved", "expired"} else 1.0
    moved = sorted(event.reasons, key=lambda reason: -towards * reason.contribution)
    names = [reason.vital_sign for reason in moved if towards * reason.contribution > 0] or sorted(
        event.vital_signs, key=lambda name: event.vital_signs[name].age_minutes
    )
    return [_reading(name, event.vital_signs[name]) for name in names if name in event.vital_signs][:most]


def percent(risk: float) -> str:
    """Return a probability in per cent, with the digits that matter for small ones."""
    return f"{risk:.1%}".replace("%", " %")


def place(event: AlertEvent) -> str:
    """Return unit and bed, as far as they are known."""
    return "/".join(part for part in (event.unit, event.bed) if part)


def _reading(name: str, reading: Reading) -> str:
    value = f"{_LABELS.get(name, name)} {reading.value:.4g}{_UNITS.get(name, '')}"
    return f"{value} ({_age(reading.age_minutes)} ago)" if reading.age_minutes else value


def _age(minutes: int) -> str:
    if minutes < _MINUTES:
        return f"{minutes} min"
    return f"{minutes // _MINUTES} h {minutes % _MINUTES:02d}" if minutes % _MINUTES else f"{minutes // _MINUTES} h"
