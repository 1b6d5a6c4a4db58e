"""Counting alert episodes without a loop, against the plain state machine."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.episodes import choose_raise_threshold, episode_starts, episodes_per_day


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_starts_are_those_of_the_state_machine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 20, 5)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    risks, decides = np.round(rng.random(offsets[-1]), 1), rng.random(offsets[-1]) < 0.8
    expected = np.zeros(len(risks), dtype=np.bool_)
    for start, end in itertools.pairwise(offsets.tolist()):
        is_open = False
        for row in range(start, end):
            if decides[row] and not is_open and risks[row] >= 0.6:
                is_open = expected[row] = True
            elif decides[row] and is_open and risks[row] < 0.4:
                is_open = False
    found = episode_starts(risks, decides, offsets, raise_threshold=0.6, resolve_threshold=0.4)
    assert np.array_equal(found, expected)


def test_the_chosen_threshold_gives_the_burden_asked_for() -> None:
    rng = np.random.default_rng(0)
    offsets = np.arange(0, 40_001, 40)
    risks = np.clip(rng.normal(0.05, 0.02, 40_000), 0, 1)
    decides = np.ones(40_000, dtype=np.bool_)
    threshold = choose_raise_threshold(risks, decides, offsets, episodes_a_day=0.5, resolve_ratio=0.8)
    burden = episodes_per_day(risks, decides, offsets, raise_threshold=threshold, resolve_threshold=threshold * 0.8)
    assert abs(burden - 0.5) < 0.02
