"""Health and cold starts: the made-up patient is healthy, and both checks see what they are there to see."""

from __future__ import annotations

import numpy as np
import pytest

from models.artifact import untrained_model
from models.baselines import last_known
from models.early_warning import news2_partial, news2_points
from models.health import cold_start, healthy_cohort, judge_health, other_levels_cohort
from models.metrics import auroc
from models.scoring import score_cohort
from models.vital_signs import HEART_RATE, N_VITAL_SIGNS, TEMPERATURE, usable
from tests.models.stays import made_up_cohort


def test_the_healthy_are_healthy() -> None:
    cohort = healthy_cohort()
    assert cohort.lengths.tolist() == [14 * 24] * cohort.n_stays
    assert set(cohort.steps[cohort.offsets[:-1]].tolist()) >= {0, 1, 24, 168}
    assert np.array_equal(usable(cohort.values), cohort.values, equal_nan=True)
    assert news2_partial(last_known(cohort)).max() <= 4
    assert news2_partial(last_known(cohort)).mean() < 0.5


@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_the_healthy_of_other_levels_have_no_point_of_news2_and_lack_what_was_asked_for(missing: float) -> None:
    cohort = other_levels_cohort(missing)
    assert np.array_equal(usable(cohort.values), cohort.values, equal_nan=True)
    assert news2_points(cohort.values).max() == 0
    assert np.nanmax(cohort.values[:, TEMPERATURE]) <= 37.5
    assert np.isnan(cohort.values).mean() == pytest.approx(missing, abs=0.01)


def test_people_of_other_levels_differ_and_their_values_move_slowly() -> None:
    cohort = other_levels_cohort(0.0)
    beats = cohort.values.reshape(cohort.n_stays, -1, N_VITAL_SIGNS)[..., HEART_RATE]
    levels = beats.mean(axis=1)
    assert levels.min() < 58
    assert levels.max() > 84
    departures = beats - levels[:, None]
    kept = (departures[:, 1:] * departures[:, :-1]).mean() / (departures**2).mean()
    assert 0.4 < kept < 0.7


def test_a_model_that_counts_is_caught() -> None:
    cohort = healthy_cohort()
    row = np.arange(cohort.n_rows) - np.repeat(cohort.offsets[:-1], cohort.lengths)
    found = judge_health(0.001 + 1e-4 * row.astype(np.float64), cohort)
    assert found.odds_ratio > 10
    assert found.largest_risk == pytest.approx(0.001 + 1e-4 * 335)
    flat = judge_health(np.full(cohort.n_rows, 0.002), cohort)
    assert (flat.odds_ratio, flat.largest_odds_ratio) == pytest.approx((1, 1))


def test_a_cold_start_is_scored_from_nothing_on_the_same_rows() -> None:
    model, cohort = untrained_model(3), made_up_cohort(7, stays=150, longest=70, signal=20)
    scored = score_cohort(model, cohort)
    found = cold_start(model, cohort, scored, vitals=None, hide=frozenset(), seed=2, rounds=20)
    assert found["loss"].value == pytest.approx(found["state_kept"].value - found["state_emptied"].value)
    assert found["state_emptied"].value != found["state_kept"].value
    assert found["loss"].low is not None
    whole = auroc(scored.risk, cohort.known_labels, groups=cohort.steps)
    assert found["state_kept"].value == pytest.approx(whole, abs=0.2)
