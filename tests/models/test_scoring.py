"""Scoring files: the same risk as step by step, causal, whatever the order, and only from what is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.artifact import load_model, untrained_model
from models.scoring import score_cohort
from models.stay_model import StayModel, StepInput
from models.vital_signs import N_VITAL_SIGNS, NAMES, SYSTOLIC_BP, usable
from tests.models.stays import made_up_cohort


@pytest.fixture(params=["untrained", "bedside"])
def model(request: pytest.FixtureRequest) -> StayModel:
    return untrained_model(seed=2) if request.param == "untrained" else load_model("bedside")


def test_scores_are_those_of_the_stream_step_by_step(model: StayModel) -> None:
    cohort = made_up_cohort(1, stays=6)
    scored = score_cohort(model, cohort)
    values = usable(cohort.values)
    for stay in range(cohort.n_stays):
        state = model.initial(1)
        for row in range(cohort.offsets[stay], cohort.offsets[stay + 1]):
            here = slice(stay, stay + 1)
            inputs = StepInput(
                step=cohort.steps[row : row + 1],
                values=values[row : row + 1],
                late_values=np.full((1, N_VITAL_SIGNS), np.nan, dtype=np.float32),
                late_steps=np.zeros((1, N_VITAL_SIGNS), dtype=np.int32),
                age_years=cohort.age_years[here],
                sex=cohort.sex[here],
                hospital_hours=cohort.hospital_hours[here],
                unit_type=cohort.unit_type[here],
            )
            state, logit = model.advance(state, inputs)
            assert scored.logit[row] == logit[0]
            assert scored.risk[row] == model.risk(logit)[0]
            assert scored.assessable[row] == model.assessable(state, inputs.step, inputs.age_years)[0]
            assert scored.observed[row] == bool((~np.isnan(values[row])).any())


def test_the_future_of_a_stay_cannot_change_its_past(model: StayModel) -> None:
    cohort = made_up_cohort(2, stays=10, longest=40)
    scored = score_cohort(model, cohort)
    row_in_stay = np.arange(cohort.n_rows) - np.repeat(cohort.offsets[:-1], cohort.lengths)
    for cut in (0, 3, 11, 25):
        later = row_in_stay > cut
        changed = replace(cohort, values=np.where(later[:, None], np.float32(39.0), cohort.values))
        assert np.array_equal(score_cohort(model, changed).logit[~later], scored.logit[~later])
        shorter = cohort.with_rows(~later)
        assert np.array_equal(score_cohort(model, shorter).logit, scored.logit[~later])


def test_the_order_of_stays_does_not_matter(model: StayModel) -> None:
    cohort = made_up_cohort(3, stays=30)
    scored = score_cohort(model, cohort)
    order = np.random.default_rng(0).permutation(30).tolist()
    shuffled = score_cohort(model, cohort.take(np.array(order)))
    rows = np.concatenate([np.arange(cohort.offsets[stay], cohort.offsets[stay + 1]) for stay in order])
    assert np.array_equal(shuffled.logit, scored.logit[rows])


def test_an_hour_without_a_row_is_an_empty_hour(model: StayModel) -> None:
    cohort = made_up_cohort(4, stays=1, longest=60)
    while cohort.n_rows < 20:
        cohort = made_up_cohort(cohort.n_rows + 5, stays=1, longest=60)
    gap = np.arange(cohort.n_rows) % 5 == 3
    emptied = replace(cohort, values=np.where(gap[:, None], np.float32(np.nan), cohort.values))
    without = cohort.with_rows(~gap)
    assert np.array_equal(score_cohort(model, emptied).logit[~gap], score_cohort(model, without).logit)


def test_implausible_and_contradictory_values_are_as_good_as_missing(model: StayModel) -> None:
    cohort = made_up_cohort(5, stays=10)
    artefacts = cohort.values.copy()
    artefacts[::3, NAMES.index("heart_rate")] = 999
    artefacts[1::3, SYSTOLIC_BP] = 40
    artefacts[1::3, SYSTOLIC_BP + 1] = 90
    missing = cohort.values.copy()
    missing[::3, NAMES.index("heart_rate")] = np.nan
    missing[1::3, SYSTOLIC_BP : SYSTOLIC_BP + 2] = np.nan
    # A mean pressure is judged by the two others while they stand; without them it stands itself, in both.
    for values in (artefacts, missing):
        values[1::3, NAMES.index("mean_arterial_pressure")] = np.nan
    scored = score_cohort(model, replace(cohort, values=artefacts))
    assert np.array_equal(scored.logit, score_cohort(model, replace(cohort, values=missing)).logit)


def test_what_is_hidden_is_as_good_as_missing(model: StayModel) -> None:
    cohort = made_up_cohort(6, stays=10)
    three = frozenset({"heart_rate", "temperature", "respiratory_rate"})
    hidden = score_cohort(model, cohort, vitals=three, hide=frozenset({"age", "sex", "unit_type", "hospital_admitted"}))
    values = cohort.values.copy()
    values[:, 3:] = np.nan
    unknown = np.full(cohort.n_stays, np.nan, dtype=np.float32)
    removed = replace(
        cohort,
        values=values,
        age_years=unknown,
        sex=unknown,
        hospital_hours=unknown,
        unit_type=np.zeros(cohort.n_stays, dtype=np.int8),
    )
    assert np.array_equal(hidden.logit, score_cohort(model, removed).logit)
    assert not np.array_equal(hidden.logit, score_cohort(model, cohort).logit)


def test_progress_adds_up_to_all_rows() -> None:
    cohort = made_up_cohort(7)
    counted: list[int] = []
    score_cohort(untrained_model(), cohort, counted.append)
    assert sum(counted) == cohort.n_rows
