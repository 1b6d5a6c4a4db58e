"""What the live budget measured and did, for Prometheus; labels are the names of units, of which there are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from prometheus_client import CollectorRegistry

from agents.reporting import UNKNOWN_UNIT
from monitor.budget.controller import Limit, Look
from monitor.catalogue import BUDGET_CATALOGUE
from monitor.metrics import Instruments

__all__ = ["BudgetMetrics"]

_DAY_SECONDS = 86_400
_LIMITS: tuple[Limit, ...] = ("lowest", "highest")


class BudgetMetrics:
    """Shows each unit's burden beside its budget and its threshold."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made = Instruments(BUDGET_CATALOGUE, self.registry)
        self._shown: set[str] = set()

    def show(self, looks: Sequence[Look], done: Sequence[Look], *, in_charge: bool, now: float) -> None:
        """Show what one look found and did; a unit that is gone is shown no longer."""
        moved = {each.unit for each in done}
        for each in looks:
            self._show(each if each.unit in moved else replace(each, record=None))
        for unit in self._shown - {_name(each) for each in looks}:
            self._hide(unit)
        for each in done:
            self._made.counters["budget_moves_total"].labels(_name(each)).inc()
        self._made.gauges["budget_in_charge"].set(in_charge)
        self._made.gauges["budget_last_look_timestamp_seconds"].set(now)

    def _show(self, each: Look) -> None:
        gauges, unit = self._made.gauges, _name(each)
        burden, budget = each.measured.burden, each.policy.budget
        gauges["budget_false_episodes_per_patient_day"].labels(unit).set(math.nan if burden is None else burden)
        whole = each.last_window
        if whole is not None and whole.measured.burden is not None:  # else the one before is still the last
            gauges["budget_last_window_false_episodes_per_patient_day"].labels(unit).set(whole.measured.burden)
            gauges["budget_last_window_end_timestamp_seconds"].labels(unit).set(whole.until_ms / 1000)
        gauges["budget_patient_seconds"].labels(unit).set(each.measured.patient_days * _DAY_SECONDS)
        gauges["budget_raise_threshold"].labels(unit).set(each.threshold_after)
        self._made.counters["budget_moves_total"].labels(unit)
        self._shown.add(unit)
        if budget is not None:
            allowed = budget.false_episodes_per_patient_day
            gauges["budget_allowed_false_episodes_per_patient_day"].labels(unit).set(allowed)
            for limit in _LIMITS:
                gauges["budget_at_limit"].labels(unit, limit).set(each.at(limit))

    def _hide(self, unit: str) -> None:
        self._shown.discard(unit)
        gauges = self._made.gauges
        for name in ("false_episodes_per_patient_day", "patient_seconds", "raise_threshold"):
            gauges[f"budget_{name}"].remove(unit)
        self._made.counters["budget_moves_total"].remove(unit)
        with suppress(KeyError):  # before a whole window it was never shown
            for name in ("false_episodes_per_patient_day", "end_timestamp_seconds"):
                gauges[f"budget_last_window_{name}"].remove(unit)
        with suppress(KeyError):  # without a budget it was never shown
            gauges["budget_allowed_false_episodes_per_patient_day"].remove(unit)
            for limit in _LIMITS:
                gauges["budget_at_limit"].remove(unit, limit)


def _name(each: Look) -> str:
    return each.unit or UNKNOWN_UNIT
