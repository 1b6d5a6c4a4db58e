"""The live view of a demo: a picture of the ward as something that rich can print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.messages import AlertEvent
from monitor.alert_lines import leading_signs, percent, place
from monitor.demo_ward import Fate, Patient, Ward
from monitor.sparkline import sparkline

__all__ = ["Picture", "draw", "fate_words"]

_COURSE = 24  # hours of the sparkline
_FRAMES = 9  # lines that are not rows: the head, three frames and the table's heading
_LEAST_ROWS = 9
_FATE_STYLES = {
    Fate.EARLY: "green",
    Fate.LATE: "yellow",
    Fate.MISSED: "red",
    Fate.FALSE: "magenta",
    Fate.QUIET: "dim",
    Fate.UNKNOWN: "dim",
}
_TALLY = {
    Fate.EARLY: "alert before onset",
    Fate.LATE: "after onset",
    Fate.MISSED: "missed",
    Fate.FALSE: "false alert",
    Fate.QUIET: "quiet",
    Fate.UNKNOWN: "not labelled",
}
_TRANSITION_STYLES = {
    "raised": "bold red",
    "escalated": "bold red",
    "resolved": "green",
    "expired": "yellow",
    "rejected": "magenta",
}


@dataclass(frozen=True)
class Picture:
    """What the view shows beside the ward."""

    title: str
    sent: int
    total: int
    rate: float  # events a second
    threshold: float  # of the policy: where an alert is raised


def draw(picture: Picture, ward: Ward, *, height: int) -> RenderableType:
    """Return the view of a ward, for a terminal of `height` lines."""
    rows = max(_LEAST_ROWS, height - _FRAMES)
    ended = max(3, rows // 4)
    alerts = max(3, rows // 3)
    watched = rows - ended - alerts
    patients = ward.watched()
    return Group(
        _head(picture, patients),
        Panel(
            _patients(patients[:watched], watched, picture.threshold), title="Most worrying now", border_style="blue"
        ),
        Panel(_alerts(ward.alerts[-alerts:], alerts, ward), title="Alerts", border_style="blue"),
        Panel(_ended(ward, ended), title="Stays that have ended: what the record says", border_style="blue"),
    )


def fate_words(patient: Patient) -> str:
    """Return what became of a stay in a few words, with the onset and the lead where there are any."""
    fate, lead = patient.outcome()
    if fate is Fate.UNKNOWN:
        return "not labelled, " + ("alert raised" if patient.alerts else "quiet")
    if patient.stay.onset_hour is None:
        return f"not septic, {fate.value}"
    septic = f"septic at hour {patient.stay.onset_hour:.0f}, "
    if lead is None:
        return septic + ("missed: its alert had ended long before" if patient.alerts else "missed: no alert")
    return septic + f"alert {abs(lead):.1f} h {'before' if fate is Fate.EARLY else 'after'} onset"


def _head(picture: Picture, patients: Sequence[Patient]) -> RenderableType:
    bar = Table.grid(expand=True, padding=(0, 1))
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    done = ProgressBar(total=max(1, picture.total), completed=picture.sent)
    bar.add_row(Text(picture.title, style="bold"), done, f"{picture.sent} of {picture.total} observations")
    alerting = sum(patient.alerting for patient in patients)
    doubtful = sum(not patient.assessable for patient in patients)
    facts = Text.assemble(
        (f"{len(patients)}", "bold"),
        " watched   ",
        (f"{alerting}", "bold red" if alerting else "bold"),
        " alerts open   ",
        (f"{doubtful}", "bold"),
        " not assessable   ",
        (f"{picture.rate:.0f}", "bold"),
        f" events/s   alerts at {percent(picture.threshold)}",
        no_wrap=True,
        overflow="ellipsis",
    )
    return Group(bar, facts)


def _patients(patients: Sequence[Patient], rows: int, threshold: float) -> RenderableType:
    table = Table(box=None, expand=True, padding=(0, 1), show_edge=False)
    table.add_column("patient", no_wrap=True)
    table.add_column("unit/bed", no_wrap=True)
    table.add_column("hour", justify="right", no_wrap=True)
    table.add_column("risk", justify="right", no_wrap=True)
    table.add_column(f"last {_COURSE} h", width=_COURSE, no_wrap=True)
    table.add_column("", ratio=1, no_wrap=True)
    for patient in patients:
        mark, style = _mark(patient, threshold)
        course = sparkline([*patient.history, patient.risk], width=_COURSE, top=2 * threshold)
        table.add_row(
            patient.stay.patient_id,
            patient.stay.place,
            str(patient.step),
            Text(percent(patient.risk), style=style),
            Text(f"{course:>{_COURSE}}", style=style),
            Text(mark, style=style),
        )
    for _ in range(rows - len(patients)):
        table.add_row()
    return table


def _mark(patient: Patient, threshold: float) -> tuple[str, str]:
    """Return what to say of a patient, and the colour that says it again."""
    if patient.alerting:
        return "● ALERT", "bold red"
    if not patient.assessable:
        return "? too little known", "dim"
    if patient.risk >= threshold / 2:
        return "▲ near", "yellow"
    return "", ""


def _alerts(events: Sequence[AlertEvent], rows: int, ward: Ward) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2))
    for _ in range(5):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for event in reversed(events):
        patient = ward.patients.get(event.patient_id)
        what = percent(event.risk or 0.0) if event.kind == "sepsis_risk" else event.kind.replace("_", " ")
        table.add_row(
            Text(event.transition.upper(), style=_TRANSITION_STYLES.get(event.transition, "")),
            event.patient_id,
            place(event) if patient is None else patient.stay.place,
            event.occurred_at[11:16],
            what,
            ", ".join(leading_signs(event)) or event.cause,
        )
    for _ in range(rows - len(events)):
        table.add_row()
    return table


def _ended(ward: Ward, rows: int) -> RenderableType:
    counts = ward.fates()
    tally = Text("   ", no_wrap=True, overflow="ellipsis").join(
        Text.assemble(f"{_TALLY[fate]} ", (str(counts[fate]), f"bold {_FATE_STYLES[fate]}"))
        for fate in _TALLY
        if fate is not Fate.UNKNOWN or counts[fate]
    )
    lines = [tally]
    told = [patient for patient in ward.ended if patient.outcome().fate is not Fate.QUIET]
    for patient in reversed(told[-(rows - 1) :]):
        style = _FATE_STYLES[patient.outcome().fate]
        words = f"{patient.stay.patient_id}  {patient.stay.place}  {fate_words(patient)}"
        lines.append(Text(words, style=style, no_wrap=True, overflow="ellipsis"))
    lines += [Text("")] * (rows - len(lines))
    return Group(*lines)
