"""The handover of a ward: who has an alert, who is near one, whom nobody sees, and what the last shift was like.

Pure: from a ward as it stands and a shift's counts to sections of rows, which are printed as text, JSON or HTML alike.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agents.messages import Doubt
from monitor.alert_lines import leading_signs, percent
from monitor.shift import Shift
from monitor.ward_now import Patient, WardNow, when

__all__ = ["NOBODY", "Section", "as_html", "as_json", "sections", "shift_lines"]

NOBODY = "Nobody is known here."
_MINUTES = 60
_SIGNS = {"too_few": "too few vital signs", "too_old": "vital signs too old", "unlike": "unlike the training data"}


@dataclass(frozen=True)
class Section:
    """One list of patients: a heading, what the columns are, a row for each patient, and what an empty list means."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str


def sections(ward: WardNow, now: datetime) -> tuple[Section, ...]:
    """Return the lists of a handover, the most pressing first; of nobody none says that all is well."""
    found = (
        _section("open", "Open alerts", "No alert is open.", ward.alerting(), now),
        _section("near", "Near an alert", "Nobody is near an alert.", ward.near(), now),
        _section("snoozed", "Snoozed alerts", "No alert is snoozed.", ward.snoozed(), now),
        _section(
            "dismissed", "Dismissed, still over the threshold", "No dismissed one is over it.", ward.dismissed(), now
        ),
        _section("unmonitored", "Not monitored", "Data come of everybody.", ward.silent(), now),
        _section("cannot_assess", "Cannot be assessed", "Everybody can be assessed.", ward.unassessable(), now),
        _section("held", "Treated already: no alert is raised", "Nobody is held back.", ward.held(), now),
    )
    return found if ward.present() else tuple(replace(each, empty=NOBODY) for each in found)


def _section(key: str, title: str, empty: str, patients: Sequence[Patient], now: datetime) -> Section:
    columns = _COLUMNS[key]
    names = ("patient", "unit/bed", *(name for name, _ in columns))
    rows = tuple(
        (patient.patient_id, _place(patient), *(cell(patient, now) for _, cell in columns)) for patient in patients
    )
    return Section(key, title, names, rows, empty)


def _place(patient: Patient) -> str:
    return "/".join(part for part in (patient.unit, patient.bed) if part) or "unknown"


def _since(moment: datetime | str | None, now: datetime) -> str:
    """Return since when, and for how long."""
    if moment is None:
        return "unknown"
    at = when(moment) if isinstance(moment, str) else moment
    return f"{at:%d %b %H:%M} ({_long(at, now)})"


def _long(moment: datetime, now: datetime) -> str:
    minutes = max(0, round((now - moment).total_seconds() / 60))
    return f"{minutes // _MINUTES} h {minutes % _MINUTES:02d} min" if minutes >= _MINUTES else f"{minutes} min"


def _risk(patient: Patient, now: datetime) -> str:
    """Return the risk; what was known last is not the risk now where nothing comes any more."""
    score = patient.score
    if score is None or not score.assessable:
        return "unknown"
    if patient.lost:
        return f"unknown (was {percent(score.risk)}, {_long(when(score.time), now)} ago)"
    return percent(score.risk)


_Cell = Callable[[Patient, datetime], str]
_Columns = tuple[tuple[str, _Cell], ...]


def _alert(what: Callable[..., str], kind: str = "sepsis_risk") -> _Cell:
    """Return a cell that tells something of an open alert."""
    return lambda patient, now: what(patient.alerts[kind], now)


def _doubt_of(patient: Patient) -> Doubt | None:
    """Return why the risk means nothing: by the latest score, or by the alert where there is none."""
    alert = patient.alerts.get("cannot_assess")
    return (patient.score.doubt if patient.score else None) or (alert.doubt if alert else None)


def _doubt(patient: Patient) -> str:
    doubt = _doubt_of(patient)
    return "" if doubt is None else _SIGNS.get(doubt.reason, doubt.reason)


def _measure(patient: Patient) -> str:
    doubt = _doubt_of(patient)
    return "" if doubt is None or doubt.vital_sign is None else doubt.vital_sign.replace("_", " ")


def _held_until(patient: Patient) -> str:
    until = None if patient.score is None else patient.score.held_until
    return "" if until is None else f"{when(until):%d %b %H:%M}"


_OPEN: _Columns = (
    ("priority", _alert(lambda alert, _: alert.priority)),
    ("state", _alert(lambda alert, _: alert.state)),
    ("raised", _alert(lambda alert, now: _since(alert.raised_at, now))),
    ("risk now", _risk),
    ("why", _alert(lambda alert, _: alert.summary or ", ".join(leading_signs(alert)))),
)
_NEAR: _Columns = (
    ("risk now", _risk),
    ("near since, at the latest", lambda patient, now: _since(patient.near_since, now)),
    ("NEWS2, partial", lambda patient, _: "" if patient.score is None else str(patient.score.news2_partial)),
)
_SNOOZED: _Columns = (
    ("until", _alert(lambda alert, _: "" if alert.snoozed_until is None else f"{when(alert.snoozed_until):%H:%M}")),
    ("raised", _alert(lambda alert, now: _since(alert.raised_at, now))),
    ("risk now", _risk),
)
_DISMISSED: _Columns = (
    ("risk now", _risk),
    ("dismissed", lambda patient, now: _since(patient.dismissed.occurred_at if patient.dismissed else None, now)),
    ("reason", lambda patient, _: (patient.dismissed.reason if patient.dismissed else None) or ""),
    ("by", lambda patient, _: (patient.dismissed.by if patient.dismissed else None) or ""),
)
_SILENT: _Columns = (
    ("nothing since", _alert(lambda alert, now: _since(alert.since, now), "monitoring_lost")),
    ("missing", _alert(lambda alert, _: ", ".join(alert.missing).replace("_", " "), "monitoring_lost")),
)
_DOUBTFUL: _Columns = (
    ("why", lambda patient, _: _doubt(patient)),
    ("would settle it", lambda patient, _: _measure(patient)),
    (
        "since, at the latest",
        lambda patient, now: _since(
            patient.alerts["cannot_assess"].since if "cannot_assess" in patient.alerts else patient.unassessable_since,
            now,
        ),
    ),
)
_HELD: _Columns = (
    ("until", lambda patient, _: _held_until(patient)),
    ("risk now", _risk),
)


_COLUMNS = {
    "open": _OPEN,
    "near": _NEAR,
    "snoozed": _SNOOZED,
    "dismissed": _DISMISSED,
    "unmonitored": _SILENT,
    "cannot_assess": _DOUBTFUL,
    "held": _HELD,
}


def shift_lines(shift: Shift) -> list[str]:
    """Return what a shift was like, in plain lines."""
    per_day = shift.raised_per_patient_day
    rate = "" if per_day is None else f", {per_day:.2f} a patient-day ({shift.patient_days:.1f} patient-days)"
    waited = shift.median_minutes_to_acknowledge
    soon = "" if waited is None else f", half of them within {waited:.0f} min"
    marked = shift.marked_true + shift.marked_false + shift.marked_already_treated
    words = f"{shift.marked_true} true, {shift.marked_false} false, {shift.marked_already_treated} already treated" + (
        "" if shift.ppv is None else f": {shift.ppv:.0%} were right"
    ).replace("%", " %")
    return [
        f"{shift.raised} alerts raised{rate}; {shift.escalated} escalations, {shift.resolved} resolved",
        f"{shift.acknowledged} acknowledged{soon}",
        f"marked: {words}" if marked else "none was marked: nobody can say how often the alerts were right",
        f"monitoring was lost {shift.monitoring_lost} times, and {shift.cannot_assess} times too little was known",
    ]


def as_json(
    found: Sequence[Section], shift: Shift, *, unit: str | None, now: datetime, patients: int
) -> dict[str, object]:
    """Return a handover as plain values: a list of rows by column for each section, and the shift's counts.

    `note` says so where there are no patients: that every list is empty says nothing then.
    """
    return {
        "unit": unit,
        "at": now.isoformat(),
        "patients": patients,
        "note": None if patients else NOBODY,
        **{each.key: [dict(zip(each.columns, row, strict=True)) for row in each.rows] for each in found},
        "last_shift": shift.as_json(),
    }


_STYLE = """body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#111}h1{font-size:1.4em}h2{font-size:1.1em;
margin:1.4em 0 .3em}table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid #ccc;padding:.3em .6em;
text-align:left;vertical-align:top}th{background:#f2f2f2}p{margin:.3em 0}.note{color:#555}
@media print{body{margin:0}h2{break-after:avoid}tr{break-inside:avoid}}"""


def as_html(found: Sequence[Section], shift: Shift, *, title: str, note: str) -> str:
    """Return a handover as one page that needs nothing else, to print or to show; every text is escaped."""
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f"<style>{_STYLE}</style></head>",
        f'<body><h1>{html.escape(title)}</h1><p class="note">{html.escape(note)}</p>',
        *(_section_html(each) for each in found),
        "<h2>The last shift</h2>",
        *(f"<p>{html.escape(line)}</p>" for line in shift_lines(shift)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _section_html(section: Section) -> str:
    heading = f"<h2>{html.escape(section.title)} ({len(section.rows)})</h2>"
    if not section.rows:
        return f'{heading}\n<p class="note">{html.escape(section.empty)}</p>'
    head = "".join(f"<th>{html.escape(name)}</th>" for name in section.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in section.rows
    )
    return f"{heading}\n<table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
