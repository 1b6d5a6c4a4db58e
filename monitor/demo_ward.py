"""What a demo knows of its ward: the risks and alerts that the topics brought, beside what the record says came true.

Pure: fed with decoded messages, asked for a picture. The record's truth about a stay is only told once the stay has
ended; until then the view knows no more than a ward would.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple, get_args, get_type_hints

import numpy as np

from agents.messages import AlertEvent, RiskScore
from models.cohort import Cohort
from monitor.replay import ReplayStream

__all__ = ["TRANSITIONS", "Alert", "Fate", "Outcome", "Patient", "Stay", "Ward", "stays_of"]

TRANSITIONS: tuple[str, ...] = get_args(get_type_hints(AlertEvent)["transition"])
_HOURS_FROM_LABEL_TO_ONSET = 6  # SepsisLabel is 1 from six hours before onset on
_USEFUL_HOURS = 12  # before onset: from when on the challenge's utility rewards an alarm
_HISTORY = 48  # closed hours kept for the sparkline
_HOUR = 3600.0


class Fate(Enum):
    """What became of a stay, in the words of the view."""

    EARLY = "alert before onset"
    LATE = "alert after onset"
    MISSED = "missed"
    FALSE = "false alert"
    QUIET = "quiet"
    UNKNOWN = "not labelled"


@dataclass(frozen=True)
class Stay:
    """A stay of the replay, and what its record says."""

    patient_id: str
    place: str  # unit/bed
    start: float  # seconds since 1970
    labelled: bool
    onset_hour: float | None  # hours from the start to sepsis; None: not septic


class Outcome(NamedTuple):
    """The fate of a stay; `lead_hours` from the raising of its alert to onset, negative where it was raised after."""

    fate: Fate
    lead_hours: float | None


@dataclass
class Alert:
    """One alert on a patient's risk, in hours from the stay's start."""

    raised: float
    ended: float | None = None


@dataclass
class Patient:
    """One stay as the topics show it."""

    stay: Stay
    step: int = 0
    closed_step: int = -1  # the last one
    risk: float = 0.0
    assessable: bool = True
    scored: bool = False
    ended: bool = False
    alerts: dict[str, Alert] = field(default_factory=dict)  # by alert_id, in order
    history: deque[float] = field(default_factory=lambda: deque(maxlen=_HISTORY))  # risks of closed hours

    @property
    def alerting(self) -> bool:
        """Whether an alert is open."""
        return any(alert.ended is None for alert in self.alerts.values())

    def outcome(self) -> Outcome:
        """Return what became of the stay, by what is known so far.

        An alert came before onset when it stood at any time in the twelve hours before; one that had been resolved
        by then warned of something else.
        """
        onset = self.stay.onset_hour
        if not self.stay.labelled:
            return Outcome(Fate.UNKNOWN, None)
        if onset is None:
            return Outcome(Fate.FALSE if self.alerts else Fate.QUIET, None)
        useful = (
            alert for alert in self.alerts.values() if alert.ended is None or alert.ended >= onset - _USEFUL_HOURS
        )
        first = min((alert.raised for alert in useful), default=None)
        if first is None:
            return Outcome(Fate.MISSED, None)
        return Outcome(Fate.EARLY if first <= onset else Fate.LATE, onset - first)


class Ward:
    """All stays of a demo; not to be used from two threads at once."""

    def __init__(self, stays: Sequence[Stay]) -> None:
        self.patients = {stay.patient_id: Patient(stay) for stay in stays}
        self.alerts: list[AlertEvent] = []  # each once, in order of arrival
        self.steps_closed = 0
        self.ended: list[Patient] = []  # in order
        self._seen: set[str] = set()

    def take_score(self, score: RiskScore) -> None:
        """Take a risk score in; a repeated one changes nothing that is shown."""
        patient = self.patients.get(score.patient_id)
        if patient is None:
            return
        patient.step, patient.risk, patient.assessable, patient.scored = score.step, score.risk, score.assessable, True
        for closed in score.closed:
            if closed.step > patient.closed_step:
                patient.closed_step = closed.step
                patient.history.append(closed.risk)
                self.steps_closed += 1
        if score.ended:
            self._end(patient)

    def take_alert(self, event: AlertEvent) -> bool:
        """Take an alert event in; return False for one that was seen before."""
        if event.event_id in self._seen:
            return False
        self._seen.add(event.event_id)
        self.alerts.append(event)
        patient = self.patients.get(event.patient_id)
        if patient is not None and event.kind == "sepsis_risk" and event.transition != "rejected":
            hour = (datetime.fromisoformat(event.occurred_at).timestamp() - patient.stay.start) / _HOUR
            alert = patient.alerts.setdefault(event.alert_id, Alert(hour))
            if event.state == "ended":
                alert.ended = hour
        return True

    def end_all(self) -> None:
        """Count every stay as ended: the replay is over."""
        for patient in self.patients.values():
            self._end(patient)

    def _end(self, patient: Patient) -> None:
        if not patient.ended:
            patient.ended = True
            self.ended.append(patient)

    def watched(self) -> list[Patient]:
        """Return the patients of whom something is known and whose stay goes on, the most worrying first.

        An open alert comes before a higher risk: the alert is what somebody has to answer.
        """
        present = [patient for patient in self.patients.values() if patient.scored and not patient.ended]
        return sorted(present, key=lambda patient: (not patient.alerting, -patient.risk, patient.stay.patient_id))

    def fates(self) -> Counter[Fate]:
        """Return how many of the ended stays came to which end."""
        return Counter(patient.outcome().fate for patient in self.ended)

    def transitions(self) -> dict[str, int]:
        """Return the count of events of sepsis alerts by transition, all transitions in it."""
        counts = Counter(event.transition for event in self.alerts if event.kind == "sepsis_risk")
        return {transition: counts[transition] for transition in TRANSITIONS}  # type: ignore[index]

    def technical(self) -> int:
        """Return how many technical alerts were raised."""
        return sum(event.source == "technical" and event.transition == "raised" for event in self.alerts)


def stays_of(stream: ReplayStream) -> list[Stay]:
    """Return the stays of a replay with what their records say."""
    cohort = stream.cohort
    return [
        Stay(
            patient_id=patient_id,
            place="/".join(stream.place(index)),
            start=float(stream.start[index]),
            labelled=cohort.labels is not None,
            onset_hour=_onset_hour(cohort, index),
        )
        for index, patient_id in enumerate(cohort.patient_ids)
    ]


def _onset_hour(cohort: Cohort, stay: int) -> float | None:
    """Return t_sepsis of the challenge in hours from the stay's start: the hour of the first label 1, plus 6."""
    if cohort.labels is None:
        return None
    begin, end = int(cohort.offsets[stay]), int(cohort.offsets[stay + 1])
    positive = np.flatnonzero(cohort.labels[begin:end])
    if not len(positive):
        return None
    return float(cohort.steps[begin + int(positive[0])]) + _HOURS_FROM_LABEL_TO_ONSET
