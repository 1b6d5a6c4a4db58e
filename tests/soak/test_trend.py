"""The soak's own verdict: what grows is found, what settles or wavers is not condemned."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.e2e.ward import real_stays
from tests.soak.stubs import stubs_line
from tests.soak.trend import trend
from tests.soak.week import week

_HOURS = list(range(0, 168, 2))
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def test_what_settles_and_then_wavers_is_flat() -> None:
    noise = np.random.default_rng(1).normal(0, 1, len(_HOURS))
    figures = [100 + value - 50 * np.exp(-hour / 10) for hour, value in zip(_HOURS, noise, strict=True)]
    assert trend("memory", _HOURS, figures, 0.1).flat


@pytest.mark.parametrize(("weekly", "flat"), [(0.05, True), (0.2, False), (2.0, False)])
def test_steady_growth_is_measured(weekly: float, flat: bool) -> None:
    figures = [100 * (1 + weekly * hour / 168) for hour in _HOURS]
    found = trend("table", _HOURS, figures, 0.1)
    assert found.flat == flat
    assert found.weekly_growth == pytest.approx(weekly, rel=0.6)


def test_what_is_not_judged_never_fails() -> None:
    assert trend("changelog", _HOURS, [float(hour) for hour in _HOURS], None).flat


def test_the_table_is_told_with_stubs_and_without() -> None:
    assert stubs_line(10_000, 8_000_000.0).startswith(
        "the table at the end: 8.0 MB, of that 1.8 MB in 10,000 stubs of 184 bytes, 6.2 MB without them"
    )


def test_a_week_keeps_its_beds_full_and_ends_stays_under_new_ids() -> None:
    hours = list(week(real_stays(100, 1), 50, 72, _BEGIN, seed=3))
    begun, ended = sum(hour.begun for hour in hours), sum(hour.ended for hour in hours)
    assert begun - ended == 50
    assert ended > 20
    patients = {key for hour in hours for key, _ in hour.observations}
    assert len(patients) <= begun
    assert all(len(hour.observations) <= 50 for hour in hours)
