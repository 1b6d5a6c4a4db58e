"""What a demo came to: the object that a program reads, and the table that a person reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from monitor.demo_feed import Latency
from monitor.demo_ward import Fate, Patient

__all__ = ["DemoResult", "summary_rows"]

_HOURS_A_DAY = 24.0


@dataclass(frozen=True)
class DemoResult:
    """The numbers of one demo that ran to its end."""

    stays: int
    patient_hours: int
    observations_sent: int  # records, repeats included
    accepted: int  # of them, those that entered a stay, by the workers' own count
    rejected: int  # refusals, whole observations or single values of one, by the workers' own count
    steps_closed: int
    alerts: Mapping[str, int]  # events of sepsis alerts by transition
    technical_alerts: int  # raised: monitoring lost, cannot assess
    seconds: float  # from the first admission sent to the last result read
    latency: Latency | None
    alerts_file: Path | None
    ended: tuple[Patient, ...]
    disagreements: tuple[str, ...] = ()  # between the workers' counts and what the topics hold: there should be none

    @property
    def events_per_second(self) -> float:
        """Observations worked off a second, over the whole run."""
        return self.observations_sent / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        """Return the result as plain values."""
        return {
            "stays": self.stays,
            "observations_sent": self.observations_sent,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "steps_closed": self.steps_closed,
            "alerts": dict(self.alerts),
            "technical_alerts": self.technical_alerts,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.events_per_second, 1),
            "latency_ms": None if self.latency is None else self.latency._asdict(),
            "alerts_file": None if self.alerts_file is None else str(self.alerts_file),
        }


def summary_rows(result: DemoResult) -> list[tuple[str, str]]:
    """Return the lines of the summary, as what and how much."""
    outcomes = [patient.outcome() for patient in result.ended]
    fates = Counter(outcome.fate for outcome in outcomes)
    leads = [
        outcome.lead_hours for outcome in outcomes if outcome.fate is Fate.EARLY and outcome.lead_hours is not None
    ]
    raised = ", ".join(f"{count} {transition}" for transition, count in result.alerts.items() if count) or "none"
    rows = [
        ("stays", f"{result.stays}, {result.patient_hours} patient-hours"),
        ("observations", f"{result.observations_sent} sent, {result.accepted} accepted, {result.rejected} refusals"),
        ("hours closed", str(result.steps_closed)),
        ("alert events", raised),
    ]
    if result.technical_alerts:
        rows.append(("technical alerts", str(result.technical_alerts)))
    if fates[Fate.UNKNOWN] < len(result.ended):
        early = f"{fates[Fate.EARLY]}" + (f" (median {median(leads):.1f} h before)" if leads else "")
        rows += [
            ("septic stays", str(sum(fates[fate] for fate in (Fate.EARLY, Fate.LATE, Fate.MISSED)))),
            ("  alert before onset", early),
            ("  alert after onset", str(fates[Fate.LATE])),
            ("  missed", str(fates[Fate.MISSED])),
            ("stays without sepsis", str(fates[Fate.FALSE] + fates[Fate.QUIET])),
            ("  false alert", f"{fates[Fate.FALSE]}{_burden(result)}"),
            ("  quiet", str(fates[Fate.QUIET])),
        ]
    if result.latency is not None:
        rows.append(("append to result", f"p50 {result.latency.p50:.0f} ms, p99 {result.latency.p99:.0f} ms"))
    rows.append(("time", f"{result.seconds:.1f} s, {result.events_per_second:.0f} observations a second"))
    if result.alerts_file is not None:
        rows.append(("alert events in", str(result.alerts_file)))
    return rows


def _burden(result: DemoResult) -> str:
    """Return how many false alerts a patient-day there were: what a ward pays for the early ones."""
    alerts = sum(len(patient.alerts) for patient in result.ended if patient.outcome().fate is Fate.FALSE)
    days = result.patient_hours / _HOURS_A_DAY
    return f" ({alerts / days:.2f} such alerts a patient-day)" if days else ""
