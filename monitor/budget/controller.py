"""What is to be done about each unit's raise threshold: one look at what was counted. Pure; times are epoch ms.

A unit is measured over its policy's window, up to the newest event time of its patients, and only once the window lies
wholly in the time since its threshold was last moved, since its policy came into force, and since when the unit is
known: what another threshold has brought about says nothing of this one. So a threshold moves at most once a window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agents.messages import UnitThreshold
from agents.policy import Budget, Policy
from monitor.budget.burden import UnitBurden, milliseconds_of
from monitor.budget.law import Measured, next_threshold
from monitor.budget.thresholds import Thresholds, moved_to

__all__ = ["Limit", "Look", "Outcome", "Window", "look", "reset"]

_HOUR_MS = 3_600_000
_SHOWN_HOURS = 24.0  # over which a unit without a budget is measured, for those who look

Limit = Literal["lowest", "highest"]
Outcome = Literal["off", "waiting", "too_few", "kept", "at_limit", "moved", "begun"]


@dataclass(frozen=True)
class Window:
    """What a unit bore in a whole window, and the event time up to which it was counted."""

    measured: Measured
    until_ms: int


@dataclass(frozen=True)
class Look:
    """One look at a unit: what is in force, what was measured, what is done, and the record that does it."""

    unit: str
    policy: Policy
    threshold: float  # in force before
    measured: Measured
    until_ms: int
    outcome: Outcome
    record: UnitThreshold | None = None
    last_window: Window | None = None  # the last whole one that is known, also while the next is not over
    policy_at_work: str | None = None  # the digest of the policy under which alerts move, where that is known

    @property
    def elsewhere(self) -> bool:
        """Tell whether workers alert under another policy than this one: they take no threshold that follows it."""
        return self.policy_at_work not in {None, self.policy.digest}

    @property
    def threshold_after(self) -> float:
        """The threshold afterwards."""
        return self.threshold if self.record is None else self.record.raise_threshold

    def at(self, limit: Limit) -> bool:
        """Tell whether the threshold is then at a limit of the policy."""
        budget = self.policy.budget
        if budget is None:
            return False
        return self.threshold_after == (budget.lowest_threshold if limit == "lowest" else budget.highest_threshold)


def look(
    units: dict[str, UnitBurden],
    thresholds: Thresholds,
    policy_of: Callable[[str], Policy],
    *,
    complete_from_ms: int,
    now_ms: int,
) -> list[Look]:
    """Look at every unit, by name. Before `complete_from_ms` the topics may not have everything any more."""
    return [
        _look(unit, units[unit], thresholds, policy_of(unit), complete_from_ms=complete_from_ms, now_ms=now_ms)
        for unit in sorted(units)
        if units[unit].present
    ]


def _look(
    unit: str, burden: UnitBurden, thresholds: Thresholds, policy: Policy, *, complete_from_ms: int, now_ms: int
) -> Look:
    record, budget, until = thresholds.under(policy, unit), policy.budget, burden.clock_ms
    threshold = policy.raise_threshold if record is None else record.raise_threshold
    hours = _SHOWN_HOURS if budget is None else budget.window_hours
    begin = until - round(hours * _HOUR_MS)
    since = max(
        0 if record is None else thresholds.counted_until_ms(unit),
        burden.last_under_another_ms(policy.digest),
        burden.first_ms,
        complete_from_ms,
    )
    measured = burden.measured(max(begin, since), until)

    whole = Window(measured, until) if begin >= since else _window_of(record)

    def found(outcome: Outcome, said: UnitThreshold | None = None) -> Look:
        return Look(unit, policy, threshold, measured, until, outcome, said, whole, burden.policy_at_work)

    if budget is None:
        return found("off")
    if record is None and unit in thresholds.newest:
        # What it was moved to followed another policy: here it begins anew, and says so where the workers read it.
        return found("begun", reset(unit, policy, thresholds, until_ms=until, now_ms=now_ms))
    if begin < since:
        return found("waiting")
    if measured.patient_days < budget.least_patient_days:
        return found("too_few")
    after = next_threshold(budget, threshold, measured)
    if after == threshold:
        return found("at_limit" if _stuck(budget, threshold, measured.burden or 0.0) else "kept")
    return found("moved", moved_to(unit, policy, after, measured, until_ms=until, now_ms=now_ms))


def _window_of(record: UnitThreshold | None) -> Window | None:
    """Return the window that moved a threshold; None where it was put back, which nothing was counted for."""
    if record is None or not record.patient_days:
        return None
    return Window(Measured(record.episodes, record.patient_days), milliseconds_of(record.counted_until))


def _stuck(budget: Budget, threshold: float, burden: float) -> bool:
    """Tell whether only a limit keeps the threshold where it is."""
    share = burden / budget.false_episodes_per_patient_day - 1
    return (share > budget.tolerance and threshold >= budget.highest_threshold) or (
        share < -budget.tolerance and threshold <= budget.lowest_threshold
    )


def reset(unit: str, policy: Policy, thresholds: Thresholds, *, until_ms: int, now_ms: int) -> UnitThreshold:
    """Return the record that puts a unit back to its policy's own threshold; it counts further than all before."""
    further = max(until_ms, thresholds.counted_until_ms(unit) + 1)
    return moved_to(unit, policy, policy.raise_threshold, Measured(), until_ms=further, now_ms=now_ms)
