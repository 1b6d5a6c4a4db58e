"""Baselines: scores of last known values, and thresholds that never come from the stays they are used on."""

from __future__ import annotations

import numpy as np
import pytest

from models.baselines import cross_fitted, last_known, rule_scores
from models.early_warning import news2_partial
from models.metrics import best_utility_threshold
from models.vital_signs import N_VITAL_SIGNS, usable
from tests.models.stays import made_up_cohort


def test_last_known_values_never_cross_stays_or_look_ahead() -> None:
    cohort = made_up_cohort(1, stays=12)
    values, found = usable(cohort.values), last_known(cohort)
    for start, end in zip(cohort.offsets[:-1], cohort.offsets[1:], strict=True):
        known = np.full(N_VITAL_SIGNS, np.nan, dtype=np.float32)
        for row in range(start, end):
            known = np.where(np.isnan(values[row]), known, values[row])
            assert np.array_equal(found[row], known, equal_nan=True)


def test_points_are_those_of_the_vital_signs_in_view() -> None:
    cohort = made_up_cohort(2)
    whole, some = rule_scores(cohort), rule_scores(cohort, frozenset({"heart_rate"}))
    assert np.array_equal(whole["news2_partial"], news2_partial(last_known(cohort)))
    assert (some["news2_partial"] <= whole["news2_partial"]).all()
    assert some["qsofa_partial"].max() == 0
    assert np.array_equal(whole["hours_only"], some["hours_only"])


def test_a_fold_gets_what_the_other_folds_give() -> None:
    cohort = made_up_cohort(3, stays=50)
    scores = np.round(np.random.default_rng(0).random(cohort.n_rows) + np.where(cohort.known_labels, 0.5, 0.0), 1)
    found = cross_fitted(scores, cohort, seed=4)
    fold = np.random.default_rng(4).permutation(50) % 5
    for each in range(5):
        others, mine = cohort.select(fold != each), np.repeat(fold == each, cohort.lengths)
        cut = best_utility_threshold(scores[~mine], others.known_labels, others.offsets)
        assert np.array_equal(found.flags[mine], scores[mine] >= cut)
    assert found.probabilities.mean() == pytest.approx(cohort.known_labels.mean(), abs=0.05)
    assert np.corrcoef(found.probabilities, scores)[0, 1] > 0.7
