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
from models.attribution import Attribution
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


def explain(model: StayModel, state: NDArray[np.void], inputs: StepInput) -> list[Explanation]:
    """Return why the risks of N stays over their open steps are what they are; costs a few milliseconds a stay.

    `state` (N) holds the closed steps, `inputs` (N) the open ones, as for `StayModel.advance`. A stay's reasons are a
    function of its own row alone.
    """
    if not len(state):
        return []
    features = FeatureState.read(state)
    then = past.before(state["past"], features, PAST_HOURS, model.scaling)
    own = then.count > 0
    means = np.where(own, then.mean, np.float32(0)) * model.scaling.deviation + model.scaling.mean
    closed = replace(inputs, step=(inputs.step - np.int32(1)).astype(np.int32))
    hours = [*past.hours_since(features, closed, PAST_HOURS - 1, 0), inputs]
    rows, waiting, last = _replay(model, state, hours, means)
    table = _table(hours)
    odds, logit = model.hour_log_odds(inputs.step), model.advance(state, inputs, keep_past=False)[1]
    slope = model.manifest.calibration.slope
    explanations = []
    for stay, first in enumerate(waiting.tolist()):
        h, c = (state["past"][name][stay].astype(np.float64) for name in ("h", "c"))
        ends = np.ascontiguousarray(rows[first:, stay])  # (T, 4, F), laid out the same whatever the batch
        found = model.gradients.attribute(h, c, ends[:, _BASELINE], ends[:, _ACTUAL])
        by_sign = np.zeros((HOURS, N_VITAL_SIGNS))
        by_sign[first:] = _by_sign(found, ends) * slope
        shown = _Shown(table[stay], last[stay], means[stay], own[stay], then.last_step[stay], then.last_value[stay])
        explanations.append(
            Explanation(
                signs=_signs(by_sign, shown, int(inputs.step[stay])),
                baseline_risk=float(model.risk(np.array([found.baseline_logit + odds[stay]]))[0]),
                rest=float(found.contributions.sum() * slope - by_sign.sum()),
                delta=found.delta * slope,
                gap=float(found.logit + odds[stay] - logit[stay]) * slope,
            )
        )
    return explanations


def _replay(
    model: StayModel, state: NDArray[np.void], hours: list[StepInput], means: F32
) -> tuple[F64, NDArray[np.int64], F32]:
    """Return the network's inputs (HOURS, N, 4, F), the hours before a first measurement (N), the last values (N, 7).

    The four are those of _MEASURED: a vital sign that is not as measured shows `means` (N, 7) wherever it was measured.
    """
    n, ways = len(state), len(_MEASURED)
    states = np.repeat(state, ways)
    features = past.before(states["past"], FeatureState.read(states), PAST_HOURS, model.scaling)
    as_measured, means = np.tile(_MEASURED, (n, 1)), np.repeat(means, ways, axis=0)
    waiting = np.zeros(n, dtype=np.int64)
    rows = np.empty((len(hours), n, ways, model.weights.inputs.shape[1]))
    for place, hour in enumerate(hours):
        fields = StepInput.__dataclass_fields__
        alike = StepInput(**{name: np.repeat(getattr(hour, name), ways, axis=0) for name in fields})
        values, late = (
            np.where(as_measured | np.isnan(each), each, means).astype(np.float32)
            for each in (alike.values, alike.late_values)
        )
        row = model.network_row(features, replace(alike, values=values, late_values=late))
        rows[place] = row.reshape(rows.shape[1:])
        waiting += ~features.started[_ACTUAL::ways]
    return rows, waiting, np.ascontiguousarray(features.last_value[_ACTUAL::ways])


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
    """Return what each hour showed (N, HOURS, 7), a late value in its own hour."""
    table = np.stack([hour.values for hour in hours], axis=1)
    now = hours[-1]
    ago = now.step[:, None] - now.late_steps
    within = ~np.isnan(now.late_values) & (ago > 0) & (ago < HOURS)
    for stay, sign in zip(*np.nonzero(within), strict=True):
        table[stay, HOURS - 1 - ago[stay, sign], sign] = now.late_values[stay, sign]
    return table


@dataclass(frozen=True)
class _Shown:
    """What the vital signs of one stay show: in these hours (HOURS, 7), and by vital sign (7)."""

    table: F32
    now: F32
    means: F32
    own: NDArray[np.bool_]
    last_step: NDArray[np.int32]  # before these hours
    last_value: F32


def _signs(by_sign: F64, shown: _Shown, step: int) -> tuple[SignReason, ...]:
    spoken = by_sign.any(axis=0) | ~np.isnan(shown.table).all(axis=0)
    reasons = []
    for sign in np.flatnonzero(spoken).tolist():
        now = float(shown.now[sign])
        before = _before(shown.table[:, sign], step, int(shown.last_step[sign]), float(shown.last_value[sign]))
        reasons.append(
            SignReason(
                sign=sign,
                by_hour=tuple(by_sign[:, sign].tolist()),
                now=round(now, 2),
                reference=round(float(shown.means[sign]), 2),
                own=bool(shown.own[sign]),
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
