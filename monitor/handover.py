"""The handover of a ward: who has an alert, who is near one, whom nobody sees, and what the last shift was like.

Pure: from a ward as it stands and a shift's counts to sections of rows, which are printed as text, JSON or HTML alike.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from monitor.handover_columns import COLUMNS, place
from monitor.shift import Shift
from monitor.ward_now import Patient, WardNow

__all__ = ["NOBODY", "Section", "as_html", "as_json", "sections", "shift_lines"]

NOBODY = "Nobody is known here."


@dataclass(frozen=True)
class Section:
    """One list of patients: a heading, what the columns are, a row for each patient, and what an empty list means."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str
    values: tuple[dict[str, object], ...] = ()  # the same rows for a program: risks as numbers, times as RFC 3339


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
    columns = COLUMNS[key]
    return Section(
        key,
        title,
        ("patient", "unit/bed", *(column.title for column in columns)),
        tuple((each.patient_id, place(each), *(column.text(each, now) for column in columns)) for each in patients),
        empty,
        tuple(
            {"patient_id": each.patient_id, "unit": each.unit, "bed": each.bed}
            | {name: value for column in columns for name, value in column.values(each).items()}
            for each in patients
        ),
    )


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
    """Return a handover as plain values: a list of patients for each section, and the shift's counts.

    `note` says so where there are no patients: that every list is empty says nothing then.
    """
    return {
        "unit": unit,
        "at": now.isoformat(),
        "patients": patients,
        "note": None if patients else NOBODY,
        **{each.key: list(each.values) for each in found},
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
