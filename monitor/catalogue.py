"""Every metric that a program of the service exports: its kind, unit, labels and meaning, as data.

Nothing is exported that does not stand here. Labels have few values that are known beforehand, but for units, of which
a hundred are shown; and never a patient, stay, bed or alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args, get_type_hints

from agents.episodes import KINDS
from agents.messages import AlertEvent
from agents.moves import PRIORITIES
from agents.observer import CHECKS
from agents.record import RESET_REASONS
from agents.rejection import REASONS
from agents.reporting import ALL_OTHERS, MOST_SHOWN, UNKNOWN_UNIT
from agents.ward import PHASES
from models.vital_signs import NAMES
from monitor.version import VERSION

__all__ = [
    "BUDGET_CATALOGUE",
    "CANARY_CATALOGUE",
    "CATALOGUE",
    "CERTIFICATE_EXPIRY",
    "NOTIFY_CATALOGUE",
    "OPEN_ALERTS",
    "PREFIX",
    "PROCESS_CATALOGUE",
    "Metric",
]

PREFIX = "sepsis_monitor_"

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_AGES = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
_DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SIZES = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)


@dataclass(frozen=True)
class Metric:
    """One metric: its full name as scraped, what it counts, and which label values exist from the start."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    children: tuple[tuple[str, ...], ...] = ()  # label values known beforehand, in the order of `labels`


def _alert_children() -> tuple[tuple[str, ...], ...]:
    fields = get_type_hints(AlertEvent)
    return tuple(product(*(get_args(fields[name]) for name in ("kind", "transition", "priority"))))


OPEN_ALERTS = tuple(product(KINDS, PHASES, PRIORITIES))
_VITAL_SIGNS = tuple((name,) for name in NAMES)
CATALOGUE: tuple[Metric, ...] = (
    Metric("sepsis_monitor_records_total", "counter", "records", "Records read from the patients' logs."),
    Metric(
        "sepsis_monitor_observations_accepted_total", "counter", "observations", "Observations that entered a stay."
    ),
    Metric(
        "sepsis_monitor_records_replayed_total",
        "counter",
        "records",
        "Log records that were read again, as after a restart, and that the stored state held already.",
    ),
    Metric(
        "sepsis_monitor_observations_repeated_total",
        "counter",
        "observations",
        "Observations that changed nothing, because they had been seen before.",
    ),
    Metric(
        "sepsis_monitor_observations_superseded_total",
        "counter",
        "measurements",
        "Late measurements of closed steps that a newer one of the same vital sign had overtaken.",
    ),
    Metric(
        "sepsis_monitor_observations_rejected_total",
        "counter",
        "events",
        "Events that were refused and moved to the topic of rejected events, by reason.",
        labels=("reason",),
        children=tuple((reason,) for reason in REASONS),
    ),
    Metric("sepsis_monitor_steps_closed_total", "counter", "steps", "Hourly steps of stays that closed."),
    Metric("sepsis_monitor_risks_computed_total", "counter", "risks", "Provisional risks computed."),
    Metric(
        "sepsis_monitor_state_resets_total",
        "counter",
        "patients",
        "Patients whose stored state could not be used and was read again from the log, or began anew, by reason.",
        labels=("reason",),
        children=tuple((reason,) for reason in RESET_REASONS),
    ),
    Metric(
        "sepsis_monitor_alerts_total",
        "counter",
        "transitions",
        "Transitions in the life of alerts, acknowledged by the broker.",
        labels=("kind", "transition", "priority"),
        children=_alert_children(),
    ),
    Metric(
        "sepsis_monitor_batch_records",
        "histogram",
        "records",
        "Records worked off together, those of one chunk of one partition.",
        buckets=_SIZES,
    ),
    Metric(
        "sepsis_monitor_batch_seconds",
        "histogram",
        "seconds",
        "Time that one chunk took, the broker's acknowledgements included.",
        buckets=_LATENCIES,
    ),
    Metric(
        "sepsis_monitor_model_seconds",
        "histogram",
        "seconds",
        "Time that the model took of one chunk.",
        buckets=_DURATIONS,
    ),
    Metric(
        "sepsis_monitor_append_to_risk_seconds",
        "histogram",
        "seconds",
        "From Kafka's append of the newest observation to the broker's acknowledgement of its risk.",
        buckets=_LATENCIES,
    ),
    Metric(
        "sepsis_monitor_append_to_alert_seconds",
        "histogram",
        "seconds",
        "From Kafka's append of the observation to the broker's acknowledgement of the alert.",
        buckets=_LATENCIES,
    ),
    Metric(
        "sepsis_monitor_time_to_alert_seconds",
        "histogram",
        "seconds",
        "From the measurement's own time to the broker's acknowledgement of the alert.",
        buckets=_AGES,
    ),
    Metric("sepsis_monitor_patients_watched", "gauge", "patients", "Patients with an open stay on this worker."),
    Metric(
        "sepsis_monitor_patients_unassessable",
        "gauge",
        "patients",
        "Patients of whom too little is known for a risk that means something.",
    ),
    Metric(
        "sepsis_monitor_patients_silent",
        "gauge",
        "patients",
        "Patients of whom nothing new has come for the policy's time.",
    ),
    Metric(
        "sepsis_monitor_newest_observation_timestamp_seconds",
        "gauge",
        "seconds",
        "When Kafka took the last observation of any watched patient that said something new, since 1970; 0: none. "
        "Canaries do not count.",
    ),
    Metric(
        "sepsis_monitor_open_alerts",
        "gauge",
        "alerts",
        "Alerts that are open on this worker, by where they stand.",
        labels=("kind", "phase", "priority"),
        children=OPEN_ALERTS,
    ),
    Metric(
        "sepsis_monitor_oldest_unacknowledged_timestamp_seconds",
        "gauge",
        "seconds",
        "Since when, by the wall clock since 1970, that open alert waits which nobody has acknowledged for longest "
        "since it was raised or last escalated, by kind; 0: none waits.",
        labels=("kind",),
        children=tuple((kind,) for kind in KINDS),
    ),
    Metric("sepsis_monitor_state_bytes", "gauge", "bytes", "Size of the state of all patients of this worker."),
    Metric(
        "sepsis_monitor_consumer_lag_records",
        "gauge",
        "records",
        "Records of the patients' logs that wait, by partition of this worker.",
        labels=("partition",),
    ),
    Metric(
        "sepsis_monitor_loop_timestamp_seconds",
        "gauge",
        "seconds",
        "When the worker's event loop last turned, since 1970: every second while it is not stuck.",
    ),
    Metric(
        "sepsis_monitor_last_chunk_timestamp_seconds",
        "gauge",
        "seconds",
        "When the worker was last done with records, since 1970; 0: not yet. An old one while records wait means that "
        "it is stuck.",
    ),
    Metric("sepsis_monitor_ready", "gauge", "", "1 while the worker does its work, as /readyz says; else 0."),
    Metric(
        "sepsis_monitor_failing_checks",
        "gauge",
        "checks",
        "1 for each check for which /readyz says not ready; else 0.",
        labels=("check",),
        children=tuple((check,) for check in CHECKS),
    ),
    Metric(
        "sepsis_monitor_input_steps_total",
        "counter",
        "steps",
        "Steps of those that closed in which a vital sign was measured.",
        labels=("vital_sign",),
        children=_VITAL_SIGNS,
    ),
    Metric(
        "sepsis_monitor_input_deviations_total",
        "counter",
        "standard deviations",
        "Of those steps, the sum of how far a vital sign was above, or below, the mean of the data that the model "
        "learned from, in their standard deviations. Above less below, by the steps, is the drift.",
        labels=("vital_sign", "side"),
        children=tuple(product(NAMES, ("above", "below"))),
    ),
    Metric(
        "sepsis_monitor_input_squared_deviations_total",
        "counter",
        "squared standard deviations",
        "The sum of their squares.",
        labels=("vital_sign",),
        children=_VITAL_SIGNS,
    ),
    Metric("sepsis_monitor_recoveries_total", "counter", "recoveries", "Times that state was read back."),
    Metric("sepsis_monitor_recovery_seconds", "gauge", "seconds", "Time that the last recovery of state took."),
    Metric(
        "sepsis_monitor_recovered_patients",
        "gauge",
        "patients",
        "Patients whose state the last recovery found; while one runs, those found so far.",
    ),
    Metric(
        "sepsis_monitor_recovered_bytes",
        "gauge",
        "bytes",
        "State records that the last recovery read from the changelogs; while one runs, so far.",
    ),
    Metric(
        "sepsis_monitor_model_info",
        "info",
        "",
        "The model that computes the risks; always 1.",
        labels=("name", "version", "digest"),
    ),
    Metric(
        "sepsis_monitor_raise_threshold",
        "gauge",
        "probability",
        f"From which risk on patients of a unit are alerted now, as the first of this worker's partitions has it: of "
        f"units with a policy or a moved threshold of their own, at most {MOST_SHOWN}; {ALL_OTHERS}: of the rest; "
        f"{UNKNOWN_UNIT}: of patients of whom no unit is known, where their threshold was moved.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_policy_info",
        "info",
        "",
        "The policy that decides on alerts in units without one of their own; always 1.",
        labels=("name", "version", "digest"),
    ),
    Metric(
        "sepsis_monitor_unit_policies_info",
        "info",
        "",
        "How many units have policies of their own, and a digest over which unit has which; always 1.",
        labels=("units", "digest"),
    ),
    Metric(
        "sepsis_monitor_build_info", "info", "", "The program; always 1.", labels=("version",), children=((VERSION,),)
    ),
)

CANARY_CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "sepsis_monitor_canary_alert_seconds",
        "histogram",
        "seconds",
        "From the sending of a canary's observation to the reading of its alert, the whole way.",
        buckets=_LATENCIES,
    ),
    Metric(
        "sepsis_monitor_canary_last_alert_timestamp_seconds",
        "gauge",
        "seconds",
        "When the last alert of a partition's canary was read, since 1970; 0: none since the start. An old one means "
        "that no alert of that partition's patients comes through.",
        labels=("partition",),
    ),
    Metric(
        "sepsis_monitor_canary_missed_total",
        "counter",
        "alerts",
        "Alerts of canaries that did not come in time, by partition.",
        labels=("partition",),
    ),
)

NOTIFY_CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "sepsis_monitor_notify_attempts_total",
        "counter",
        "attempts",
        "Requests to a receiver by what came of them; dead: an event was given up after one.",
        labels=("receiver", "outcome"),
    ),
    Metric(
        "sepsis_monitor_notify_escalations_total",
        "counter",
        "alerts",
        "Alerts that nobody acknowledged at a receiver in time, and that went to the next.",
        labels=("receiver",),
    ),
    Metric(
        "sepsis_monitor_notify_pending", "gauge", "events", "Events that wait for a receiver.", labels=("receiver",)
    ),
    Metric(
        "sepsis_monitor_notify_oldest_pending_seconds",
        "gauge",
        "seconds",
        "How long the oldest event that waits for a receiver has waited.",
        labels=("receiver",),
    ),
    Metric(
        "sepsis_monitor_notify_dead_letters",
        "gauge",
        "events",
        "Events that were given up for a receiver.",
        labels=("receiver",),
    ),
    Metric(
        "sepsis_monitor_notify_last_read_timestamp_seconds",
        "gauge",
        "seconds",
        "When the alert topic was last read, since 1970.",
    ),
)

BUDGET_CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "sepsis_monitor_budget_false_episodes_per_patient_day",
        "gauge",
        "episodes a patient-day",
        "What a unit bears: sepsis alerts that have ended and that nobody called right, over the policy's window of "
        f"event time, since its threshold was last moved. NaN: no patient. {UNKNOWN_UNIT}: the patients of no unit.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_budget_last_window_false_episodes_per_patient_day",
        "gauge",
        "episodes a patient-day",
        "What a unit bore in the last whole window: the one up to now, or the one that moved its threshold, until the "
        "next is over. Not there before the first.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_budget_last_window_end_timestamp_seconds",
        "gauge",
        "seconds",
        "The event time up to which that window was counted, since 1970: how old it is.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_budget_allowed_false_episodes_per_patient_day",
        "gauge",
        "episodes a patient-day",
        "What the unit's policy allows; not there where the policy has no budget.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_budget_patient_seconds",
        "gauge",
        "seconds",
        "The patients' time over which a unit's burden was counted.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_budget_raise_threshold",
        "gauge",
        "",
        "The risk at which an alert is raised in a unit.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_budget_moves_total",
        "counter",
        "moves",
        "Times that this process has moved a unit's threshold.",
        labels=("unit",),
    ),
    Metric(
        "sepsis_monitor_budget_at_limit",
        "gauge",
        "",
        "1 while a unit's threshold is at a limit of its policy, lowest or highest; else 0.",
        labels=("unit", "limit"),
    ),
    Metric(
        "sepsis_monitor_budget_in_charge",
        "gauge",
        "",
        "1 while this process is the one that moves thresholds; else 0: another one is, or none.",
    ),
    Metric(
        "sepsis_monitor_budget_last_look_timestamp_seconds",
        "gauge",
        "seconds",
        "When the units were last looked at, since 1970.",
    ),
)

CERTIFICATE_EXPIRY = Metric(
    "sepsis_monitor_certificate_expiry_timestamp_seconds",
    "gauge",
    "seconds",
    "When the first certificate in a file expires by which this process connects to Kafka, since 1970, as the file was "
    "when the process started: client, of kafka.ssl_certfile; ca, of kafka.ssl_cafile.",
    labels=("file",),
)
# What prometheus-client's collector says of a process, whichever of the programs it is.
PROCESS_CATALOGUE: tuple[Metric, ...] = (
    Metric("sepsis_monitor_process_cpu_seconds_total", "counter", "seconds", "User and system time of the process."),
    Metric("sepsis_monitor_process_resident_memory_bytes", "gauge", "bytes", "Memory that the process takes."),
    Metric("sepsis_monitor_process_virtual_memory_bytes", "gauge", "bytes", "Addresses that the process has mapped."),
    Metric("sepsis_monitor_process_start_time_seconds", "gauge", "seconds", "When the process started, since 1970."),
    Metric("sepsis_monitor_process_open_fds", "gauge", "files", "Files and connections that the process has open."),
    Metric("sepsis_monitor_process_max_fds", "gauge", "files", "How many it may have open."),
)
