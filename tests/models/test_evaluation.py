"""The evaluation against the plain metrics, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from models.cohort import Cohort
from models.evaluation import FIRST_HOURS, evaluate, hours_only, judge
from models.metrics import auprc, auroc, normalised_utility
from models.onset import onset_steps
from models.resampling import Resamples
from tests.models.plain import bootstrap_interval
from tests.models.stays import made_up_cohort


def risks_of(cohort: Cohort) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rng = np.random.default_rng(2)
    return np.round(np.clip(0.1 * rng.random(cohort.n_rows) + 0.03 * cohort.known_labels, 0, 1), 3)


def test_every_figure_is_the_plain_one() -> None:
    cohort = made_up_cohort(4, stays=60, longest=80)
    risks, labels, early = risks_of(cohort), cohort.known_labels, cohort.steps < FIRST_HOURS
    found = evaluate(risks, cohort, threshold=0.08, seed=1, rounds=30)
    plain = {
        "auroc": auroc(risks, labels),
        "auroc_time_adjusted": auroc(risks, labels, groups=cohort.steps),
        "auroc_first_48h": auroc(risks[early], labels[early]),
        "auroc_time_adjusted_first_48h": auroc(risks[early], labels[early], groups=cohort.steps[early]),
        "auprc": auprc(risks, labels),
        "auprc_first_48h": auprc(risks[early], labels[early]),
        "utility": normalised_utility(labels, cohort.offsets, risks >= 0.08),
    }
    assert {name: found[name]["value"] for name in plain} == pytest.approx(plain, abs=5e-5)
    interval = bootstrap_interval(
        lambda weights: normalised_utility(labels, cohort.offsets, risks >= 0.08, weights=weights),
        *(cohort.lengths,),
        seed=1,
        rounds=30,
    )
    assert (found["utility"]["low"], found["utility"]["high"]) == pytest.approx(interval, abs=5e-5)


def test_the_utility_is_not_rounded_where_programs_read_it() -> None:
    cohort = made_up_cohort(4, stays=60, longest=80)
    risks, resamples = risks_of(cohort), Resamples.draw(60, 0, 0)
    found = judge(risks, cohort, flags=risks >= 0.08, probabilities=None, resamples=resamples)
    expected = normalised_utility(cohort.known_labels, cohort.offsets, risks >= 0.08)
    assert found["utility"].value == pytest.approx(expected, abs=1e-12)
    assert "brier" not in found


def test_stays_are_ranked_by_what_was_said_up_to_onset() -> None:
    cohort = made_up_cohort(5, stays=30)
    risks, onset = risks_of(cohort), onset_steps(cohort)
    highest = [
        risks[a:b][cohort.steps[a:b] <= onset[i]].max() for i, (a, b) in enumerate(itertools.pairwise(cohort.offsets))
    ]
    found = judge(risks, cohort, flags=None, probabilities=None, resamples=Resamples.draw(30, 0, 0))
    assert found["auroc_per_stay"].value == pytest.approx(auroc(np.array(highest), cohort.septic.astype(int)))


def test_the_hour_alone_knows_nothing_within_the_hour() -> None:
    cohort = made_up_cohort(6)
    found = evaluate(hours_only(cohort), cohort, threshold=1, seed=0, rounds=0)
    assert found["auroc_time_adjusted"] == {"value": 0.5}
