"""Every message of the contract as a typed struct: what the topics carry, field by field.

Readers ignore fields they do not know; writers send exactly these. Times are RFC 3339 with an offset. Units are in the
names or here: heart_rate and respiratory_rate /min, temperature °C, oxygen_saturation %, pressures mmHg, ages in
minutes unless a name says otherwise. Within a major version fields are only added, always optional.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from agents.policy import Policy

__all__ = [
    "ADMISSION_TYPE",
    "ALERT_TYPE",
    "CLOCK_TYPE",
    "COMMAND_TYPE",
    "OBEYED_TYPE",
    "OBSERVATION_TYPE",
    "SCHEMA_VERSION",
    "SCORE_TYPE",
    "SETTINGS_TYPE",
    "STAY_TYPE",
    "THRESHOLD_TYPE",
    "Admission",
    "AlertEvent",
    "Clock",
    "ClosedStep",
    "Command",
    "Doubt",
    "DoubtReason",
    "Due",
    "Identity",
    "Observation",
    "Reading",
    "Reason",
    "RiskScore",
    "Settings",
    "SourcePosition",
    "UnitThreshold",
]

SCHEMA_VERSION = 1

# CloudEvents types. A gateway need not send one: a record in the observations topic without ce_type is an observation.
OBSERVATION_TYPE = "org.sepsis-monitor.vitals.observed.v1"
ADMISSION_TYPE = "org.sepsis-monitor.stays.admission.v1"
STAY_TYPE = "org.sepsis-monitor.stays.appended.v1"  # an admission event, checked and appended to the patient's log
SCORE_TYPE = "org.sepsis-monitor.risk.scored.v1"
ALERT_TYPE = "org.sepsis-monitor.alerts.{transition}.v1"
COMMAND_TYPE = "org.sepsis-monitor.alerts.command.v1"
OBEYED_TYPE = "org.sepsis-monitor.commands.appended.v1"  # a command, checked and appended to the patient's log
CLOCK_TYPE = "org.sepsis-monitor.clock.v1"  # what the wall clock says of a patient, appended by the patient's worker
SETTINGS_TYPE = "org.sepsis-monitor.settings.v1"  # from here on a partition's records are decided on by these

THRESHOLD_TYPE = "org.sepsis-monitor.budgets.threshold.v1"  # from here on a unit's patients are alerted at another risk


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One observation of one or more vital signs of one patient (vitals.observations.v1)."""

    patient_id: str
    time: str
    event_id: str | None = None
    heart_rate: float | None = None
    respiratory_rate: float | None = None
    temperature: float | None = None
    oxygen_saturation: float | None = None
    systolic_bp: float | None = None
    diastolic_bp: float | None = None
    mean_arterial_pressure: float | None = None
    schema_version: int = SCHEMA_VERSION


class Admission(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the ADT feed says of a stay (stays.admissions.v1); appended to the patient's log in the same form.

    `time` is when it happened. `admitted` is the stay's start (default: `time` of the admitted event): steps count from
    it. `stay_id` defaults to the patient id with the stay's number. `hospital_admitted` is when the patient came to the
    hospital, before or after the start of this stay. `into` names the patient that goes on when two are merged.
    """

    patient_id: str
    type: Literal["admitted", "updated", "transferred", "discharged", "merged"]
    time: str
    event_id: str | None = None
    stay_id: str | None = None
    admitted: str | None = None
    age: float | None = None  # years
    sex: Literal["female", "male", "unknown"] | None = None
    unit: str | None = None
    bed: str | None = None
    unit_type: Literal["medical", "surgical", "unknown"] | None = None
    hospital_admitted: str | None = None
    into: str | None = None
    schema_version: int = SCHEMA_VERSION


class NamedCommand(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Which command it is, and which alert it means: as much as an answer needs."""

    command_id: str
    patient_id: str
    alert_id: str


class Command(NamedCommand, frozen=True, gc=False, omit_defaults=True):
    """What a person does to an alert (alerts.commands.v1); appended to the patient's log in the same form.

    `sequence` is the last transition that the person saw: the command is refused when the alert has moved on since.
    `by` is a role or a pseudonym. `minutes` belongs to a snooze, `reason` to a dismissal, `verdict` to a mark.
    `already_treated` also ends the alert and holds the next one back.
    """

    type: Literal["acknowledge", "snooze", "dismiss", "mark"]
    time: str
    sequence: int | None = None
    by: str | None = None
    minutes: float | None = None
    reason: str | None = None
    verdict: Literal["true", "false", "already_treated"] | None = None
    schema_version: int = SCHEMA_VERSION


class Due(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One thing that the wall clock has made due; `what` may be one that this version does not know."""

    what: str  # monitoring_lost, escalate, snooze_over, forget; erase, which people want; let_go
    log_begins: int = 0  # of let_go: the offset before which the partition's log holds nothing any more


class Clock(msgspec.Struct, frozen=True, gc=False):
    """What the wall clock says of a patient: acted on where it is read, and only as far as it is still true there."""

    patient_id: str
    time: str
    due: list[Due]
    schema_version: int = SCHEMA_VERSION


class SourcePosition(msgspec.Struct, frozen=True, gc=False):
    """Where in the observations topic the record stands that decided."""

    partition: int
    offset: int


class Identity(msgspec.Struct, frozen=True, gc=False):
    """A model or a policy, by name, version and the digest of its content."""

    name: str
    version: str
    digest: str


class Settings(msgspec.Struct, frozen=True, gc=False):
    """What decides on the records of a partition that stand after this one: policies, whole, and a model, by name.

    Patients of a unit that `units` names are alerted by its policy, all others by the common one.
    """

    policy: Policy
    model: Identity
    time: str
    schema_version: int = SCHEMA_VERSION
    units: dict[str, Policy] = {}


class UnitThreshold(msgspec.Struct, frozen=True, gc=False):
    """The raise threshold of a unit from here on, and the burden that moved it.

    `unit` is empty for the patients of whom no unit is known. `counted_until` is the event time up to which `episodes`
    (sepsis alerts that have ended, without a mark that says that they were right) and `patient_days` were counted: of
    two records of a unit the one that counted further holds. `policy` is the one whose budget and limits it follows:
    under another it means nothing.
    """

    unit: str
    raise_threshold: float
    counted_until: str
    episodes: int
    patient_days: float
    policy: Identity
    time: str
    schema_version: int = SCHEMA_VERSION


class ClosedStep(msgspec.Struct, frozen=True, gc=False):
    """The final risk of a step that has closed."""

    step: int
    risk: float


DoubtReason = Literal["too_few", "too_old", "unlike"]


class Doubt(msgspec.Struct, frozen=True, gc=False):
    """Why a risk cannot be assessed, and which vital sign to measure; none where no measurement would settle it.

    `too_few` vital signs were ever measured, those there are `too_old`, or they are `unlike` the training data.
    """

    reason: DoubtReason
    vital_sign: str | None


class Rebuilt(msgspec.Struct, frozen=True, gc=False):
    """Why the stored state of a patient could not be used, and how much of the stay was read again from the log.

    `hours` of the stay's event time are known again; with `whole_stay` nothing is missing.
    """

    cause: Literal["damaged", "foreign_key", "model_changed", "not_finite"]
    hours: float
    whole_stay: bool


class RiskScore(msgspec.Struct, frozen=True, gc=False):
    """The latest risk of a patient (risk.scores.v1).

    `risk` is provisional, over the open step `step`; `closed` has every step that closed since the score before.
    `ended` marks the last score of a stay. `doubt` is there where `assessable` is false. Until `held_until` no sepsis
    alert is raised: the patient was marked as already treated. `rebuilt` marks the first score after the stored state
    could not be used.
    """

    patient_id: str
    stay_id: str
    time: str
    step: int
    risk: float
    closed: list[ClosedStep]
    assessable: bool
    ages_minutes: dict[str, int]
    news2_partial: int
    qsofa_partial: int
    sirs_partial: int
    model: Identity
    source: SourcePosition
    ended: bool = False
    doubt: Doubt | None = None
    held_until: str | None = None
    test: bool = False  # a canary's
    rebuilt: Rebuilt | None = None

    @property
    def first_step(self) -> int:
        """The first step of which the score tells: the oldest that has closed, or the open one."""
        return self.closed[0].step if self.closed else self.step


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A vital sign as it was last known when an alert moved."""

    value: float
    age_minutes: int


class Reason(msgspec.Struct, frozen=True, gc=False):
    """How far a vital sign's values of the last hours moved the risk, in log-odds; positive means towards sepsis.

    `now`, `baseline` and `change` are in the vital sign's unit; `models/reasons.py` has the method.
    """

    vital_sign: str
    contribution: float
    by_hour: list[float] = []  # the contribution's parts, the oldest hour first, the last is the open one
    hours: int | None = None  # over which `change` came about
    now: float | None = None  # median of the last hour in which it was measured
    baseline: float | None = None  # this patient's mean of the stay before these hours; null: not measured before them
    change: float | None = None  # from the oldest of these hours to now; null: there is nothing to compare with


class AlertEvent(msgspec.Struct, frozen=True, gc=False):
    """One transition in the life of an alert (alerts.events.v1), and the alert as it stands (alerts.state.v1).

    `alert_id` is uuid5 of stay, kind and episode; `event_id` is uuid5 of alert and sequence. A replay or a crash
    repeats both. Everything but `published_at` is a function of the patient's log. A `rejected` event answers a command
    that could not be obeyed: it does not move the alert, and says nothing new of it. It has the `alert_id` that was
    named, and the last sequence and state of an alert that is the stay's last of its kind; of any other the sequence is
    0 and the state `ended`, whatever becomes of it.
    `risk` and `threshold` are null where there is none: a technical alert never shows a low risk.
    """

    alert_id: str
    event_id: str
    sequence: int
    transition: Literal[
        "raised",
        "updated",
        "escalated",
        "acknowledged",
        "snoozed",
        "marked",
        "resolved",
        "expired",
        "rejected",
    ]
    state: Literal["active", "acknowledged", "snoozed", "latched", "ended"]
    kind: Literal["sepsis_risk", "monitoring_lost", "cannot_assess"]
    source: Literal["physiological", "technical"]
    priority: Literal["low", "medium", "high"]
    patient_id: str
    stay_id: str
    unit: str | None
    bed: str | None
    occurred_at: str
    published_at: str
    risk: float | None
    threshold: float | None
    cause: str  # one plain sentence: why this transition
    vital_signs: dict[str, Reading]
    reasons: list[Reason]
    news2_partial: int
    qsofa_partial: int
    sirs_partial: int
    model: Identity
    policy: Identity
    log: SourcePosition
    raised_at: str | None = None
    since: str | None = None  # technical alerts: since when nothing came, or too little is known
    missing: list[str] = []  # technical alerts: the vital signs that stopped coming, or that were never measured
    doubt: Doubt | None = None  # cannot_assess: why, and what to measure
    command_id: str | None = None  # the command that did it, or could not be obeyed
    by: str | None = None
    reason: str | None = None  # of a dismissal, or the code of a rejection
    verdict: Literal["true", "false", "already_treated"] | None = None
    snoozed_until: str | None = None
    held_until: str | None = None  # no sepsis alert of this stay is raised before
    summary: str | None = None  # the reasons as one plain sentence, or why they are withheld
    baseline_risk: float | None = None  # what the risk would be, had the last hours shown the patient's own baselines
    reasons_method: str | None = None
    reasons_delta: float | None = None  # log-odds by which the contributions miss what they explain
    scores_disagreeing: list[str] = []  # of the three partial scores, those that see it otherwise
    test: bool = False  # a canary's: there is no such patient, and nobody must be paged
