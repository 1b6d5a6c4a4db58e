"""The healthy that are learned from: healthy, of many kinds, and not those of the check."""

from __future__ import annotations

import numpy as np

from models.baselines import last_known
from models.cohort import Cohort
from models.early_warning import news2_partial
from models.health import healthy_cohort
from models.healthy_stays import healthy_stays
from models.vital_signs import usable
from tests.models.stays import made_up_cohort

REAL = made_up_cohort(0, stays=60)


def made_up(count: int, seed: int = 0) -> Cohort:
    return healthy_stays(count, np.random.default_rng(seed), REAL)[0]


def test_they_are_healthy() -> None:
    cohort = made_up(400)
    assert np.array_equal(usable(cohort.values), cohort.values, equal_nan=True)
    assert news2_partial(last_known(cohort)).max() <= 5
    assert news2_partial(last_known(cohort)).mean() < 0.6
    assert not cohort.known_labels.any()


def test_they_are_of_many_kinds() -> None:
    cohort = made_up(400)
    joined = cohort.steps[cohort.offsets[:-1]]
    assert (joined == 0).mean() > 0.4
    assert joined.max() > 200
    assert cohort.lengths.min() <= 2
    assert cohort.lengths.max() > 200
    assert (np.diff(cohort.steps)[np.diff(cohort.stay_of_row) == 0] == 1).all()
    seen = np.add.reduceat(~np.isnan(cohort.values), cohort.offsets[:-1]) > 0
    assert (seen[:, :3].all(axis=1) & ~seen[:, 3:].any(axis=1)).any()
    assert seen.all(axis=1).mean() > 0.5
    assert set(cohort.unit_type.tolist()) == {0, 1, 2}
    assert 0 < np.isnan(cohort.age_years).mean() < 0.5


def test_each_draw_is_another_and_none_is_the_checks() -> None:
    one, two, again = (made_up(200, seed) for seed in (0, 1, 0))
    assert np.array_equal(one.values, again.values, equal_nan=True)
    assert one.n_rows != two.n_rows
    check = healthy_cohort()
    of_stay = one.stay_of_row[~np.isnan(one.values[:, 0])]
    rates = one.values[~np.isnan(one.values[:, 0]), 0]
    level = np.bincount(of_stay, rates)[np.unique(of_stay)] / np.bincount(of_stay)[np.unique(of_stay)]
    checked = check.values[:, 0].reshape(check.n_stays, -1).mean(axis=1)
    assert level.std() > 10 * checked.std()
