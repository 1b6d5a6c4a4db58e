"""What the network is shown in training: stays as a ward would see them, as sequences of feature rows.

Parts are hidden before the features are computed, by the code that computes them at the bedside, so that the network
meets in training exactly what it meets when a monitor is connected mid-stay or sends three vital signs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.features import FEATURE_NAMES, FeatureState, Scaling, clock_features
from models.healthy_stays import healthy_stays
from models.manifest import Scale
from models.timeline import Timeline
from models.training_config import TrainingConfig
from models.vital_signs import HEART_RATE, N_VITAL_SIGNS, NAMES, RESPIRATORY_RATE, TEMPERATURE, usable

__all__ = [
    "Batch",
    "HourOdds",
    "Sequences",
    "Shown",
    "batches",
    "epoch_cohort",
    "feature_sequences",
    "measure_scales",
    "scaling_of",
    "with_healthy",
]

_BLOCK = 1024
_PADDING = 1.5  # a batch's longest sequence is at most this times its shortest, and a few hours
_PADDING_HOURS = 8


@dataclass(frozen=True)
class Sequences:
    """Features of all rows of a cohort, cut where the network's state is to start anew.

    Rows before the first measurement of a stay do not move the state at run time; each is a sequence of its own here.
    """

    x: NDArray[np.float32]  # (R, F)
    starts: NDArray[np.int64]  # (Q) first row of each sequence
    lengths: NDArray[np.int64]  # (Q)
    stays: NDArray[np.int64]  # (Q) the stay each belongs to


@dataclass(frozen=True)
class Shown:
    """The stays of one epoch as they are shown."""

    cohort: Cohort
    stay_weights: NDArray[np.float32]  # (S)
    rows: NDArray[np.int64]  # (R) the row of the training cohort that each row is; -1: of a made-up stay


@dataclass(frozen=True)
class Batch:
    """Sequences of about the same length side by side: rows[b, t] is a row of the cohort, or -1 behind the end."""

    rows: NDArray[np.int64]  # (B, T)


class HourOdds:
    """How many positive and negative rows the training stays have in each hour, smoothed."""

    def __init__(self, cohort: Cohort, config: TrainingConfig) -> None:
        """Count over a cohort with labels."""
        labels = _labels(cohort)
        hour = np.minimum(cohort.steps, config.hour_pooling)
        self._pooling = config.hour_pooling
        size = config.hour_pooling + 1
        positives = np.bincount(hour[labels == 1], minlength=size).astype(np.float64)
        negatives = np.bincount(hour[labels == 0], minlength=size).astype(np.float64)
        pooled_hours = max(int(cohort.steps.max()) - config.hour_pooling + 1, 1)
        positives[-1] /= pooled_hours
        negatives[-1] /= pooled_hours
        positives[:-1] = _smooth(positives[:-1], config.hour_smoothing)
        negatives[:-1] = _smooth(negatives[:-1], config.hour_smoothing)
        self._log_odds = np.log((positives + 0.5) / (negatives + 0.5)).astype(np.float32)
        self._weights = (negatives / negatives.max()).astype(np.float32)

    @property
    def log_odds(self) -> tuple[float, ...]:
        """log(P_h / N_h) by hour; the last one is that of all later hours."""
        return tuple(round(value, 6) for value in self._log_odds.tolist())

    def of(self, steps: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return log(P_h / N_h) and N_h over its largest, for each row's hour (R each)."""
        hour = np.minimum(steps, self._pooling)
        return self._log_odds[hour], self._weights[hour]


def _smooth(counts: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    padded = np.pad(counts, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _labels(cohort: Cohort) -> NDArray[np.uint8]:
    _ = cohort.septic  # raises where the cohort has no labels
    return np.zeros(0, dtype=np.uint8) if cohort.labels is None else cohort.labels


def measure_scales(cohort: Cohort) -> dict[str, Scale]:
    """Return mean and deviation of the usable values of each vital sign."""
    values = usable(cohort.values).astype(np.float64)
    return {
        name: Scale(
            mean=round(float(np.nanmean(values[:, sign])), 4), deviation=round(float(np.nanstd(values[:, sign])), 4)
        )
        for sign, name in enumerate(NAMES)
    }


def scaling_of(scales: dict[str, Scale]) -> Scaling:
    """Return the scales as arrays (7)."""
    return Scaling(
        mean=np.array([scales[name].mean for name in NAMES], dtype=np.float32),
        deviation=np.array([scales[name].deviation for name in NAMES], dtype=np.float32),
    )


def epoch_cohort(cohort: Cohort, config: TrainingConfig, rng: np.random.Generator) -> Shown:
    """Return the stays of one epoch, partly hidden as the configuration says."""
    septic = cohort.septic
    shown = septic | (rng.random(cohort.n_stays) < config.negative_share)
    weights = np.where(septic, 1.0, 1.0 / config.negative_share).astype(np.float32)[shown]
    chosen, kept = _random_starts(cohort.select(shown), config, rng)
    values = np.where(np.repeat(_channels(chosen.n_stays, config, rng), chosen.lengths, axis=0), chosen.values, np.nan)
    n, nan = chosen.n_stays, np.float32(np.nan)
    hide_admission = rng.random(n) < config.hide_admission_share
    hidden = replace(
        chosen,
        values=values.astype(np.float32),
        hospital_hours=np.where(hide_admission, nan, chosen.hospital_hours),
        unit_type=np.where(hide_admission, np.int8(0), chosen.unit_type),
        age_years=np.where(rng.random(n) < config.hide_age_share, nan, chosen.age_years),
        sex=np.where(rng.random(n) < config.hide_sex_share, nan, chosen.sex),
    )
    return Shown(hidden, weights, np.flatnonzero(np.repeat(shown, cohort.lengths))[kept])


def with_healthy(shown: Shown, config: TrainingConfig, rng: np.random.Generator) -> Shown:
    """Return the stays of an epoch with made-up healthy ones behind them, as many as the configuration says."""
    count = round(config.healthy_share * shown.cohort.n_stays)
    healthy, weights = healthy_stays(count, rng, shown.cohort)
    return Shown(
        cohort=shown.cohort.followed_by(healthy),
        stay_weights=np.concatenate([shown.stay_weights, np.float32(config.healthy_weight) * weights]),
        rows=np.concatenate([shown.rows, np.full(healthy.n_rows, -1, dtype=np.int64)]),
    )


def _random_starts(
    cohort: Cohort, config: TrainingConfig, rng: np.random.Generator
) -> tuple[Cohort, NDArray[np.bool_]]:
    """Return the cohort in which part of the stays has lost its first hours, and which rows are left.

    Steps keep the true hour of the stay.
    """
    most = np.maximum(cohort.lengths - config.random_start_hours_left, 0)
    cut = np.where(rng.random(cohort.n_stays) < config.random_start_share, rng.integers(0, most + 1), 0)
    row_in_stay = np.arange(cohort.n_rows) - np.repeat(cohort.offsets[:-1], cohort.lengths)
    keep = row_in_stay >= np.repeat(cut, cohort.lengths)
    return cohort.with_rows(keep), keep


def _channels(n: int, config: TrainingConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which vital signs each stay shows (n, 7)."""
    always = np.zeros(N_VITAL_SIGNS, dtype=np.bool_)
    always[[HEART_RATE, RESPIRATORY_RATE, TEMPERATURE]] = True
    three = (rng.random(n) < config.three_sign_share)[:, None]
    kept = rng.random((n, N_VITAL_SIGNS)) >= config.channel_dropout
    return np.where(three, always, kept)


def feature_sequences(
    cohort: Cohort, scaling: Scaling, *, vitals: frozenset[str] | None = None, clock: bool = False
) -> Sequences:
    """Return the features of every row, from the state that the bedside code keeps; with `clock`, the hour beside.

    An hour without a row inside a stay moves the features on but gives no row, here only: such hours are rare.
    """
    x = np.zeros((cohort.n_rows, len(FEATURE_NAMES)), dtype=np.float32)
    started = np.zeros(cohort.n_rows, dtype=np.bool_)
    for hours in Timeline(cohort, vitals=vitals).blocks(_BLOCK):
        state = FeatureState.initial(_BLOCK)
        for hour in hours:
            state = state.first(len(hour.rows))
            features = state.advance(hour.inputs, scaling)
            recorded = hour.rows >= 0
            x[hour.rows[recorded]] = features[recorded]
            started[hour.rows[recorded]] = state.started[recorded]
    first = np.zeros(cohort.n_rows, dtype=np.bool_)
    first[cohort.offsets[:-1]] = True
    before = ~started
    # A sequence starts with the stay, with every row before the first measurement, and right after those.
    starts = np.flatnonzero(first | before | np.concatenate(([False], before[:-1])))
    return Sequences(
        x=np.concatenate([x, clock_features(cohort.steps)], axis=1) if clock else x,
        starts=starts,
        lengths=np.diff(np.append(starts, cohort.n_rows)),
        stays=cohort.stay_of_row[starts],
    )


def batches(sequences: Sequences, chosen: NDArray[np.int64], most_rows: int = 8192) -> Iterator[Batch]:
    """Yield the chosen sequences (indices) as batches of similar length, so that little is computed on padding."""
    ordered = chosen[np.argsort(sequences.lengths[chosen], kind="stable")]
    lengths = sequences.lengths[ordered]
    start = 0
    while start < len(ordered):
        longest = int(lengths[start] * _PADDING) + _PADDING_HOURS
        end = int(np.searchsorted(lengths, longest, side="right"))
        end = min(end, start + max(most_rows // longest, 1))
        part = ordered[start:end]
        hours = np.arange(int(lengths[end - 1]))
        inside = hours < sequences.lengths[part][:, None]
        yield Batch(np.where(inside, sequences.starts[part][:, None] + hours, -1))
        start = end
