"""The columns of a handover's lists: what each says of a patient to people, and the same to a program.

To a program a risk is a number, a time RFC 3339, a vital sign or a reason its name in the contract; null: unknown, or
there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.messages import AlertEvent, Doubt
from monitor.alert_lines import leading_signs, percent
from monitor.ward_now import Patient, when

__all__ = ["COLUMNS", "Column", "place"]

_Words = Callable[[Patient], str | None]
_MINUTES = 60
_OLD = timedelta(minutes=90)  # from when on a risk is told with its age: of a patient watched live it is silence
_SIGNS = {"too_few": "too few vital signs", "too_old": "vital signs too old", "unlike": "unlike the training data"}


@dataclass(frozen=True)
class Column:
    """A heading, the text beneath it for a patient at a time, and the same as values by their names."""

    title: str
    text: Callable[[Patient, datetime], str]
    values: Callable[[Patient], dict[str, object]]


def place(patient: Patient) -> str:
    """Return where a patient is, for people."""
    return "/".join(part for part in (patient.unit, patient.bed) if part) or "unknown"


def _time(moment: datetime | str | None) -> datetime | None:
    return when(moment) if isinstance(moment, str) else moment


def _long(moment: datetime, now: datetime) -> str:
    minutes = max(0, round((now - moment).total_seconds() / 60))
    return f"{minutes // _MINUTES} h {minutes % _MINUTES:02d} min" if minutes >= _MINUTES else f"{minutes} min"


def _plain(title: str, name: str, value: Callable[[Patient], str | None]) -> Column:
    """Return a column whose text is its value."""
    return Column(title, lambda patient, _: value(patient) or "", lambda patient: {name: value(patient)})


def _at(title: str, name: str, moment: Callable[[Patient], datetime | str | None], form: str) -> Column:
    """Return a column with a time to come."""

    def text(patient: Patient, _: datetime) -> str:
        at = _time(moment(patient))
        return "" if at is None else format(at, form)

    return Column(title, text, lambda patient: {name: _rfc3339(moment(patient))})


def _since(title: str, name: str, moment: Callable[[Patient], datetime | str | None]) -> Column:
    """Return a column with a time that has gone, and for how long."""

    def text(patient: Patient, now: datetime) -> str:
        at = _time(moment(patient))
        return "unknown" if at is None else f"{at:%d %b %H:%M} ({_long(at, now)})"

    return Column(title, text, lambda patient: {name: _rfc3339(moment(patient))})


def _since_at_least(
    title: str, name: str, moment: Callable[[Patient], datetime | str | None], longer: Callable[[Patient], bool]
) -> Column:
    """Return a column with a time that has gone, and whether it may have begun before."""
    exact = _since(title, name, moment)

    def text(patient: Patient, now: datetime) -> str:
        return ("since at least " if longer(patient) else "") + exact.text(patient, now)

    return Column(title, text, lambda patient: {**exact.values(patient), f"{name}_at_least": longer(patient)})


def _rfc3339(moment: datetime | str | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment


def _risk_text(patient: Patient, now: datetime) -> str:
    """Return the risk; what was known last is not the risk now where nothing comes any more."""
    score = patient.score
    if score is None or not score.assessable:
        return "unknown"
    at, ago = when(score.time), _long(when(score.time), now)
    if patient.lost:
        return f"unknown (was {percent(score.risk)}, {ago} ago)"
    return percent(score.risk) + (f" ({ago} ago)" if now - at >= _OLD else "")


def _risk_values(patient: Patient) -> dict[str, object]:
    score = patient.score
    if score is None or not score.assessable:
        return {"risk": None, "last_risk": None, "last_risk_at": None}
    return {"risk": None if patient.lost else score.risk, "last_risk": score.risk, "last_risk_at": score.time}


def _doubt(patient: Patient) -> Doubt | None:
    """Return why the risk means nothing: by the latest score, or by the alert where there is none."""
    alert = patient.alerts.get("cannot_assess")
    return (patient.score.doubt if patient.score else None) or (alert.doubt if alert else None)


def _why(patient: Patient, _: datetime) -> str:
    doubt = _doubt(patient)
    return "" if doubt is None else _SIGNS.get(doubt.reason, doubt.reason)


def _settles(patient: Patient, _: datetime) -> str:
    doubt = _doubt(patient)
    return "" if doubt is None or doubt.vital_sign is None else doubt.vital_sign.replace("_", " ")


def _doubtful_since(patient: Patient) -> datetime | str | None:
    alert = patient.alerts.get("cannot_assess")
    return patient.unassessable_since if alert is None else alert.since


def _doubtful_longer(patient: Patient) -> bool:
    return "cannot_assess" not in patient.alerts and patient.unassessable_longer


def _of(event: Callable[[Patient], AlertEvent | None]) -> Callable[[Callable[[AlertEvent], str | None]], _Words]:
    """Return what tells something of one event of a patient; None where there is none."""

    def telling(what: Callable[[AlertEvent], str | None]) -> _Words:
        def told(patient: Patient) -> str | None:
            found = event(patient)
            return None if found is None else what(found)

        return told

    return telling


_sepsis, _dismissal = _of(lambda patient: patient.sepsis), _of(lambda patient: patient.dismissed)
_silence = _of(lambda patient: patient.silence)


def _missing(patient: Patient) -> list[str]:
    return [] if patient.silence is None else patient.silence.missing


_RISK = Column("risk now", _risk_text, _risk_values)
_RAISED = _since("raised", "raised_at", _sepsis(lambda alert: alert.raised_at))

COLUMNS: dict[str, tuple[Column, ...]] = {
    "open": (
        _plain("priority", "priority", _sepsis(lambda alert: alert.priority)),
        _plain("state", "state", _sepsis(lambda alert: alert.state)),
        _RAISED,
        _RISK,
        _plain("why", "why", _sepsis(lambda alert: alert.summary or ", ".join(leading_signs(alert)))),
    ),
    "near": (
        _RISK,
        _since_at_least("near since", "near_since", lambda patient: patient.near_since, lambda p: p.near_longer),
        Column(
            "NEWS2, partial",
            lambda patient, _: "" if patient.score is None else str(patient.score.news2_partial),
            lambda patient: {"news2_partial": None if patient.score is None else patient.score.news2_partial},
        ),
    ),
    "snoozed": (_at("until", "snoozed_until", _sepsis(lambda alert: alert.snoozed_until), "%H:%M"), _RAISED, _RISK),
    "dismissed": (
        _RISK,
        _since("dismissed", "dismissed_at", _dismissal(lambda event: event.occurred_at)),
        _plain("reason", "reason", _dismissal(lambda event: event.reason)),
        _plain("by", "by", _dismissal(lambda event: event.by)),
    ),
    "unmonitored": (
        _since("nothing since", "nothing_since", _silence(lambda alert: alert.since)),
        Column(
            "missing",
            lambda patient, _: ", ".join(_missing(patient)).replace("_", " "),
            lambda patient: {"missing": _missing(patient)},
        ),
        _plain("alert", "state", _silence(lambda alert: "dismissed" if alert.state == "ended" else alert.state)),
    ),
    "cannot_assess": (
        Column("why", _why, lambda patient: {"doubt": doubt.reason if (doubt := _doubt(patient)) else None}),
        Column(
            "would settle it",
            _settles,
            lambda patient: {"vital_sign": doubt.vital_sign if (doubt := _doubt(patient)) else None},
        ),
        _since_at_least("since", "since", _doubtful_since, _doubtful_longer),
    ),
    "held": (
        _at("until", "held_until", lambda patient: patient.score.held_until if patient.score else None, "%d %b %H:%M"),
        _RISK,
    ),
}
