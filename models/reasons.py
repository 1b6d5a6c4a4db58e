"""Why a risk is what it is: how far each vital sign's values of the last hours moved it, against the patient's own.

The question is: what would the risk be, had every measurement of the last hours shown what this patient's mean was in
the stay before them? For a vital sign that was not measured before them, the mean of the training stays stands in.
What was measured when is the same on both sides, so that reasons speak of values, never of how often somebody looked;
age, sex and admission are the same too. The state of the stay before these hours (`past.py`) is replayed over both,
and integrated gradients (`attribution.py`) divide the difference of the two log-odds among hours and vital signs.

An input that two vital signs make, such as the shock index, is divided between them by Shapley's value (each one's
difference, averaged over the two orders); the NEWS2 total by the points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models import past
from models.attribution import Attribution, integrated_gradients
from models.early_warning import NEWS2_SIGNS
from models.features import FEATURE_NAMES, PAST_HOURS, FeatureState
from models.stay_model import StayModel, StepInput
from models.vital_signs import DIASTOLIC_BP, HEART_RATE, N_VITAL_SIGNS, NAMES, SYSTOLIC_BP

__all__ = ["HOURS", "METHOD", "Explanation", "SignReason", "explain"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

METHOD = "integrated gradients of the last 7 hours against this patient's own mean before them"
HOURS = PAST_HOURS + 1  # closed ones and the open one
_LARGEST_DELTA = 0.01  # log-odds that the contributions may miss of the difference they explain
_LARGEST_GAP = 0.1  # log-odds between the replay and the risk as it was
_OLDEST_TREND_HOURS = 24  # a value older than this says nothing of a trend

# The ends of the line and two mixtures between them: which vital signs are as they were measured, (4, 7).
_BASELINE, _ACTUAL, _GROUP, _OTHERS = range(4)
_IN_GROUP = np.isin(np.arange(N_VITAL_SIGNS), (HEART_RATE, DIASTOLIC_BP))
_MEASURED = np.stack([np.zeros(N_VITAL_SIGNS, np.bool_), np.ones(N_VITAL_SIGNS, np.bool_), _IN_GROUP, ~_IN_GROUP])

# Inputs that systolic pressure makes with one sign of the group: name, and that sign.
_SHARED = (("shock_index", HEART_RATE), ("shock_index_8h", HEART_RATE), ("pulse_pressure", DIASTOLIC_BP))
# Whose each input is: one row an input, one column a vital sign, all zero for the others.
_OWNERS = np.array([[float(name.startswith(f"{sign}_")) for sign in NAMES] for name in FEATURE_NAMES])
_NEWS2_TOTAL = FEATURE_NAMES.index("news2_partial")
_NEWS2_COLUMNS = [FEATURE_NAMES.index(f"{NAMES[sign]}_news2_points") for sign in NEWS2_SIGNS]
_NEWS2_PART = 3.0 / 5.0  # of a sign's input in the total's: they are points over 3 and over 5


@dataclass(frozen=True)
class SignReason:
    """What one vital sign contributed, with what it shows; in its unit."""

    sign: int
    by_hour: tuple[float, ...]  # log-odds, oldest hour first, the last is the open one
    now: float  # the value of the last hour with a measurement: the median of that hour
    reference: float  # what it was compared with
    own: bool  # that is this patient's mean of the stay before these hours, not the training stays'
    change: float | None  # from the oldest value of these hours, or the one before them, to now; None: there is none
    hours: int | None  # that lie between these two

    @property
    def contribution(self) -> float:
        """Log-odds of the risk; positive is towards sepsis."""
        return float(sum(self.by_hour))


@dataclass(frozen=True)
class Explanation:
    """The reasons of one risk. The contributions, and `rest`, add up to log-odds(risk) - log-odds(baseline_risk)."""

    signs: tuple[SignReason, ...]  # those measured in these hours, or of which a late value came in
    baseline_risk: float  # had these hours shown the patient's own means
    rest: float  # log-odds of inputs that are no vital sign's: 0 but for rounding
    delta: float  # log-odds: convergence delta of the integrated gradients
    gap: float  # log-odds between the replayed risk and the one that is explained

    @property
    def sound(self) -> bool:
        """Whether the parts add up to what they explain closely enough to be shown."""
        return abs(self.delta) <= _LARGEST_DELTA and abs(self.gap) <= _LARGEST_GAP


def explain(model: StayModel, state: NDArray[np.void], inputs: StepInput) -> Explanation:
    """Return why the risk of one stay over an open step is what it is; costs a few milliseconds.

    `state` (1) holds the closed steps, `inputs` (1) the open one, as for `StayModel.advance`. A function of these two
    alone.
    """
    features = FeatureState.read(state)
    then = past.before(state["past"], features, PAST_HOURS, model.scaling)
    own = then.count[0] > 0
    means = np.where(own, then.mean[0], np.float32(0)) * model.scaling.deviation + model.scaling.mean
    closed = replace(inputs, step=(inputs.step - np.int32(1)).astype(np.int32))
    hours = [*past.hours_since(features, closed, PAST_HOURS - 1, 0), inputs]
    rows, end = _replay(model, np.repeat(state, len(_MEASURED)), hours, means)
    first = HOURS - len(rows)  # hours before the stay's first measurement, of which nothing is told
    h, c = (state["past"][name][0].astype(np.float64) for name in ("h", "c"))
    found = integrated_gradients(model.weights, h, c, rows[:, _BASELINE], rows[:, _ACTUAL])
    slope = model.manifest.calibration.slope
    by_sign = np.zeros((HOURS, N_VITAL_SIGNS))
    by_sign[first:] = _by_sign(found, rows) * slope
    odds = model.hour_log_odds(inputs.step)
    logit = model.advance(state, inputs, keep_past=False)[1]
    return Explanation(
        signs=_signs(by_sign, _table(hours), means, own, then, int(inputs.step[0]), end.last_value[_ACTUAL]),
        baseline_risk=float(model.risk(found.baseline_logit + odds)[0]),
        rest=float(found.contributions.sum() * slope - by_sign.sum()),
        delta=found.delta * slope,
        gap=float((found.logit + odds - logit)[0]) * slope,
    )


def _replay(model: StayModel, states: NDArray[np.void], hours: list[StepInput], means: F32) -> tuple[F64, FeatureState]:
    """Return the network's inputs (T, 4, F) in the hours since the first measurement, and the features after them.

    The four are those of _MEASURED: a vital sign that is not as measured shows `means` (7) wherever it was measured.
    """
    state = past.before(states["past"], FeatureState.read(states), PAST_HOURS, model.scaling)
    rows = []
    for hour in hours:
        fields = StepInput.__dataclass_fields__
        alike = StepInput(**{name: np.repeat(getattr(hour, name), len(states), axis=0) for name in fields})
        values, late = (
            np.where(_MEASURED | np.isnan(each), each, means).astype(np.float32)
            for each in (alike.values, alike.late_values)
        )
        row = model.network_row(state, replace(alike, values=values, late_values=late))
        if state.started[0]:
            rows.append(row)
    n_inputs = model.weights.inputs.shape[1]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(states), n_inputs), state


def _by_sign(found: Attribution, rows: F64) -> F64:
    """Return the contributions (T, F) of inputs as those of vital signs (T, 7)."""
    by_sign: F64 = found.contributions[:, : len(FEATURE_NAMES)] @ _OWNERS
    for name, partner in _SHARED:
        column = FEATURE_NAMES.index(name)
        x, gradient = rows[:, :, column], found.gradients[:, column]
        of_partner = (x[:, _GROUP] - x[:, _BASELINE] + x[:, _ACTUAL] - x[:, _OTHERS]) / 2
        by_sign[:, partner] += gradient * of_partner
        by_sign[:, SYSTOLIC_BP] += found.contributions[:, column] - gradient * of_partner
    points = rows[:, _ACTUAL, _NEWS2_COLUMNS] - rows[:, _BASELINE, _NEWS2_COLUMNS]  # (T, 5)
    by_sign[:, NEWS2_SIGNS] += found.gradients[:, _NEWS2_TOTAL, None] * points * _NEWS2_PART
    return by_sign


def _table(hours: list[StepInput]) -> F32:
    """Return what each hour showed (HOURS, 7), a late value in its own hour."""
    table = np.concatenate([hour.values for hour in hours])
    late, now = hours[-1].late_values[0], hours[-1]
    for sign in np.flatnonzero(~np.isnan(late)).tolist():
        ago = int(now.step[0] - now.late_steps[0, sign])
        if 0 < ago < HOURS:
            table[HOURS - 1 - ago, sign] = late[sign]
    return table


def _signs(  # noqa: PLR0917 (all that is known of the vital signs)
    by_sign: F64, table: F32, means: F32, own: NDArray[np.bool_], then: FeatureState, step: int, last: F32
) -> tuple[SignReason, ...]:
    spoken = by_sign.any(axis=0) | ~np.isnan(table).all(axis=0)
    reasons = []
    for sign in np.flatnonzero(spoken).tolist():
        now = float(last[sign])
        before = _before(table[:, sign], step, int(then.last_step[0, sign]), float(then.last_value[0, sign]))
        reasons.append(
            SignReason(
                sign=sign,
                by_hour=tuple(by_sign[:, sign].tolist()),
                now=round(now, 2),
                reference=round(float(means[sign]), 2),
                own=bool(own[sign]),
                change=None if before is None else round(now - before[0], 2),
                hours=None if before is None else before[1],
            )
        )
    return tuple(reasons)


def _before(shown: F32, step: int, last_step: int, last_value: float) -> tuple[float, int] | None:
    """Return the value that a trend starts from and the hours from it to the newest of `shown` (HOURS).

    That is the oldest of these hours or, where there is but one, the last before them.
    """
    seen = np.flatnonzero(~np.isnan(shown))
    if not len(seen):
        return None
    if len(seen) > 1:
        return float(shown[seen[0]]), int(seen[-1] - seen[0])
    hours = step - (HOURS - 1 - int(seen[0])) - last_step
    return (last_value, hours) if hours <= _OLDEST_TREND_HOURS else None
