"""What the live budget measured and did, for Prometheus; labels are the names of units, of which there are few."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from monitor.budget.controller import Limit, Look
from monitor.catalogue import BUDGET_CATALOGUE
from monitor.metrics import Instruments

__all__ = ["BudgetMetrics"]

_LIMITS: tuple[Limit, ...] = ("lowest", "highest")


class BudgetMetrics:
    """Shows each unit's burden beside its budget and its threshold."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made = Instruments(BUDGET_CATALOGUE, self.registry)

    def show(self, looks: Sequence[Look], done: Sequence[Look], *, in_charge: bool, now: float) -> None:
        """Show what one look found and did; a unit that is gone is shown no longer."""
        gauges, moves = self._made.gauges, self._made.counters["budget_moves_total"]
        for name in (
            "budget_false_episodes_per_patient_day",
            "budget_allowed_false_episodes_per_patient_day",
            "budget_patient_days",
            "budget_raise_threshold",
            "budget_at_limit",
        ):
            gauges[name].clear()
        for each in looks:
            burden, budget = each.measured.burden, each.policy.budget
            gauges["budget_false_episodes_per_patient_day"].labels(each.unit).set(
                math.nan if burden is None else burden
            )
            gauges["budget_patient_days"].labels(each.unit).set(each.measured.patient_days)
            gauges["budget_raise_threshold"].labels(each.unit).set(
                each.threshold_after if each in done else each.threshold
            )
            moves.labels(each.unit)
            if budget is not None:
                allowed = budget.false_episodes_per_patient_day
                gauges["budget_allowed_false_episodes_per_patient_day"].labels(each.unit).set(allowed)
                for limit in _LIMITS:
                    gauges["budget_at_limit"].labels(each.unit, limit).set(each.at(limit))
        for each in done:
            moves.labels(each.unit).inc()
        gauges["budget_in_charge"].set(in_charge)
        gauges["budget_last_look_timestamp_seconds"].set(now)
