"""Patients' logs for tests: records as a broker delivers them, whole random logs, and a worker's loop in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import msgspec
from hypothesis import strategies as st

from agents.core import Core, Outcome
from agents.decoding import Headers, Limits
from agents.messages import (
    CLOCK_TYPE,
    OBEYED_TYPE,
    SETTINGS_TYPE,
    STAY_TYPE,
    THRESHOLD_TYPE,
    AlertEvent,
    Identity,
    RiskScore,
    Settings,
    UnitThreshold,
)
from agents.outputs import utc
from agents.policy import Policy
from agents.rejection import Rejection
from models.artifact import untrained_model

__all__ = [
    "BUSY",
    "EVENTFUL",
    "HOUR",
    "ILL",
    "LIMITS",
    "MINUTE",
    "MODEL",
    "START",
    "WELL",
    "Log",
    "Record",
    "Run",
    "admission",
    "between",
    "clock",
    "closed_risks",
    "command",
    "cuts_of",
    "garbage",
    "never_alerting",
    "new_core",
    "numbered",
    "observation",
    "patient_logs",
    "settings_record",
    "threshold_record",
    "vital_signs",
    "wards",
    "work_off",
]

START = 1_795_341_600_000  # 2026-11-22T10:00:00Z
MINUTE = 60_000
HOUR = 60 * MINUTE
LIMITS = Limits()
# What the untrained model of these tests says a high risk of, and a low one.
ILL = {"heart_rate": 150, "respiratory_rate": 38, "temperature": 35}
WELL = {"heart_rate": 70, "respiratory_rate": 14, "temperature": 37}
MODEL = untrained_model(1)
# Amid this model's risks: alerts come and go.
BUSY = Policy("busy", "1.0.0", "sha256:00", 0.079, 0.076, cannot_assess_minutes=0)
EVENTFUL = Policy(
    "eventful",
    "1.0.0",
    "sha256:01",
    0.052,
    0.049,
    raise_minutes=5,
    resolve_minutes=5,
    latching=True,
    latch_hours=2,
    escalate_threshold=0.065,
    update_step=0.002,
    update_minutes=10,
    snooze_rise=0.005,
    treated_hours=2,
    cannot_assess_minutes=30,
)


@dataclass(frozen=True)
class Record:
    """One record of the observations topic, with the attributes of aiokafka's ConsumerRecord that the code reads."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers = ()
    offset: int = 0
    topic: str = "vitals.observations.v1"
    partition: int = 0


Log = Sequence[Record]


def observation(patient: str, time_ms: int, **fields: object) -> Record:
    """Return an observation that the gateway appended at the time of measurement."""
    said = {"patient_id": patient, "time": utc(time_ms), **fields}
    return Record(patient.encode(), json.dumps(said).encode(), time_ms)


def admission(patient: str, kind: str, time_ms: int, *, source_offset: int | None = None, **fields: object) -> Record:
    """Return an admission event as it stands in the patient's log; times among the fields as RFC 3339 text."""
    said = {"patient_id": patient, "type": kind, "time": utc(time_ms), **fields}
    headers: list[tuple[str, bytes | None]] = [("ce_type", STAY_TYPE.encode())]
    if source_offset is not None:
        headers.append(("ce_source", f"/stays.admissions.v1/0/{source_offset}".encode()))
    return Record(patient.encode(), json.dumps(said).encode(), time_ms, tuple(headers))


def command(patient: str, kind: str, alert_id: str, time_ms: int, **fields: object) -> Record:
    """Return a command as it stands in the patient's log; without a `command_id` its id is made of what it says."""
    said: dict[str, object] = {"patient_id": patient, "type": kind, "alert_id": alert_id, "time": utc(time_ms)}
    said.update(fields)
    said.setdefault("command_id", hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()[:16])
    return Record(patient.encode(), json.dumps(said).encode(), time_ms, (("ce_type", OBEYED_TYPE.encode()),))


def clock(patient: str, time_ms: int, *due: str, log_begins: int = 0) -> Record:
    """Return what the wall clock says, as it stands in the patient's log."""
    what = [{"what": name, "log_begins": log_begins} for name in due]
    said = {"patient_id": patient, "time": utc(time_ms), "due": what}
    return Record(patient.encode(), json.dumps(said).encode(), time_ms, (("ce_type", CLOCK_TYPE.encode()),))


def settings_record(policy: Policy, time_ms: int = START, units: Mapping[str, Policy] | None = None) -> Record:
    """Return a record that names the policies for what stands after it."""
    model = Identity(MODEL.name, MODEL.version, MODEL.digest)
    said = Settings(policy, model, utc(time_ms), units=dict(units or {}))
    return Record(None, msgspec.json.encode(said), time_ms, (("ce_type", SETTINGS_TYPE.encode()),))


def threshold_record(
    unit: str, raise_threshold: float, policy: Policy, counted_ms: int = START, time_ms: int | None = None
) -> Record:
    """Return a record that moves a unit's threshold for what stands after it."""
    time_ms = max(START, counted_ms) if time_ms is None else time_ms
    named = Identity(policy.name, policy.version, policy.digest)
    said = UnitThreshold(unit, raise_threshold, utc(counted_ms), 3, 4.5, named, utc(time_ms))
    return Record(None, msgspec.json.encode(said), time_ms, (("ce_type", THRESHOLD_TYPE.encode()),))


def garbage(patient: str, time_ms: int) -> Record:
    """Return a record under a patient's key that cannot be read."""
    return Record(patient.encode(), b'{"patient_id": "' + patient.encode() + b'", "time": ', time_ms)


def numbered(records: Iterable[Record], first: int = 0) -> list[Record]:
    """Return the records with consecutive offsets."""
    return [replace(record, offset=offset) for offset, record in enumerate(records, start=first)]


def between(raise_threshold: float, resolve_threshold: float) -> Policy:
    """Return a policy with these thresholds."""
    return Policy("test", "1.0.0", "sha256:00", raise_threshold, resolve_threshold, cannot_assess_minutes=0)


def never_alerting() -> Policy:
    """Return a policy that no risk reaches."""
    return between(0.999, 0.998)


def new_core(policy: Policy = BUSY, units: Mapping[str, Policy] | None = None) -> Core:
    """Return a core such as a worker has after a restart."""
    return Core(MODEL, policy, LIMITS, units=units)


@dataclass
class Run:
    """What working off a log in chunks left behind."""

    states: dict[bytes, bytes] = field(default_factory=dict)
    alerts: list[tuple[int, AlertEvent]] = field(default_factory=list)  # with the deciding record's offset
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)  # with the record's offset
    scores: list[RiskScore] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def reasons(self) -> list[str]:
        """The reasons of all refusals."""
        return [rejection.reason for _, rejection in self.rejected]

    def transitions(self) -> list[tuple[str, str, int]]:
        """Stay, transition and sequence of every alert event."""
        return [(alert.stay_id, alert.transition, alert.sequence) for _, alert in self.alerts]


def work_off(records: Log, *, cuts: Sequence[int] = (), core: Core | None = None, onto: Run | None = None) -> Run:
    """Work off a log cut before these positions, each chunk by a core that only knows the stored states."""
    run = Run() if onto is None else onto
    for start, end in pairwise([0, *sorted(cuts), len(records)]):
        if start == end:
            continue
        chunk = records[start:end]
        outcome = (core or new_core()).process(0, chunk, run.states.get)
        outcome.store_in(run.states)
        run.alerts += [(chunk[i].offset, alert) for i, alert in outcome.alerts]
        run.rejected += [(chunk[i].offset, rejection) for i, rejection in outcome.rejected]
        run.scores += outcome.scores
        run.outcomes.append(outcome)
    return run


def closed_risks(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Return each patient's closed steps with their risks, in the order in which they were told."""
    told: dict[str, list[tuple[int, float]]] = {}
    for score in run.scores:
        told.setdefault(score.patient_id, []).extend((step.step, step.risk) for step in score.closed)
    return told


# -- random logs


@st.composite
def vital_signs(draw: st.DrawFn) -> dict[str, float]:
    """Draw one or more vital signs, plausible and free of contradictions; few different values, so that they meet."""
    systolic = draw(st.integers(12, 22)) * 10
    pulse = draw(st.integers(3, 6)) * 10
    everything: dict[str, float] = {
        "heart_rate": draw(st.integers(4, 18)) * 10,
        "respiratory_rate": draw(st.integers(4, 20)) * 2,
        "temperature": draw(st.integers(70, 82)) / 2,
        "oxygen_saturation": draw(st.integers(80, 100)),
        "systolic_bp": systolic,
        "diastolic_bp": systolic - pulse,
        "mean_arterial_pressure": systolic - pulse // 2,
    }
    names = draw(st.sets(st.sampled_from(sorted(everything)), min_size=1))
    return {name: value for name, value in everything.items() if name in names}


_BAD_VALUES: tuple[dict[str, object], ...] = (
    {"heart_rate": 80, "temperature": 99.5},  # one of two is implausible
    {"temperature": 99.5},
    {"systolic_bp": 80, "diastolic_bp": 120, "heart_rate": 90},
    {},
    {"heart_rate": "80"},
)
_DETAILS: tuple[dict[str, object], ...] = (
    {},
    {"age": 71, "sex": "female"},
    {"unit": "ICU 2", "bed": "7", "unit_type": "surgical"},
    {"hospital_admitted": utc(START - 30 * HOUR)},
    {"stay_id": "visit-1"},
)
_KINDS = ("observed",) * 12 + ("bad", "garbage", "admitted", "updated", "transferred", "discharged", "merged")
# Minutes by which the patient's clock moves on from one event to the next, and by which a record comes late.
_PACE = st.sampled_from([0, 0, 1, 4, 5, 13, 20, 40, 59, 61, 150, 26 * 60, 169 * 60])
_DELAY = st.sampled_from([0] * 8 + [7, 45, 70, 130, 25 * 60])


@st.composite
def patient_logs(draw: st.DrawFn, patient: str = "p", longest: int = 24) -> list[Record]:
    """Draw one patient's log: admissions, observations in and out of order, repeats, late ones, garbage."""
    minute = 0
    arrivals: list[tuple[int, int, list[Record]]] = []
    admissions = 0
    for place in range(draw(st.integers(1, longest))):
        minute += draw(_PACE)
        time_ms = START + minute * MINUTE
        arrival = minute + draw(_DELAY)
        kind = draw(st.sampled_from(_KINDS))
        if kind == "observed":
            records = [observation(patient, time_ms, **draw(vital_signs()))]
        elif kind == "bad":
            records = [observation(patient, time_ms, **draw(st.sampled_from(_BAD_VALUES)))]
        elif kind == "garbage":
            records = [garbage(patient, time_ms)]
        else:
            records = [_said_of_the_stay(draw, patient, kind, time_ms, admissions)]
            admissions += 1
        arrivals.append((arrival, place, records))
        if draw(st.integers(0, 5)) == 0:  # the gateway sends it again
            arrivals.append((arrival + draw(_DELAY), place, records))
    arrivals.sort(key=lambda item: item[:2])
    return [replace(record, timestamp=START + at * MINUTE) for at, _, records in arrivals for record in records]


def _said_of_the_stay(draw: st.DrawFn, patient: str, kind: str, time_ms: int, source_offset: int) -> Record:
    fields = dict(draw(st.sampled_from(_DETAILS)))
    if kind == "merged":
        fields["into"] = "other"
    if kind == "admitted":
        early = draw(st.sampled_from([0, 0, 30, 200]))
        fields["admitted"] = utc(time_ms - early * MINUTE)
    return admission(patient, kind, time_ms, source_offset=source_offset, **fields)


@st.composite
def wards(draw: st.DrawFn, longest: int = 12) -> list[Record]:
    """Draw the interleaved logs of one to three patients as one partition, with offsets."""
    logs = [draw(patient_logs(f"p{number}", longest)) for number in range(draw(st.integers(1, 3)))]
    turns = draw(st.permutations([number for number, log in enumerate(logs) for _ in log]))
    waiting = [iter(log) for log in logs]
    return numbered(next(waiting[number]) for number in turns)


def cuts_of(records: Log) -> st.SearchStrategy[list[int]]:
    """Return positions at which a log may be cut into chunks."""
    return st.lists(st.integers(0, len(records)), max_size=8)
