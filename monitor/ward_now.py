"""A ward as the topics show it now: who is there, at what risk, with which alerts, and since when.

Pure: fed with the records of compacted topics in order, asked for pictures. It knows what the topics still hold: how
long a risk has been near the threshold, or could not be assessed, is told as far back as scores are there to say so,
and whether they reach back to where it began: a compacted topic holds the last one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agents.messages import Admission, AlertEvent, RiskScore

__all__ = ["Patient", "WardNow", "when"]

_PRIORITIES = {"high": 0, "medium": 1, "low": 2}
_SEPSIS, _LOST = "sepsis_risk", "monitoring_lost"
_AHEAD = timedelta(minutes=5)  # by so much a measurement may be stamped later than it came (`limits.ahead_seconds`)


def when(text: str) -> datetime:
    """Return a time of a message."""
    return datetime.fromisoformat(text)


@dataclass
class Patient:
    """What is known of one patient."""

    patient_id: str
    unit: str | None = None
    bed: str | None = None
    score: RiskScore | None = None
    near_since: datetime | None = None
    near_longer: bool = False  # for longer, maybe: what was before is not on the topic any more
    unassessable_since: datetime | None = None
    unassessable_longer: bool = False
    follows: bool = False  # whether the score is the stay's first one, or the one before it is known
    dismissals: dict[str, AlertEvent] = field(default_factory=dict)  # of the last alert of each kind, where it was one
    told: dict[str, AlertEvent] = field(default_factory=dict)  # by kind, the last word on an alert

    @property
    def alerts(self) -> dict[str, AlertEvent]:
        """The alerts that are open, by kind."""
        return {kind: event for kind, event in self.told.items() if event.state != "ended"}

    @property
    def present(self) -> bool:
        """Whether the patient's stay goes on, as far as scores and alerts say."""
        return bool(self.alerts) or (self.score is not None and not self.score.ended)

    @property
    def sepsis(self) -> AlertEvent | None:
        """The open alert on the risk of sepsis."""
        return self.alerts.get(_SEPSIS)

    @property
    def held(self) -> bool:
        """Whether no sepsis alert is raised for a time, because the patient is treated already."""
        return self.score is not None and self.score.held_until is not None

    @property
    def dismissed(self) -> AlertEvent | None:
        """The dismissal of the last sepsis alert of all."""
        return self.dismissals.get(_SEPSIS)

    @property
    def silence(self) -> AlertEvent | None:
        """The alert that says that nothing comes any more; once dismissed it holds until something has come."""
        last = self.dismissals.get(_LOST)
        if last is None or last.since is None or self.score is None or last.stay_id != self.score.stay_id:
            return self.alerts.get(_LOST)
        return last if when(self.score.time) <= when(last.since) + _AHEAD else None

    @property
    def lost(self) -> bool:
        """Whether nothing comes any more, so that the latest score says nothing of now."""
        return self.silence is not None


class WardNow:
    """The patients of one unit, or of all, without canaries; not to be used from two threads at once."""

    def __init__(
        self,
        near_risk: Callable[[str | None], float],
        over_risk: Callable[[str | None], float],
        unit: str | None = None,
    ) -> None:
        """Show a unit; None: all units.

        `near_risk` says from which risk on a patient of a unit is near an alert, and `over_risk` from which on an alert
        that is open goes on.
        """
        self._near_risk, self._over_risk, self._unit = near_risk, over_risk, unit
        self._patients: dict[str, Patient] = {}
        self._tests: set[str] = set()
        self._units: set[str] = set()

    def take_admission(self, said: Admission) -> None:
        """Note where a patient is."""
        self._note_unit(said.unit)
        patient = self._of(said.patient_id)
        patient.unit = said.unit or patient.unit
        patient.bed = said.bed or patient.bed

    def take_score(self, key: str, score: RiskScore | None) -> None:
        """Note a patient's latest risk; None: the patient is forgotten."""
        if score is None:
            self._patients.pop(key, None)
            return
        if score.test:
            self._tests.add(score.patient_id)
        patient = self._of(score.patient_id)
        if not _follows(patient.score, score):
            patient.near_since = patient.unassessable_since = None  # what was in between is not known
        patient.follows = score.first_step == 0 or _follows(patient.score, score)
        doubtful = not score.assessable and not score.ended
        if doubtful and patient.unassessable_since is None:
            patient.unassessable_since, patient.unassessable_longer = when(score.time), not patient.follows
        elif not doubtful:
            patient.unassessable_since = None
        patient.score = score
        self._note_near(patient)

    def take_alert(self, key: str, event: AlertEvent | None) -> None:
        """Note an alert as it stands; None: it is gone.

        A worker that was suspended as it sent may repeat an event that has been overtaken: it is no news.
        """
        name, _, kind = key.partition(":")
        if event is None:
            patient = self._of(name)
            patient.told.pop(kind or _SEPSIS, None)
            patient.dismissals.pop(kind or _SEPSIS, None)
            return
        if event.test:
            self._tests.add(event.patient_id)
        else:
            self._note_unit(event.unit)
        patient = self._of(event.patient_id)
        if _overtaken(event, patient.told.get(event.kind)):
            return
        patient.told[event.kind] = event
        patient.unit, patient.bed = patient.unit or event.unit, patient.bed or event.bed
        dismissal = _dismissal(event, patient.dismissals.pop(event.kind, None))
        if dismissal is not None:
            patient.dismissals[event.kind] = dismissal

    def _of(self, patient_id: str) -> Patient:
        return self._patients.setdefault(patient_id, Patient(patient_id))

    def _note_unit(self, unit: str | None) -> None:
        if unit:
            self._units.add(unit)

    def _note_near(self, patient: Patient) -> bool:
        """Note, and tell, whether a patient is near an alert as things stand: the unit and its threshold may move."""
        score = patient.score
        near = (
            score is not None and score.assessable and not score.ended and score.risk >= self._near_risk(patient.unit)
        )
        if score is not None and near and patient.near_since is None:
            patient.near_since, patient.near_longer = when(score.time), not patient.follows
        elif not near:
            patient.near_since = None
        return near

    def leave_out_after(self, at: datetime) -> None:
        """Forget alerts that were raised, and dismissals that came, after a time that has gone.

        How an alert stood then is not known, where it has moved since, nor what the risk was.
        """
        for patient in self._patients.values():
            patient.told = {
                kind: event
                for kind, event in patient.told.items()
                if event.state == "ended" or when(event.raised_at or event.occurred_at) <= at
            }
            patient.dismissals = {
                kind: last for kind, last in patient.dismissals.items() if when(last.occurred_at) <= at
            }

    # -- pictures

    @property
    def units(self) -> frozenset[str]:
        """The units that were ever named, also those that are not shown."""
        return frozenset(self._units)

    def known(self) -> list[Patient]:
        """Return all patients of the unit, also those who have left."""
        return [
            patient
            for patient in self._patients.values()
            if patient.patient_id not in self._tests and (self._unit is None or patient.unit == self._unit)
        ]

    def present(self) -> list[Patient]:
        """Return the patients who are there."""
        return [patient for patient in self.known() if patient.present]

    def alerting(self) -> list[Patient]:
        """Return those with an open alert on their risk, snoozed ones left out, the most pressing first."""
        return self._sorted((p for p in self.present() if p.sepsis and p.sepsis.state != "snoozed"), _pressing)

    def snoozed(self) -> list[Patient]:
        """Return those whose alert is snoozed, the one that ends first before the others."""
        return self._sorted(
            (p for p in self.present() if p.sepsis and p.sepsis.state == "snoozed"),
            lambda patient: (patient.sepsis.snoozed_until if patient.sepsis else None) or "",
        )

    def near(self) -> list[Patient]:
        """Return those without an alert on their risk who are near one, the highest risk first.

        Without those of whom a person has said that they need none for now.
        """
        return self._sorted(
            (p for p in self.present() if self._note_near(p) and not (p.sepsis or p.held or self._dismissed_over(p))),
            _by_risk,
        )

    def dismissed(self) -> list[Patient]:
        """Return those whose alert somebody dismissed, and whose risk has not fallen since; the highest first."""
        return self._sorted((p for p in self.present() if self._dismissed_over(p) and not p.held), _by_risk)

    def _dismissed_over(self, patient: Patient) -> bool:
        score, last = patient.score, patient.dismissed
        return (
            score is not None
            and last is not None
            and last.stay_id == score.stay_id
            and score.assessable
            and not score.ended
            and score.risk >= self._over_risk(patient.unit)
        )

    def silent(self) -> list[Patient]:
        """Return those of whom nothing comes any more, the longest silence first."""
        return self._sorted(
            (p for p in self.present() if p.lost),
            lambda patient: (patient.silence.since if patient.silence else None) or "",
        )

    def unassessable(self) -> list[Patient]:
        """Return those whose risk means nothing as things stand, the longest first."""
        return self._sorted(
            (p for p in self.present() if p.unassessable_since is not None or "cannot_assess" in p.alerts),
            lambda patient: str(patient.unassessable_since or patient.alerts["cannot_assess"].since),
        )

    def held(self) -> list[Patient]:
        """Return those in whom no alert is raised for a time, because they are treated already."""
        return self._sorted(
            (p for p in self.present() if p.held),
            lambda patient: patient.patient_id,
        )

    @staticmethod
    def _sorted(patients: Iterable[Patient], by: Callable[[Patient], object]) -> list[Patient]:
        return sorted(patients, key=lambda patient: (by(patient), patient.patient_id))


def _overtaken(event: AlertEvent, last: AlertEvent | None) -> bool:
    """Tell whether an event comes before the last word on its patient's alert of the kind, by the patient's log."""
    if last is None or last.log.partition != event.log.partition:
        return False
    same = last.alert_id == event.alert_id and last.log.offset == event.log.offset
    return event.log.offset < last.log.offset or (same and event.sequence < last.sequence)


def _follows(before: RiskScore | None, score: RiskScore) -> bool:
    """Tell whether there was no score of the stay between these two."""
    return before is not None and before.stay_id == score.stay_id and score.first_step <= before.step


def _dismissal(event: AlertEvent, before: AlertEvent | None) -> AlertEvent | None:
    """Return what dismissed a patient's last alert of a kind, which this event is of.

    A mark afterwards changes nothing. Nothing but a dismissal ends an alert by a command with a reason.
    """
    if event.state == "ended" and event.transition == "resolved" and event.command_id and event.reason:
        return event
    later = event.transition in {"marked", "rejected"} and before is not None and before.alert_id == event.alert_id
    return before if later else None


def _by_risk(patient: Patient) -> float:
    return -(patient.score.risk if patient.score else 0.0)


def _pressing(patient: Patient) -> tuple[int, str]:
    alert = patient.sepsis
    return (3, "") if alert is None else (_PRIORITIES[alert.priority], alert.raised_at or alert.occurred_at)
