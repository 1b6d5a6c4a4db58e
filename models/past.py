"""What the state of a stay was some hours ago, so that the hours since can be told again.

A risk that rests on the last hours is explained by replaying them (see `attribution.py`), which needs the state before
them. It is kept beside the state and moves on by an hour whenever that does, over the hour that leaves the span. What
decides nothing may be rounded: numbers are of 16 bits; the mean of the stay is told back from the one of now.

A late measurement is part of the hours as the window holds them; where it came after its hour had left the span, the
past never hears of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features import NEVER, FeatureState, Scaling, of_hundredths
from models.step_input import StepInput
from models.vital_signs import N_VITAL_SIGNS

__all__ = ["before", "hours_since", "initial", "past_dtype", "write"]

F32 = NDArray[np.float32]

_HUNDREDTHS = np.float32(100)
_ROUNDED = ("change", "ewm_weight", "ewm_mean", "ewm_variance", "rate", "rate_weight", "shock_weight", "shock_mean")


def past_dtype(hidden: int) -> np.dtype[Any]:
    """Return the layout of the past of a network of `hidden` units."""
    signs = (N_VITAL_SIGNS,)
    return np.dtype(
        [
            ("h", "<f2", (hidden,)),
            ("c", "<f2", (hidden,)),
            ("started", "|b1"),
            ("last_value", "<i2", signs),  # hundredths of the unit, meaningless where never measured
            ("last_step", "<i4", signs),
            ("change", "<f2", signs),
            ("ewm_weight", "<f2", (2, N_VITAL_SIGNS)),
            ("ewm_mean", "<f2", (2, N_VITAL_SIGNS)),
            ("ewm_variance", "<f2", (2, N_VITAL_SIGNS)),
            ("rate", "<f2", signs),
            ("rate_weight", "<f2"),
            ("shock_weight", "<f2"),
            ("shock_mean", "<f2"),
        ]
    )


def initial(n: int, hidden: int) -> NDArray[np.void]:
    """Return the past (n) of stays of which nothing was known."""
    past = np.zeros(n, dtype=past_dtype(hidden))
    past["last_step"] = NEVER
    return past


def write(past: NDArray[np.void], features: FeatureState, h: F32, c: F32) -> None:
    """Put features and network state, h and c (N, H), into the past, rounded."""
    past["h"], past["c"] = h, c
    past["started"] = features.started
    past["last_step"] = features.last_step
    known = features.last_step > NEVER
    past["last_value"] = np.rint(np.where(known, features.last_value, np.float32(0)) * _HUNDREDTHS)
    for name in _ROUNDED:
        past[name] = getattr(features, name)


def before(past: NDArray[np.void], features: FeatureState, hours: int, scaling: Scaling) -> FeatureState:
    """Return the features' state as it was `hours` before that of now: the past, and what is told back from now."""
    state = FeatureState.initial(len(past))
    state.started = np.array(past["started"])
    state.last_step = np.array(past["last_step"], order="C")
    known = state.last_step > NEVER
    values = past["last_value"].astype(np.float32) / _HUNDREDTHS
    state.last_value = np.where(known, values, np.float32(np.nan))
    for name in _ROUNDED:
        setattr(state, name, past[name].astype(np.float32))
    state.window[:, :-hours] = features.window[:, hours:]
    since = of_hundredths(features.window[:, :hours])  # (N, hours, 7)
    seen = ~np.isnan(since)
    z = np.where(seen, scaling.z(since), np.float32(0)).astype(np.float64)
    count = np.maximum(features.count - seen.sum(axis=1), 0).astype(np.float32)
    # z is on a grid: its sum is exact. What is left of the sum of the stay is that of the hours before.
    total = features.mean.astype(np.float64) * features.count - z.sum(axis=1)
    state.count = count
    state.mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0).astype(np.float32)
    return state


def hours_since(features: FeatureState, inputs: StepInput, first: int, last: int) -> list[StepInput]:
    """Return the closed hours from `first` hours ago to `last` as steps, oldest first; 0 is the step of `inputs`.

    They are what the window of `features`, closed up to and with that step, holds of them.
    """
    nothing = np.full_like(inputs.values, np.nan)
    return [
        replace(
            inputs,
            step=(inputs.step - np.int32(ago)).astype(np.int32),
            values=of_hundredths(features.window[:, ago]),
            late_values=nothing,
            late_steps=np.zeros_like(inputs.late_steps),
        )
        for ago in range(first, last - 1, -1)
    ]
