"""Finds the thresholds of a policy for a stated burden, by the service's own alert decision over scored stays.

Half of the stays choose, by their ids; the other half says what the choice is worth. Pure: no file, no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.policy import Budget, Policy
from models.alarm_figures import alarm_figures
from models.cohort import Cohort
from models.resampling import Figure, Resamples
from models.scoring import Scored
from monitor.alert_course import alert_course

__all__ = ["RULES", "NothingFitsError", "Point", "Rule", "Trial", "Tuned", "choosing_stays", "false_a_day", "tune"]

_CURVE_SHARES = np.geomspace(0.0005, 0.7, 40)  # of the rows that decide, at or over a threshold
_FINER = 10  # thresholds tried between two of the curve
_DIGITS = 6  # of a risk
_MOST_BURDEN = 2.0  # of the budget, at the lowest threshold to which a live budget may go


class NothingFitsError(Exception):
    """No threshold keeps the budget; the message says what to do."""


@dataclass(frozen=True)
class Rule:
    """At which share of the raise threshold an alert is resolved, and after how long at the threshold it is raised."""

    resolve_share: float
    raise_minutes: float


RULES = tuple(Rule(share, minutes) for share in (0.9, 0.8, 0.65, 0.5) for minutes in (0.0, 60.0, 120.0))


class Point(msgspec.Struct, frozen=True):
    """What a threshold costs and finds; shares from 0 to 1, NaN where there is nothing to divide by."""

    raise_threshold: float
    resolve_threshold: float
    raise_minutes: float
    false_per_patient_day: float  # episodes that are at no hour open in a septic stay's window around its onset
    episodes_per_patient_day: float
    sensitivity: float  # septic stays with an alert open in the window
    ppv_episode: float
    ppv_stay: float
    lead_hours_median: float
    other_ever_alerted: float

    @property
    def gain(self) -> float:
        """Septic stays found less other stays ever alarmed, as shares: a rule that alarms everybody gains nothing."""
        return self.sensitivity - self.other_ever_alerted


def false_a_day(figures: dict[str, Figure]) -> float:
    """Return the false episodes a patient-day; NaN where no row counts."""
    episodes = figures["episodes_per_patient_day"].value
    return episodes * (1 - figures["ppv_episode"].value) if episodes > 0 else episodes


@dataclass(frozen=True)
class Trial:
    """Tries policies on scored, labelled stays; all but the thresholds and the minimum duration is `base`'s."""

    cohort: Cohort
    scored: Scored
    base: Policy
    _known: dict[tuple[Rule, float], Point] = field(default_factory=dict)

    def policy(self, rule: Rule, threshold: float) -> Policy:
        """Return the policy of a rule at a raise threshold."""
        escalate = self.base.escalate_threshold
        return msgspec.structs.replace(
            self.base,
            raise_threshold=threshold,
            resolve_threshold=max(round(threshold * rule.resolve_share, _DIGITS), 10**-_DIGITS),  # 0 ends no alert
            raise_minutes=rule.raise_minutes,
            escalate_threshold=None if escalate is None else max(escalate, threshold),
            budget=None,
        )

    def figures(self, policy: Policy, rounds: int = 0, seed: int = 0) -> dict[str, Figure]:
        """Return all alarm figures of a policy."""
        resamples = Resamples.draw(self.cohort.n_stays, rounds, seed)
        return alarm_figures(self.cohort, alert_course(self.cohort, self.scored, policy), resamples)

    def at(self, rule: Rule, threshold: float) -> Point:
        """Return what a rule at a threshold costs and finds."""
        if (rule, threshold) not in self._known:
            policy = self.policy(rule, threshold)
            found = self.figures(policy)
            self._known[rule, threshold] = Point(
                raise_threshold=threshold,
                resolve_threshold=policy.resolve_threshold,
                raise_minutes=rule.raise_minutes,
                false_per_patient_day=false_a_day(found),
                episodes_per_patient_day=found["episodes_per_patient_day"].value,
                sensitivity=found["septic_alerted"].value,
                ppv_episode=found["ppv_episode"].value,
                ppv_stay=found["ppv_stay"].value,
                lead_hours_median=found["lead_hours_median"].value,
                other_ever_alerted=found["other_ever_alerted"].value,
            )
        return self._known[rule, threshold]

    def candidates(self) -> list[float]:
        """Return thresholds, rising, that certain shares of the deciding rows reach."""
        decided = self.scored.risk[self.scored.observed & self.scored.assessable]
        if not len(decided):
            return []
        cuts = np.unique(np.round(np.quantile(decided, 1 - _CURVE_SHARES), _DIGITS))
        return [cut for cut in cuts.tolist() if 0 < cut < 1]

    def within(self, rule: Rule, budget: float) -> Point | None:
        """Return the lowest threshold down to which no threshold tried costs more than the budget; None without any.

        Looked for from above, for the burden falls again where all is one long alert. So a greater budget never gives
        a higher threshold.
        """
        kept, exceeding = self._down(rule, budget, self.candidates()[::-1])
        if kept is None or exceeding is None:
            return kept
        finer = np.round(np.linspace(kept.raise_threshold, exceeding, _FINER + 1)[1:-1], _DIGITS)
        return self._down(rule, budget, finer.tolist())[0] or kept

    def _down(self, rule: Rule, budget: float, falling: Sequence[float]) -> tuple[Point | None, float | None]:
        """Return the last of falling thresholds within the budget, and the first one that is not."""
        kept: Point | None = None
        for threshold in falling:
            point = self.at(rule, threshold)
            if point.false_per_patient_day > budget:
                return kept, threshold
            kept = point
        return kept, None


@dataclass(frozen=True)
class Tuned:
    """What was chosen, and what it was chosen among."""

    policy: Policy
    rule: Rule
    chosen: Point  # on the stays that chose
    by_rule: tuple[Point, ...]  # each rule's best within the budget
    curve: tuple[Point, ...]  # of the chosen rule, by rising threshold, the chosen one in it
    least_sensitivity: float  # a live budget must not go below it
    highest_threshold: float  # and so not above this
    lowest_threshold: float  # nor below this, where the burden would be twice the budget, or falls again


def choosing_stays(cohort: Cohort) -> NDArray[np.bool_]:
    """Return the half of the stays (S) that chooses: by their ids alone, so that it is the same in every order."""
    return np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in cohort.patient_ids], dtype=np.bool_)


def tune(
    trial: Trial,
    budget: float,
    *,
    floor_share: float,
    headroom: float = 0.0,
    rules: Sequence[Rule] = RULES,
    say: Callable[[str], None] = lambda _: None,
) -> Tuned:
    """Choose, among rules that keep the budget (false episodes a patient-day), the one that gains most.

    `floor_share` is the share of the chosen sensitivity that a higher threshold must keep. `headroom` is the share of
    the budget that the choice leaves free: chosen at the budget itself, as many days are above it as below. Raises
    NothingFitsError.
    """
    best: dict[Rule, Point] = {}
    for rule in rules:
        say(f"resolving at {rule.resolve_share:g} of the threshold, raising after {rule.raise_minutes:g} minutes")
        point = trial.within(rule, budget * (1 - headroom))
        if point is not None and point.sensitivity > 0:  # a policy that alerts nobody is none
            best[rule] = point
    if not best:
        msg = (
            f"no threshold that finds a septic stay costs as little as {budget * (1 - headroom):g} false alert "
            "episodes a patient-day on these stays; give a greater --budget, or more stays"
        )
        raise NothingFitsError(msg)
    rule = max(best, key=lambda each: best[each].gain)  # of equals the first: the simplest
    chosen = best[rule]
    say("the whole trade-off")
    thresholds = sorted({*trial.candidates(), chosen.raise_threshold})
    curve = tuple(trial.at(rule, each) for each in thresholds)
    least = chosen.sensitivity * floor_share
    higher = [each.raise_threshold for each in curve if each.raise_threshold >= chosen.raise_threshold]
    highest = _last_above(least, higher, lambda each: trial.at(rule, each).sensitivity)
    lowest = _lowest([each for each in reversed(curve) if each.raise_threshold <= chosen.raise_threshold], budget)
    return Tuned(
        policy=_with_budget(trial, trial.policy(rule, chosen.raise_threshold), budget, lowest, highest),
        rule=rule,
        chosen=chosen,
        by_rule=tuple(best.values()),
        curve=curve,
        least_sensitivity=least,
        highest_threshold=highest,
        lowest_threshold=lowest,
    )


def _with_budget(trial: Trial, policy: Policy, budget: float, lowest: float, highest: float) -> Policy:
    """Return the policy with a live budget between two thresholds; how it measures and steps stays as it was."""
    before = trial.base.budget or Budget(budget, lowest, highest)
    new = msgspec.structs.replace(
        before, false_episodes_per_patient_day=budget, lowest_threshold=lowest, highest_threshold=highest
    )
    return msgspec.structs.replace(policy, budget=new)


def _lowest(falling: Sequence[Point], budget: float) -> float:
    """Return the last of falling thresholds down to which the burden rises, and to no more than twice the budget.

    Where it falls again, because all is one long alert, a controller that lowers the threshold would go on for ever.
    """
    kept = falling[0]
    for point in falling[1:]:
        if not kept.false_per_patient_day <= point.false_per_patient_day <= _MOST_BURDEN * budget:
            break
        kept = point
    return kept.raise_threshold


def _last_above(least: float, rising: Sequence[float], of: Callable[[float], float]) -> float:
    """Return the last of rising thresholds up to which `of` is nowhere below `least`; the first one in any case."""
    kept = rising[0]
    for threshold in rising:
        if not of(threshold) >= least:
            break
        kept = threshold
    return kept
