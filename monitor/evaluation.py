"""Everything `evaluate` and the model card say of a model on labelled stays, as one object for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy, at_threshold
from models.alarm_figures import AlertCourse, alarm_figures, leads, repeated_alerts
from models.baselines import cross_fitted, rule_scores
from models.cohort import Cohort
from models.doubt import UNLIKE
from models.doubt_figures import ever_unlike, hours_in_doubt
from models.evaluation import FIRST_HOURS, judge
from models.health import cold_start, healthy_cohort, judge_health, other_levels_cohort
from models.operating_curves import operating_curve
from models.reliability import fit_line, probabilities_on, reliability_curve
from models.resampling import Figure, Resamples
from models.scoring import Scored, score_cohort
from models.stay_model import StayModel
from models.subgroups import hospitals, subgroups
from models.vital_signs import NAMES
from monitor.alert_course import alert_course, threshold_for

__all__ = ["SPANS", "Evaluator", "TrainedBaseline", "View", "health_of", "plain"]

# What alarm figures are confined to, by name: the first so many hours of each stay, or all of it.
SPANS: dict[str, int | None] = {"whole_stay": None, "first_48h": FIRST_HOURS}

_CURVE_SHARES = np.geomspace(0.0005, 0.7, 28)  # of the rows that decide, at or over a threshold
_BURDENS = (0.1, 0.25, 0.5, 1.0)  # alert episodes a patient-day
_COMPARED_BURDEN = 0.5  # at which baselines stand beside the model, in the first 48 hours
_MISSING = (0.0, 0.5)  # shares of single values that the healthy of other levels lack
_HARMLESS_ODDS = 10  # health must stay below the raise threshold's odds by this factor

Figures = dict[str, Figure]
Say = Callable[[str], None]


@dataclass(frozen=True)
class View:
    """What the model is shown: vital signs (None: all), and what is hidden."""

    name: str
    vitals: frozenset[str] | None
    hide: frozenset[str]


class TrainedBaseline(Protocol):
    """A baseline that learned from stays, as the model did."""

    def check(self, vitals: frozenset[str] | None, hide: frozenset[str]) -> object:
        """Raise an error that says what to do where it cannot be shown so much: vital signs (None: all), less these."""

    def scores(
        self, cohort: Cohort, vitals: frozenset[str] | None, hide: frozenset[str]
    ) -> dict[str, NDArray[np.float64]]:
        """Return scores (R) for each row of a cohort, so much of it shown, by the baselines' names."""


@dataclass(frozen=True)
class Evaluator:
    """One model and one policy on the labelled stays of a cohort."""

    model: StayModel
    policy: Policy
    cohort: Cohort
    rounds: int
    seed: int
    trained: tuple[TrainedBaseline, ...] = ()
    say: Say = lambda _: None

    def everything(self, views: tuple[View, ...]) -> dict[str, Any]:
        """Return all figures of all views; the first one also by subgroup."""
        cohort = self.cohort
        return {
            "model": {"name": self.model.name, "version": self.model.version, "digest": self.model.digest},
            "policy": {
                **{"name": self.policy.name, "version": self.policy.version, "digest": self.policy.digest},
                "raise_threshold": self.policy.raise_threshold,
                "resolve_threshold": self.policy.resolve_threshold,
            },
            "utility_threshold": self.model.utility_threshold,
            "data": {
                **{"stays": cohort.n_stays, "septic_stays": int(cohort.septic.sum()), "rows": cohort.n_rows},
                "positive_rows": int(cohort.known_labels.sum()),
            },
            "bootstrap": {"rounds": self.rounds, "seed": self.seed, "over": "stays", "interval": 0.95},
            "views": {view.name: self._view(view, first=view is views[0]) for view in views},
        }

    def _view(self, view: View, *, first: bool) -> dict[str, Any]:
        title = view.name.replace("_", " ")
        self.say(f"{title}: scoring")
        scored = score_cohort(self.model, self.cohort, vitals=view.vitals, hide=view.hide)
        self.say(f"{title}: figures")
        groups = subgroups(self.cohort) if first else {"hospital": hospitals(self.cohort)}
        found: dict[str, Any] = {
            "vital_signs": [name for name in NAMES if view.vitals is None or name in view.vitals],
            "hidden": sorted(view.hide),
            "overall": self._figures(scored, np.ones(self.cohort.n_stays, dtype=np.bool_)),
            "by": {
                by: {name: self._group(scored, stays) for name, stays in members.items()}
                for by, members in groups.items()
            },
        }
        self.say(f"{title}: alarms")
        found |= self._alarms(scored)
        found["doubt"] = self._doubt(scored)
        self.say(f"{title}: baselines")
        found["baselines"] = self._baselines(view, scored, drawn=first)
        self.say(f"{title}: health and cold starts")
        found["health"] = health_of(self.model, self.policy, view, self.seed)
        found["cold_start"] = cold_start(
            self.model, self.cohort, scored, vitals=view.vitals, hide=view.hide, seed=self.seed, rounds=self.rounds
        )
        found["curves"] = self._curves(scored.risk)
        found["reliability"] = [asdict(each) for each in reliability_curve(scored.risk, self.cohort.known_labels)]
        return found

    @cached_property
    def resamples(self) -> Resamples:
        """The draws of all stays."""
        return self._resamples(self.cohort)

    def _resamples(self, cohort: Cohort) -> Resamples:
        return Resamples.draw(cohort.n_stays, self.rounds, self.seed)

    def _figures(self, scored: Scored, stays: NDArray[np.bool_]) -> Figures:
        cohort = self.cohort if stays.all() else self.cohort.select(stays)
        risk = scored.risk[np.repeat(stays, self.cohort.lengths)]
        flags = risk >= self.model.utility_threshold
        return judge(risk, cohort, flags=flags, probabilities=risk, resamples=self._resamples(cohort))

    def _group(self, scored: Scored, stays: NDArray[np.bool_]) -> dict[str, Any]:
        return {
            "stays": int(stays.sum()),
            "septic_stays": int((stays & self.cohort.septic).sum()),
            "figures": self._figures(scored, stays),
        }

    def _alarms(self, scored: Scored) -> dict[str, Any]:
        """Return figures at the policy's thresholds, over a curve of thresholds, and at round burdens."""
        course, resamples = alert_course(self.cohort, scored, self.policy), self.resamples
        found: dict[str, Any] = {"alarms": {}, "alarm_curve": {}, "alarms_at_burden": {}, "leads": {}}
        for span, hours in SPANS.items():
            burdens = _Burdens(self, partial(self._episodes, scored), _candidates(scored), hours)
            found["alarms"][span] = alarm_figures(self.cohort, course, resamples, first_hours=hours)
            found["leads"][span] = _lead_counts(self.cohort, course, hours)
            found["alarm_curve"][span] = burdens.curve()
            found["alarms_at_burden"][span] = [burdens.at(burden) for burden in _BURDENS]
        found["compared"] = self._compared(scored)
        return found

    def _doubt(self, scored: Scored) -> dict[str, Any]:
        """Return how often the model does not speak, against what it promised, and which alerts that costs."""
        fitted = self.model.manifest.doubt
        doubt, shown = scored.doubt, scored.assessable
        courses = {
            "alerted": shown,
            "without_unlike": shown | (doubt.reason == UNLIKE),
            "without_any_doubt": np.ones_like(shown),
        }
        alerted = {
            name: len(
                leads(self.cohort, alert_course(self.cohort, replace(scored, assessable=rows), self.policy)).hours
            )
            for name, rows in courses.items()
        }
        return {
            "alpha": fitted.alpha if fitted is not None and fitted.limit is not None else None,
            "limit": fitted.limit if fitted is not None else None,
            "ever_unlike": ever_unlike(self.cohort, doubt),
            "hours": hours_in_doubt(doubt),
            "septic_stays": int(self.cohort.septic.sum()),
            "septic_stays_alerted": alerted,
        }

    def _episodes(self, scored: Scored, threshold: float) -> AlertCourse:
        return alert_course(self.cohort, scored, at_threshold(self.policy, threshold))

    def _repeats(self, scored: Scored, threshold: float) -> AlertCourse:
        return repeated_alerts(self.cohort, scored.risk >= threshold)

    def _compared(self, scored: Scored) -> dict[str, Any]:
        """Return what baselines are compared in: the first 48 hours at one burden, by both ways to count alerts."""
        return {
            name: _Burdens(self, partial(rule, scored), _candidates(scored), FIRST_HOURS).at(_COMPARED_BURDEN)
            for name, rule in (("episodes", self._episodes), ("alerts_every_6_hours", self._repeats))
        }

    def _baselines(self, view: View, scored: Scored, *, drawn: bool) -> dict[str, Any]:
        scores = rule_scores(self.cohort, view.vitals)
        for each in self.trained:
            scores |= each.scores(self.cohort, view.vitals, view.hide)
        found: dict[str, dict[str, Any]] = {}
        for name, said in scores.items():
            fitted = cross_fitted(said, self.cohort, self.seed)
            figures = judge(
                said,
                self.cohort,
                flags=fitted.flags,
                probabilities=fitted.probabilities,
                resamples=self.resamples,
            )
            found[name] = {
                "figures": figures,
                "compared": self._compared(replace(scored, risk=_as_risks(said, self.cohort.known_labels))),
            }
            if drawn:
                found[name]["curves"] = self._curves(said)
        return found

    def _curves(self, scores: NDArray[np.float64]) -> dict[str, Any]:
        """Return what pictures are drawn from: points of curves over thresholds, for each span of hours."""
        labels, limit = self.cohort.known_labels, self.cohort.steps
        return {
            span: operating_curve(scores[limit < (hours or np.inf)], labels[limit < (hours or np.inf)])
            for span, hours in SPANS.items()
        }


@dataclass(frozen=True)
class _Burdens:
    """Alarm figures over thresholds, of alerts that some rule gives."""

    of: Evaluator
    course: Callable[[float], AlertCourse]
    candidates: list[float]  # thresholds, rising
    first_hours: int | None
    known: dict[float, dict[str, float]] = field(default_factory=dict)  # values by threshold

    def curve(self) -> list[dict[str, float]]:
        """Return the values at every candidate."""
        return [{"raise_threshold": each} | self._values(each) for each in self.candidates]

    def at(self, burden: float) -> dict[str, Any]:
        """Return the figures at the highest threshold with about so many alerts a patient-day, if any has as many.

        The burden needs no labels, so that choosing a threshold by it does not flatter what the alerts find.
        """
        threshold = threshold_for(burden, lambda each: self._values(each)["episodes_per_patient_day"], self.candidates)
        if threshold is None:
            return {"burden": burden, "reached": False}
        figures = alarm_figures(self.of.cohort, self.course(threshold), self.of.resamples, first_hours=self.first_hours)
        return {"burden": burden, "reached": True, "raise_threshold": threshold, "figures": figures}

    def _values(self, threshold: float) -> dict[str, float]:
        if threshold not in self.known:
            none = Resamples.draw(self.of.cohort.n_stays, 0, 0)
            found = alarm_figures(self.of.cohort, self.course(threshold), none, first_hours=self.first_hours)
            self.known[threshold] = {name: figure.value for name, figure in found.items()}
        return self.known[threshold]


def health_of(model: StayModel, policy: Policy, view: View, seed: int) -> dict[str, Any]:
    """Return what a model says of made-up healthy stays, and whether the policy would alert.

    Of one typical adult, whose like models learn from; and, apart (`other_levels`), of people at other normal levels,
    with values missing, made in another way than those to learn from.
    """
    cohort = healthy_cohort(seed)
    scored = score_cohort(model, cohort, vitals=view.vitals, hide=view.hide)
    found = judge_health(scored.risk, cohort)
    largest = float(_shares_of_raise_threshold(scored, policy).max())
    return asdict(found) | {
        "largest_odds_of_raise_threshold": largest,
        "below_a_tenth": largest * _HARMLESS_ODDS < 1,
        "alerts": int(alert_course(cohort, scored, policy).raised.sum()),
        "other_levels": [_other_levels(model, policy, view, missing, seed) for missing in _MISSING],
    }


def _other_levels(model: StayModel, policy: Policy, view: View, missing: float, seed: int) -> dict[str, Any]:
    cohort = other_levels_cohort(missing, seed)
    scored = score_cohort(model, cohort, vitals=view.vitals, hide=view.hide)
    shares = _shares_of_raise_threshold(scored, policy)
    largest = np.maximum.reduceat(shares, cohort.offsets[:-1])
    raised = alert_course(cohort, scored, policy).raised
    return {
        "missing": missing,
        "stays": cohort.n_stays,
        "largest_odds_of_raise_threshold": float(largest.max()),
        "largest_of_assessed_hours": float(shares.max(initial=0, where=scored.observed & scored.assessable)),
        "stays_ever_over_a_tenth": float((largest * _HARMLESS_ODDS >= 1).mean()),
        "alerts": int(raised.sum()),
        "stays_ever_alerted": int(np.logical_or.reduceat(raised, cohort.offsets[:-1]).sum()),
    }


def _shares_of_raise_threshold(scored: Scored, policy: Policy) -> NDArray[np.float64]:
    """Return the odds (R) of every hour as a share of those of the raise threshold."""
    share: NDArray[np.float64] = scored.risk / (1 - scored.risk) * (1 - policy.raise_threshold) / policy.raise_threshold
    return share


def _candidates(scored: Scored) -> list[float]:
    """Return thresholds, rising, that certain shares of the deciding rows reach."""
    decided = scored.risk[scored.observed & scored.assessable]
    if not len(decided):
        return []
    return [each for each in np.unique(np.quantile(decided, 1 - _CURVE_SHARES)).tolist() if 0 < each < 1]


def _as_risks(scores: NDArray[np.float64], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return scores as probabilities, in the same order: the alert rule resolves at a share of what it raises at.

    The line is fitted to all stays; it cannot flatter, because thresholds are chosen by burden.
    """
    line = fit_line(scores, labels)
    if line is not None and line[0] > 0:
        return probabilities_on(scores, *line)
    low, high = float(scores.min()), float(scores.max())
    return np.asarray((scores - low) / max(high - low, np.finfo(np.float64).tiny))


def _lead_counts(cohort: Cohort, course: AlertCourse, hours: int | None) -> dict[str, Any]:
    """Return how many septic stays there are, and how many were alerted by so many hours before their onset."""
    found = leads(cohort, course, first_hours=hours)
    lead, count = np.unique(found.hours.astype(np.int64), return_counts=True)
    return {
        "septic_stays": found.septic_stays,
        "alerted_by_hours": dict(zip(lead.tolist(), count.tolist(), strict=True)),
    }


def plain(value: object) -> Any:
    """Return the object as JSON can hold it: figures as objects, what is not a number as null."""
    if isinstance(value, Figure):
        return {
            name: plain(part)
            for name, part in (("value", value.value), ("low", value.low), ("high", value.high))
            if name == "value" or part is not None
        }
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
