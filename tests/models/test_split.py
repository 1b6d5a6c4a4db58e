"""The split: every stay in one part, in equal shares of each stratum, whatever the order of the file."""

from __future__ import annotations

import numpy as np
import pytest

from models.cohort import Cohort, CohortError
from models.split import split
from tests.models.stays import made_up_cohort


def names(cohort: Cohort, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> set[str]:
    return set(cohort.select(keep).patient_ids)


def test_every_stay_is_in_exactly_one_part() -> None:
    cohort = made_up_cohort(0, stays=600, longest=4)
    parts = split(cohort).parts()
    assert np.array_equal(sum(part.astype(int) for part in parts.values()), np.ones(600))
    assert list(parts) == ["train", "validation", "calibration", "test"]


def test_each_stratum_has_its_share_in_each_part() -> None:
    cohort = made_up_cohort(0, stays=1200, longest=4)
    hospital = np.array(cohort.hospitals)
    for letter in "AB":
        for septic in (True, False):
            stratum = (hospital == letter) & (cohort.septic == septic)
            shares = [part[stratum].mean() for part in split(cohort).parts().values()]
            assert np.allclose(shares, [0.80, 0.08, 0.04, 0.08], atol=0.006)


def test_within_a_hospital_the_parts_are_the_same_and_all_others_are_elsewhere() -> None:
    cohort = made_up_cohort(0, stays=600, longest=4)
    parts, here = split(cohort), np.array(cohort.hospitals) == "A"
    within = parts.within(cohort, "A")
    assert np.array_equal(within.elsewhere, ~here)
    assert np.array_equal(within.unseen, ~here | parts.test)
    for name, part in parts.parts().items():
        assert np.array_equal(within.parts()[name], part & here)
    assert within.digest not in (parts.digest, parts.within(cohort, "B").digest)
    for nobody in ("C", ""):
        with pytest.raises(CohortError, match="A, B"):
            parts.within(cohort, nobody)
    with pytest.raises(CohortError, match="others"):
        parts.within(cohort.select(here), "A")


def test_a_refit_learns_from_the_test_stays_but_those_that_are_shown() -> None:
    cohort = made_up_cohort(0, stays=600, longest=4)
    parts = split(cohort)
    shown = frozenset(sorted(names(cohort, parts.test))[:5])
    refit = parts.refit(cohort, shown)
    assert names(cohort, refit.test) == shown
    assert names(cohort, refit.train) == (names(cohort, parts.train) | names(cohort, parts.test)) - shown
    assert np.array_equal(refit.calibration, parts.calibration)
    assert np.array_equal(refit.validation, parts.validation)
    assert refit.digest != parts.digest
    with pytest.raises(CohortError, match="1 of 1 stays"):
        parts.refit(cohort, frozenset(sorted(names(cohort, parts.train))[:1]))


def test_the_order_of_the_file_does_not_matter() -> None:
    cohort = made_up_cohort(1, stays=200, longest=4)
    one = split(cohort)
    reverse = cohort.take(np.arange(cohort.n_stays)[::-1])
    other = split(reverse)
    assert other.digest == one.digest
    assert names(reverse, other.test) == names(cohort, one.test)


def test_another_seed_is_another_split() -> None:
    cohort = made_up_cohort(1, stays=200, longest=4)
    assert split(cohort, 1).digest != split(cohort, 2).digest
    assert split(cohort, 1).digest == split(cohort, 1).digest
