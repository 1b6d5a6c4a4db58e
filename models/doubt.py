"""Whether a risk may be spoken of, or its inputs are too few, too old, or unlike those that were learned from.

Unlike is decided by split conformal prediction with the stay as the exchangeable unit (Vovk, Gammerman and Shafer 2005;
as anomaly detection Laxhammar 2014; in sepsis Shashikumar et al. 2021): a stay's strangeness is the largest of its
hours, and the limit is a rank among calibration stays, so that at most a share alpha of new stays is ever called
unlike. The rank is taken among all stays and among septic ones alone, and the larger limit counts: a very sick patient
must not be silenced as strange.

An hour's strangeness, in nats, is half the squared Mahalanobis distance of the medians of twelve hours, over the vital
signs that are fresh, plus what each of `TERMS` is rarer than one in exp(5): medians of five hours, values that do not
change, pressures that do not agree, an age that was not learned from. Medians, because a single artefact is nothing
strange. Nothing but the state is read, and hiding a vital sign never makes a stay stranger.

All arithmetic is elementwise in a fixed order: a stay's result does not depend on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from models.features import EMPTY, NEVER, Scaling, of_hundredths
from models.manifest import Assessable, Doubt, Tail
from models.order import middles, sort_first_axis
from models.vital_signs import (
    DIASTOLIC_BP,
    HEART_RATE,
    MEAN_ARTERIAL_PRESSURE,
    N_VITAL_SIGNS,
    NAMES,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SYSTOLIC_BP,
    TEMPERATURE,
)

__all__ = [
    "NONE",
    "NO_SIGN",
    "REASONS",
    "TERMS",
    "TOO_FEW",
    "TOO_OLD",
    "UNLIKE",
    "DoubtRule",
    "Doubts",
    "Known",
    "Measures",
    "Strangeness",
    "measure",
    "problem_of",
]

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

REASONS = ("none", "too_few", "too_old", "unlike")  # by their numbers in a state record
NONE, TOO_FEW, TOO_OLD, UNLIKE = range(len(REASONS))
NO_SIGN = -1  # no measurement would settle it

TERMS: tuple[str, ...] = (
    *(f"{name}_median_5h" for name in NAMES),  # z
    *(f"{name}_unchanged" for name in NAMES),  # how many of the latest measurements of 12 hours are the same
    "pressure_agreement_12h",  # mean pressure less a third of systolic and two of diastolic, medians, mmHg
    "pulse_pressure_12h",  # mmHg
    "age",  # years
)
_LONG_HOURS = 12
_SHORT_HOURS = 5
_LEAST_SHORT = 3  # measurements, for a median of five hours
_LEAST_LONG = 4  # of twelve
_MASKS = 1 << N_VITAL_SIGNS
_BITS = 1 << np.arange(N_VITAL_SIGNS)
_DEFAULT_SETTLING = (HEART_RATE, RESPIRATORY_RATE, TEMPERATURE, SYSTOLIC_BP, OXYGEN_SATURATION, DIASTOLIC_BP)
_PAIRED_TERMS = 2 * N_VITAL_SIGNS  # the terms before this are of one vital sign each, in order, twice
_AGREEMENT, _PULSE, _AGE = range(_PAIRED_TERMS, len(TERMS))


@dataclass(frozen=True)
class Doubts:
    """For each stay why its risk cannot be assessed, and which vital sign would settle that (N each)."""

    reason: NDArray[np.uint8]  # index of REASONS
    sign: NDArray[np.int8]  # index of NAMES; NO_SIGN where there is no doubt, or no measurement settles it

    @property
    def assessable(self) -> NDArray[np.bool_]:
        """Where the risk can be spoken of."""
        assessable: NDArray[np.bool_] = self.reason == NONE
        return assessable


@dataclass(frozen=True)
class Measures:
    """What strangeness is made of; NaN where it is not known."""

    medians: F32  # (N, 7) of twelve hours, z
    terms: F32  # (N, len(TERMS))


@dataclass(frozen=True)
class Known:
    """What is known of N stays after a step: parts of their states, and the age at admission."""

    window: NDArray[np.int16]  # (N, 12 or more, 7) hundredths of the unit by hours ago
    last_step: NDArray[np.int32]  # (N, 7)
    step: NDArray[np.int32]  # (N)
    age_years: F32  # (N) NaN where not known

    @classmethod
    def of(cls, state: NDArray[np.void], step: NDArray[np.int32], age_years: F32) -> Known:
        """Return it from states (N) after `step` (N)."""
        return cls(state["window"], np.ascontiguousarray(state["last_step"]), step, age_years)


def measure(known: Known, scaling: Scaling, within_hours: int) -> Measures:
    """Return the measures of N stays; of vital signs that are older, nothing."""
    window, last_step, step = known.window, known.last_step, known.step
    fresh = (last_step > NEVER) & (step[:, None] - last_step <= within_hours)
    nan = np.float32(np.nan)
    hours = np.array(window[:, :_LONG_HOURS].transpose(1, 0, 2), order="C")  # (12, N, 7) by hours ago
    medians = np.where(fresh, _median(hours, _LEAST_LONG), nan)
    systolic, diastolic, mean = (medians[:, sign] for sign in (SYSTOLIC_BP, DIASTOLIC_BP, MEAN_ARTERIAL_PRESSURE))
    terms = np.empty((len(window), len(TERMS)), dtype=np.float32)
    terms[:, :N_VITAL_SIGNS] = scaling.z(_median(hours[:_SHORT_HOURS], _LEAST_SHORT))
    terms[:, N_VITAL_SIGNS:_PAIRED_TERMS] = np.where(fresh, _unchanged(hours), nan)
    terms[:, _AGREEMENT] = mean - (systolic + diastolic + diastolic) / np.float32(3)
    terms[:, _PULSE] = systolic - diastolic
    terms[:, _AGE] = known.age_years
    return Measures(scaling.z(medians), terms)


def _median(hours: NDArray[np.int16], least: int) -> F32:
    """Return the median (N, 7) of the hours (K, N, 7) with a value; NaN where fewer than `least`."""
    ordered = hours.copy()
    sort_first_axis(ordered)
    empty = np.add.reduce(ordered == EMPTY, axis=0, dtype=np.int8)  # they come first
    count = len(hours) - empty.astype(np.intp)
    low, high = middles(ordered, len(hours) - count, count)
    median = (of_hundredths(low) + of_hundredths(high)) * np.float32(0.5)
    return np.where(count >= least, median, np.float32(np.nan))


def _unchanged(hours: NDArray[np.int16]) -> NDArray[np.int8]:
    """Return how many of the latest measurements (K, N, 7, latest first) are the same (N, 7)."""
    counts = np.zeros(hours.shape[1:], dtype=np.int8)
    latest = np.full(hours.shape[1:], EMPTY)
    unbroken = np.ones(hours.shape[1:], dtype=np.bool_)
    for hour in hours:
        seen = hour != EMPTY
        latest = np.where(latest == EMPTY, hour, latest)
        same = hour == latest
        unbroken &= same | ~seen
        counts += unbroken & seen
    return counts


class Strangeness:
    """The score of an hour by fitted parameters; the larger, the less it is like what was learned from."""

    def __init__(self, fitted: Doubt) -> None:
        """Take parameters that `problem_of` accepts."""
        self._centre = np.array(fitted.centre)
        self._precision = _precisions(np.array(fitted.covariance))  # (128, 7, 7) by which signs are known
        self._diagonal = np.ascontiguousarray(self._precision[:, np.arange(N_VITAL_SIGNS), np.arange(N_VITAL_SIGNS)])
        self._tails = _Tails([fitted.tails[name] for name in TERMS])

    def of(self, measures: Measures) -> tuple[F64, NDArray[np.int8]]:
        """Return the strangeness (N) and the vital sign that makes most of it (N); NO_SIGN where the age does."""
        known = ~np.isnan(measures.medians)
        key = (known * _BITS).sum(axis=1)
        deviation = np.where(known, measures.medians.astype(np.float64) - self._centre, 0.0)
        precision = self._precision[key]
        pull = np.zeros_like(deviation)
        for sign in range(N_VITAL_SIGNS):
            pull += precision[:, :, sign] * deviation[:, sign : sign + 1]
        excess = self._tails.excess(measures.terms.astype(np.float64))
        score = np.zeros(len(key))
        for sign in range(N_VITAL_SIGNS):
            score += deviation[:, sign] * pull[:, sign]
        score *= 0.5
        for term in range(len(TERMS)):
            score += excess[:, term]
        # Without one vital sign, the squared distance of the others is smaller by pull^2 / precision.
        diagonal = self._diagonal[key]
        blame = 0.5 * np.divide(pull * pull, diagonal, out=np.zeros_like(pull), where=diagonal > 0)
        blame += excess[:, :N_VITAL_SIGNS] + excess[:, N_VITAL_SIGNS:_PAIRED_TERMS]
        blame[:, MEAN_ARTERIAL_PRESSURE] += excess[:, _AGREEMENT]
        blame[:, SYSTOLIC_BP] += excess[:, _PULSE]
        worst = np.where(excess[:, _AGE] > blame.max(axis=1), NO_SIGN, blame.argmax(axis=1))
        return score, worst.astype(np.int8)


def _precisions(covariance: F64) -> F64:
    """Return the inverse covariance of each subset of the vital signs (128, 7, 7), 0 for those outside it."""
    found = np.zeros((_MASKS, N_VITAL_SIGNS, N_VITAL_SIGNS))
    for mask in range(1, _MASKS):
        inside = np.flatnonzero(mask & _BITS)
        found[mask][np.ix_(inside, inside)] = np.linalg.inv(covariance[np.ix_(inside, inside)])
    return found


class _Tails:
    """All tails as one table: a value's piece is how many of its term's fitted values it reaches."""

    def __init__(self, tails: list[Tail]) -> None:
        most = max((len(tail.values) for tail in tails), default=0) + 1
        self._values = np.full((len(tails), most), np.inf)
        self._anchor = np.zeros((len(tails), most + 1))
        self._excess = np.zeros((len(tails), most + 1))
        self._slope = np.zeros((len(tails), most + 1))
        self._usual = np.full((2, len(tails)), [[np.inf], [-np.inf]])  # between these a value is no surprise
        for term, tail in enumerate(tails):
            values, excess = np.array(tail.values), np.array(tail.excess)
            size = len(values)
            if not size:
                continue
            self._usual[:, term] = _usual(values, excess)
            self._values[term, :size] = values
            self._anchor[term, : size + 1] = values[[0, *range(size)]]
            self._excess[term, : size + 1] = excess[[0, *range(size)]]
            if size > 1:
                slope = np.diff(excess) / np.diff(values)
                outward = [min(slope[0], 0.0), *slope, max(slope[-1], 0.0)]
                self._slope[term, : size + 1] = outward

    def excess(self, terms: F64) -> F64:
        """Return the excess surprise (N, terms) in nats; 0 where a term is not known."""
        found = np.zeros_like(terms)
        stay, term = np.nonzero((terms < self._usual[0]) | (terms > self._usual[1]))
        values = terms[stay, term]
        at = (term, (values[:, None] >= self._values[term]).sum(axis=1))
        found[stay, term] = np.maximum(self._excess[at] + self._slope[at] * (values - self._anchor[at]), 0.0)
        return found


def _usual(values: F64, excess: F64) -> tuple[float, float]:
    """Return the bounds of the widest unbroken part of a tail's values without any excess; inf, -inf for none."""
    best = (np.inf, -np.inf)
    for nothing, places in groupby(range(len(values)), key=lambda at: bool(excess[at] <= 0)):
        part = values[list(places)]
        if nothing and part[-1] - part[0] > best[1] - best[0]:
            best = (float(part[0]), float(part[-1]))
    return best


class DoubtRule:
    """The rule of a loaded artefact: what there is too little of comes first, then what is unlike."""

    def __init__(self, enough: Assessable, fitted: Doubt | None, scaling: Scaling) -> None:
        """Take a manifest's parts; without `fitted` nothing is unlike."""
        self._enough = enough
        self._scaling = scaling
        self._limit = None if fitted is None else fitted.limit
        self._strangeness = None if fitted is None else Strangeness(fitted)
        settling = (*_DEFAULT_SETTLING, MEAN_ARTERIAL_PRESSURE)
        self._settling = np.array(settling if fitted is None else [NAMES.index(name) for name in fitted.settling])

    def of(self, stays: Known) -> Doubts:
        """Return the doubts (N) about stays."""
        last_step = stays.last_step
        known = last_step > NEVER
        fresh = known & (stays.step[:, None] - last_step <= self._enough.within_hours)
        enough = fresh.sum(axis=1) >= self._enough.vital_signs
        few = known.sum(axis=1) < self._enough.vital_signs
        reason = np.where(enough, NONE, np.where(few, TOO_FEW, TOO_OLD)).astype(np.uint8)
        # Who measured a vital sign once can measure it again; who measured next to nothing is asked for the usual ones.
        wanted = np.where(few[:, None], ~fresh, known & ~fresh)
        sign = np.where(enough, NO_SIGN, self._settling[wanted[:, self._settling].argmax(axis=1)]).astype(np.int8)
        if self._strangeness is None or self._limit is None or not enough.any():
            return Doubts(reason, sign)
        score, strange = self._strangeness.of(self._measures(stays))
        unlike = enough & (score > self._limit)
        return Doubts(np.where(unlike, np.uint8(UNLIKE), reason), np.where(unlike, strange, sign))

    def strangeness(self, stays: Known) -> F64:
        """Return the score (N) that the limit is for; nothing (0) where there are no fitted parameters."""
        if self._strangeness is None:
            return np.zeros(0)
        return self._strangeness.of(self._measures(stays))[0]

    def _measures(self, stays: Known) -> Measures:
        return measure(stays, self._scaling, self._enough.within_hours)


def problem_of(fitted: Doubt) -> str | None:
    """Return why fitted parameters cannot be used, or None where they can."""
    covariance = np.array(fitted.covariance, dtype=np.float64) if _square(fitted.covariance) else np.zeros((0, 0))
    numbers = [*fitted.centre, *covariance.ravel(), *(each for tail in fitted.tails.values() for each in tail.values)]
    numbers += [each for tail in fitted.tails.values() for each in tail.excess]
    checks = (
        (not 0 < fitted.alpha < 1, "alpha is no share"),
        (fitted.limit is not None and not fitted.limit > 0, "the limit is not above 0"),
        (len(fitted.centre) != N_VITAL_SIGNS or not covariance.size, "centre or covariance are not of 7 vital signs"),
        (set(fitted.tails) != set(TERMS), "the tails are not those of this program"),
        (sorted(fitted.settling) != sorted(NAMES), "the vital signs that settle a doubt are not all seven, once each"),
        (not np.isfinite(numbers).all(), "it holds values that are not numbers"),
        (
            any(len(tail.values) != len(tail.excess) for tail in fitted.tails.values()),
            "a tail's lists differ in length",
        ),
        (any(np.any(np.diff(tail.values) <= 0) for tail in fitted.tails.values()), "a tail's values do not rise"),
        (not np.array_equal(covariance, covariance.T), "the covariance is not symmetric"),
    )
    found = next((text for applies, text in checks if applies), None)
    if found is None and np.linalg.eigvalsh(covariance)[0] <= 0:
        return "the covariance is not positive definite"
    return found


def _square(rows: tuple[tuple[float, ...], ...]) -> bool:
    return len(rows) == N_VITAL_SIGNS and all(len(row) == N_VITAL_SIGNS for row in rows)
