"""The service's own alert decisions over whole cohorts, for files: the same rule, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from agents.policy import Policy, chosen_for, load_policy
from agents.rules import terms_of
from models.alarm_figures import AlertCourse
from models.cohort import Cohort
from models.scoring import Scored
from models.stay_model import StayModel
from monitor.unattended import Hour, UnattendedAlerts

__all__ = ["alert_course", "policy_for", "threshold_for"]

_HALVINGS = 10
_HOUR_MS = 3_600_000


def alert_course(cohort: Cohort, scored: Scored, policy: Policy) -> AlertCourse:
    """Return on which rows alerts are raised and open, where nobody answers them.

    As in the stream, something is decided only when an observation comes: a row without one leaves the alert as it is.
    """
    raised = np.zeros(cohort.n_rows, dtype=np.bool_)
    is_open = np.zeros(cohort.n_rows, dtype=np.bool_)
    longest_first = np.argsort(-cohort.lengths, kind="stable")
    starts, falling = cohort.offsets[:-1][longest_first], -cohort.lengths[longest_first]
    terms, alerts = terms_of(policy), UnattendedAlerts(cohort.n_stays)
    for hour in range(int(cohort.lengths.max(initial=0))):
        here = int(np.searchsorted(falling, -hour, side="left"))  # stays with more rows than `hour`
        rows = starts[:here] + hour
        clock_ms = (cohort.steps[rows].astype(np.int64) + 1) * _HOUR_MS
        now = Hour(scored.risk[rows], scored.assessable[rows], scored.observed[rows], clock_ms)
        raised[rows] = alerts.turn(terms, now)[0]
        is_open[rows] = alerts.open[:here]
    return AlertCourse(raised, is_open)


def policy_for(model: StayModel, file: Path | None) -> Policy:
    """Return the policy of a file; without one the shipped policy, or for a model it was not made for the model's own.

    A threshold is a risk that one model says: it means nothing for another, nor for another version of it. Raises
    PolicyError.
    """
    policy = load_policy(file)
    if file is not None or chosen_for(policy, model):
        return policy
    own = model.manifest.thresholds
    return Policy(
        name=f"{model.name} manifest",
        version=model.version,
        digest=model.digest,
        raise_threshold=own.pager_raise,
        resolve_threshold=own.pager_resolve,
        model=f"{model.name} {model.version}",
    )


def threshold_for(burden: float, of: Callable[[float], float], candidates: Sequence[float]) -> float | None:
    """Return the highest threshold with about this burden; `of` gives a threshold's.

    Looked for among rising candidates from above, and then between two of them; None where none has as much.
    """
    above = candidates[-1] if candidates else 0.0
    for candidate in reversed(candidates):
        if of(candidate) >= burden:
            low, high = candidate, above
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                low, high = (middle, high) if of(middle) > burden else (low, middle)
            return high
        above = candidate
    return None
