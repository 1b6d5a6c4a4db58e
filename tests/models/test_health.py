"""Health and cold starts: the made-up patient is healthy, and both checks see what they are there to see."""

from __future__ import annotations

import numpy as np
import pytest

from models.artifact import untrained_model
from models.baselines import last_known
from models.early_warning import news2_partial
from models.health import cold_start, healthy_cohort, judge_health
from models.metrics import auroc
from models.scoring import score_cohort
from models.vital_signs import usable
from tests.models.stays import made_up_cohort


def test_the_healthy_are_healthy() -> None:
    cohort = healthy_cohort()
    assert cohort.lengths.tolist() == [14 * 24] * cohort.n_stays
    assert set(cohort.steps[cohort.offsets[:-1]].tolist()) >= {0, 1, 24, 168}
    assert np.array_equal(usable(cohort.values), cohort.values, equal_nan=True)
    assert news2_partial(last_known(cohort)).max() <= 4
    assert news2_partial(last_known(cohort)).mean() < 0.5


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
