"""What Prometheus sees of units: burden beside budget and threshold, what was moved, and nobody who is gone."""

from __future__ import annotations

import math

import msgspec
from prometheus_client import CollectorRegistry

from agents.reporting import UNKNOWN_UNIT
from monitor.budget.controller import Look, look
from monitor.budget.metrics import BudgetMetrics
from monitor.budget.thresholds import Thresholds
from tests.monitor.budget.wards import BUDGET, POLICY, ms, steady

PREFIX = "sepsis_monitor_budget_"


def looked(unit: str = "A", *, budget: bool = True) -> Look:
    policy = POLICY if budget else msgspec.structs.replace(POLICY, budget=None)
    burden = steady(20, 24, 40, unit).by_unit()
    (found,) = look(burden, Thresholds(), lambda _: policy, complete_from_ms=0, now_ms=ms(24))
    return found


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(PREFIX + name, labels)


def test_a_move_is_shown_where_it_was_made_and_not_where_it_was_only_found() -> None:
    metrics, found = BudgetMetrics(), looked()
    assert found.record is not None
    metrics.show([found], [], in_charge=False, now=5.0)
    assert value(metrics.registry, "raise_threshold", unit="A") == POLICY.raise_threshold
    assert value(metrics.registry, "moves_total", unit="A") == 0
    metrics.show([found], [found], in_charge=True, now=6.0)
    assert value(metrics.registry, "raise_threshold", unit="A") == 0.022
    assert value(metrics.registry, "moves_total", unit="A") == 1
    assert value(metrics.registry, "false_episodes_per_patient_day", unit="A") == 2.0
    assert value(metrics.registry, "allowed_false_episodes_per_patient_day", unit="A") == 0.5
    assert value(metrics.registry, "patient_seconds", unit="A") == 20 * 86_400
    assert value(metrics.registry, "at_limit", unit="A", limit="highest") == 0
    assert value(metrics.registry, "in_charge") == 1
    assert value(metrics.registry, "last_look_timestamp_seconds") == 6.0


def test_a_limit_that_is_reached_is_shown() -> None:
    thresholds, metrics = Thresholds(), BudgetMetrics()
    at_most = msgspec.structs.replace(POLICY, raise_threshold=BUDGET.highest_threshold)
    (found,) = look(steady(20, 24, 40).by_unit(), thresholds, lambda _: at_most, complete_from_ms=0, now_ms=ms(24))
    metrics.show([found], [], in_charge=True, now=5.0)
    assert value(metrics.registry, "at_limit", unit="A", limit="highest") == 1
    assert value(metrics.registry, "at_limit", unit="A", limit="lowest") == 0


def test_the_last_whole_window_is_shown_while_the_next_is_not_over() -> None:
    metrics, found = BudgetMetrics(), looked()
    metrics.show([found], [found], in_charge=True, now=5.0)
    thresholds = Thresholds()
    assert found.record is not None
    thresholds.take(found.record)
    burden = steady(20, 24, 40)
    (after,) = look(burden.by_unit(), thresholds, lambda _: POLICY, complete_from_ms=0, now_ms=ms(24))
    assert after.outcome == "waiting"
    for shown in (metrics, BudgetMetrics()):  # also one that was started since
        shown.show([after], [], in_charge=True, now=6.0)
        assert math.isnan(value(shown.registry, "false_episodes_per_patient_day", unit="A") or 0.0)
        assert value(shown.registry, "last_window_false_episodes_per_patient_day", unit="A") == 2.0
        assert value(shown.registry, "last_window_end_timestamp_seconds", unit="A") == ms(24) / 1000
        shown.show([], [], in_charge=True, now=7.0)
        assert value(shown.registry, "last_window_end_timestamp_seconds", unit="A") is None


def test_before_a_whole_window_none_is_shown() -> None:
    metrics = BudgetMetrics()
    (found,) = look(steady(20, 20, 40).by_unit(), Thresholds(), lambda _: POLICY, complete_from_ms=0, now_ms=ms(20))
    metrics.show([found], [], in_charge=True, now=5.0)
    assert value(metrics.registry, "last_window_false_episodes_per_patient_day", unit="A") is None


def test_a_unit_without_a_name_or_a_budget_is_shown_and_one_that_is_gone_is_not() -> None:
    metrics = BudgetMetrics()
    metrics.show([looked(""), looked("B", budget=False)], [], in_charge=True, now=5.0)
    assert value(metrics.registry, "raise_threshold", unit=UNKNOWN_UNIT) == POLICY.raise_threshold
    assert value(metrics.registry, "allowed_false_episodes_per_patient_day", unit="B") is None
    assert not math.isnan(value(metrics.registry, "false_episodes_per_patient_day", unit="B") or math.nan)
    metrics.show([], [], in_charge=True, now=6.0)
    assert value(metrics.registry, "raise_threshold", unit=UNKNOWN_UNIT) is None
    assert value(metrics.registry, "at_limit", unit=UNKNOWN_UNIT, limit="highest") is None
    assert value(metrics.registry, "patient_seconds", unit="B") is None
    assert not [sample for family in metrics.registry.collect() for sample in family.samples if "unit" in sample.labels]
