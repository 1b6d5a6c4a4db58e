"""The metrics of a worker, `sepsis-monitor serve`."""

from __future__ import annotations

from itertools import product
from typing import get_args, get_type_hints

from agents.episodes import KINDS
from agents.messages import AlertEvent
from agents.moves import PRIORITIES
from agents.observer import CHECKS
from agents.record import RESET_REASONS
from agents.rejection import REASONS
from agents.reporting import ALL_OTHERS, MOST_SHOWN, UNKNOWN_UNIT
from agents.ward import PHASES
from models.vital_signs import NAMES
from monitor.catalogue.metric import AGES, DURATIONS, LATENCIES, SIZES, Metric
from monitor.version import VERSION

__all__ = ["CATALOGUE", "OPEN_ALERTS"]


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
        buckets=SIZES,
    ),
    Metric(
        "sepsis_monitor_batch_seconds",
        "histogram",
        "seconds",
        "Time that one chunk took, the broker's acknowledgements included.",
        buckets=LATENCIES,
    ),
    Metric(
        "sepsis_monitor_model_seconds",
        "histogram",
        "seconds",
        "Time that the model took of one chunk.",
        buckets=DURATIONS,
    ),
    Metric(
        "sepsis_monitor_append_to_risk_seconds",
        "histogram",
        "seconds",
        "From Kafka's append of the newest observation to the broker's acknowledgement of its risk.",
        buckets=LATENCIES,
    ),
    Metric(
        "sepsis_monitor_append_to_alert_seconds",
        "histogram",
        "seconds",
        "From Kafka's append of the observation to the broker's acknowledgement of the alert.",
        buckets=LATENCIES,
    ),
    Metric(
        "sepsis_monitor_time_to_alert_seconds",
        "histogram",
        "seconds",
        "From the measurement's own time to the broker's acknowledgement of the alert.",
        buckets=AGES,
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
    Metric(
        "sepsis_monitor_state_bytes",
        "gauge",
        "bytes",
        "Size of all state records of this worker, those of discharged patients among them.",
    ),
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
