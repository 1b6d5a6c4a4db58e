"""The metrics of the programs beside the workers: canary, notifier and live budget."""

from __future__ import annotations

from agents.reporting import UNKNOWN_UNIT
from monitor.catalogue.metric import LATENCIES, Metric

__all__ = ["BUDGET_CATALOGUE", "CANARY_CATALOGUE", "NOTIFY_CATALOGUE"]

CANARY_CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "sepsis_monitor_canary_alert_seconds",
        "histogram",
        "seconds",
        "From the sending of a canary's observation to the reading of its alert, the whole way.",
        buckets=LATENCIES,
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
