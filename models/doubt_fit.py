"""Fitting what is like the training stays, and the conformal limit beyond which a stay is unlike them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.doubt import TERMS, Known, Measures, Strangeness, measure
from models.features import NEVER, FeatureState
from models.manifest import Doubt, Tail
from models.scoring import score_cohort
from models.stay_model import StayModel
from models.timeline import Timeline
from models.vital_signs import HEART_RATE, N_VITAL_SIGNS, NAMES, RESPIRATORY_RATE, TEMPERATURE

__all__ = ["ALPHA", "Hours", "conformal_limit", "fit_doubt", "hours_of", "stay_scores", "tail_of"]

ALPHA = 0.02  # at most one stay in fifty is ever called unlike, and at most one septic stay in fifty

F64 = NDArray[np.float64]

_BLOCK = 1024
_NATS = 5.0  # what is no rarer than exp(-5), one in 150, adds nothing
_LADDER = np.arange(_NATS, _NATS + 5)  # nats at which a tail is measured
_RIDGE = 0.01  # added to the correlations' diagonal
_CONSTANT = 0.01  # a deviation, in z, below which a vital sign does not vary
_ONE_SIDED = frozenset(f"{name}_unchanged" for name in NAMES)
_TOO_YOUNG = 1000.0  # nats a year below the youngest
_ALWAYS_THERE = (HEART_RATE, RESPIRATORY_RATE, TEMPERATURE)  # what every deployment has is asked for first
_ORDERING_STAYS = 400  # enough to order seven vital signs by
_DIGITS = 6
_TAIL_DIGITS = 4
_ROUNDED = 10.0**-_TAIL_DIGITS


@dataclass(frozen=True)
class Hours:
    """What is known in each row (R) of a cohort."""

    measures: Measures
    enough: NDArray[np.bool_]  # only there can a row be called unlike


def hours_of(model: StayModel, cohort: Cohort) -> Hours:
    """Return the measures of every row of a cohort, from the state that the bedside code keeps."""
    rule = model.manifest.assessable
    medians = np.full((cohort.n_rows, N_VITAL_SIGNS), np.nan, dtype=np.float32)
    terms = np.full((cohort.n_rows, len(TERMS)), np.nan, dtype=np.float32)
    enough = np.zeros(cohort.n_rows, dtype=np.bool_)
    for hours in Timeline(cohort).blocks(_BLOCK):
        features = FeatureState.initial(_BLOCK)
        for hour in hours:
            features = features.first(len(hour.rows))
            features.advance(hour.inputs, model.scaling)
            step = hour.inputs.step
            known = Known(features.window, features.last_step, step, hour.inputs.age_years)
            found = measure(known, model.scaling, rule.within_hours)
            fresh = (features.last_step > NEVER) & (step[:, None] - features.last_step <= rule.within_hours)
            recorded = hour.rows >= 0
            rows = hour.rows[recorded]
            medians[rows], terms[rows] = found.medians[recorded], found.terms[recorded]
            enough[rows] = (fresh.sum(axis=1) >= rule.vital_signs)[recorded]
    return Hours(Measures(medians, terms), enough)


def fit_doubt(model: StayModel, training: Cohort, calibration: Cohort, *, alpha: float = ALPHA) -> Doubt:
    """Return the doubt layer of a model: what is usual from the training stays, the limit from the calibration stays.

    The calibration stays must not be among the training stays, nor have been looked at otherwise. Raises CohortError
    where they have no labels.
    """
    hours = hours_of(model, training)
    known = Measures(hours.measures.medians[hours.enough], hours.measures.terms[hours.enough])
    centre, covariance = _spread(known.medians.astype(np.float64))
    tails = {
        name: tail_of(known.terms[:, term].astype(np.float64), one_sided=name in _ONE_SIDED)
        for term, name in enumerate(TERMS)
    }
    tails["age"] = _with_cliff(tails["age"], training.age_years)
    fitted = Doubt(
        alpha=alpha,
        limit=None,
        centre=tuple(centre.tolist()),
        covariance=tuple(map(tuple, covariance.tolist())),
        tails=tails,
        settling=_settling(model, calibration),
    )
    scores, septic = stay_scores(fitted, hours_of(model, calibration), calibration), calibration.septic
    limits = [conformal_limit(each, alpha) for each in (scores, scores[septic])]
    return msgspec.structs.replace(
        fitted,
        limit=None if None in limits else round(max(each or 0.0 for each in limits), _DIGITS),
        calibration={
            "stays": len(scores),
            "septic_stays": int(septic.sum()),
            "limit_of_all": limits[0],
            "limit_of_septic": limits[1],
        },
    )


def stay_scores(fitted: Doubt, hours: Hours, cohort: Cohort) -> F64:
    """Return the largest strangeness (S) of each stay's hours in which enough is known; 0 where in none."""
    if not cohort.n_stays:
        return np.zeros(0)
    scores = np.where(hours.enough, Strangeness(fitted).of(hours.measures)[0], 0.0)
    largest: F64 = np.maximum.reduceat(scores, cohort.offsets[:-1])
    return largest


def conformal_limit(scores: F64, alpha: float) -> float | None:
    """Return what the score of one more exchangeable stay exceeds with a probability of at most alpha.

    It is the smallest score with at least (n + 1)(1 - alpha) scores up to it (Vovk et al. 2005); None where n is too
    small for one.
    """
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else None


def _spread(medians: F64) -> tuple[F64, F64]:
    """Return centre (7) and covariance (7, 7) of rows with gaps: each pair of signs over the rows that have both."""
    seen = ~np.isnan(medians)
    counts = np.maximum(seen.sum(axis=0), 1)
    centre = np.where(seen, medians, 0.0).sum(axis=0) / counts
    apart = np.where(seen, medians - centre, 0.0)
    deviation = np.sqrt((apart * apart).sum(axis=0) / counts)
    deviation = np.where(deviation > _CONSTANT, deviation, 1.0)
    scaled, both = apart / deviation, seen.astype(np.float64)
    correlation = (scaled.T @ scaled) / np.maximum(both.T @ both, 1.0)
    correlation[np.diag_indices(N_VITAL_SIGNS)] = 1.0
    # Made of pairs, the matrix need not be one of correlations: what is below the ridge is lifted to it.
    values, vectors = np.linalg.eigh(correlation)
    correlation = (vectors * np.maximum(values, 0.0)) @ vectors.T + _RIDGE * np.eye(N_VITAL_SIGNS)
    covariance = correlation * deviation[:, None] * deviation
    return np.round(centre, _DIGITS), np.round((covariance + covariance.T) / 2, _DIGITS)


def tail_of(values: F64, *, one_sided: bool) -> Tail:
    """Return how far beyond `_NATS` the surprise goes at values that few rows reach.

    The surprise of a value is -ln of the share of rows that are as far out, doubled where both ends are.
    """
    ordered = np.sort(values[~np.isnan(values)])
    n = len(ordered)
    if not n:
        return Tail((), ())
    shares = np.exp(-_LADDER) / (1 if one_sided else 2)
    ends = np.quantile(ordered, 1 - shares if one_sided else np.concatenate([shares, 1 - shares]))
    chosen = np.unique(np.round(ends, _TAIL_DIGITS))
    # What was rounded away must not put a value that many rows have beyond itself.
    above = (n - np.searchsorted(ordered, chosen - _ROUNDED, side="left")) / n
    below = np.searchsorted(ordered, chosen + _ROUNDED, side="right") / n
    share = above if one_sided else np.minimum(1.0, 2 * np.minimum(above, below))
    excess = np.maximum(-np.log(np.maximum(share, 1 / n)) - _NATS, 0.0)
    return Tail(tuple(chosen.tolist()), tuple(np.round(excess, _TAIL_DIGITS).tolist()))


def _with_cliff(tail: Tail, ages: NDArray[np.float32]) -> Tail:
    """Return the age's tail with a patient a year younger than the youngest far beyond any limit: a child is unlike."""
    if not np.isfinite(ages).any():
        return tail
    youngest = round(float(np.nanmin(ages)), _TAIL_DIGITS)
    older = [(value, excess) for value, excess in zip(tail.values, tail.excess, strict=True) if value > youngest]
    at_youngest = max(tail.excess, default=0.0)
    pairs = [(youngest - 1, at_youngest + _TOO_YOUNG), (youngest, at_youngest), *older]
    return Tail(tuple(value for value, _ in pairs), tuple(excess for _, excess in pairs))


def _settling(model: StayModel, cohort: Cohort) -> tuple[str, ...]:
    """Return the vital signs in the order in which they are to be measured where too little is known.

    First those that every deployment has, then the others; among each, the one first whose measurements move the
    risk's logit most in stays not learned from.
    """
    some = cohort.select(np.arange(cohort.n_stays) < _ORDERING_STAYS)
    whole = score_cohort(model, some).logit
    moves = [
        float(np.abs(whole - score_cohort(model, some, vitals=frozenset(NAMES) - {name}).logit).mean())
        for name in NAMES
    ]
    order = sorted(range(N_VITAL_SIGNS), key=lambda sign: (sign not in _ALWAYS_THERE, -moves[sign]))
    return tuple(NAMES[sign] for sign in order)
