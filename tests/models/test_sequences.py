"""What training is shown: hidden as configured, cut where the state starts anew, weighed by the hour."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models.features import FEATURE_NAMES
from models.sequences import (
    HourOdds,
    batches,
    epoch_cohort,
    feature_sequences,
    measure_scales,
    scaling_of,
    with_healthy,
)
from models.training_config import TrainingConfig, load_training_config
from models.vital_signs import NAMES
from tests.models.stays import made_up_cohort

CONFIG = load_training_config()
NOTHING_HIDDEN = msgspec.structs.replace(
    CONFIG,
    negative_share=1.0,
    random_start_share=0.0,
    three_sign_share=0.0,
    channel_dropout=0.0,
    hide_admission_share=0.0,
    hide_age_share=0.0,
    hide_sex_share=0.0,
)


def shown(config: TrainingConfig, seed: int = 0) -> tuple[int, int, float]:
    """Return stays, rows and the share of values missing that one epoch shows."""
    cohort = epoch_cohort(made_up_cohort(0, stays=600, longest=30), config, np.random.default_rng(seed)).cohort
    return cohort.n_stays, cohort.n_rows, float(np.isnan(cohort.values).mean())


def test_an_epoch_without_hiding_is_the_cohort() -> None:
    cohort = made_up_cohort(0, stays=50)
    shown_stays = epoch_cohort(cohort, NOTHING_HIDDEN, np.random.default_rng(0))
    same, weights = shown_stays.cohort, shown_stays.stay_weights
    assert same.patient_ids == cohort.patient_ids
    assert np.array_equal(same.values, cohort.values, equal_nan=True)
    assert np.array_equal(same.hospital_hours, cohort.hospital_hours)
    assert (weights == 1).all()


def test_all_septic_stays_and_a_share_of_the_others_are_shown_and_weighed() -> None:
    cohort = made_up_cohort(0, stays=900, longest=10)
    shown_stays = epoch_cohort(
        cohort, msgspec.structs.replace(NOTHING_HIDDEN, negative_share=0.4), np.random.default_rng(0)
    )
    some, weights = shown_stays.cohort, shown_stays.stay_weights
    assert some.septic.sum() == cohort.septic.sum()
    assert (~some.septic).sum() / (~cohort.septic).sum() == pytest.approx(0.4, abs=0.07)
    assert np.array_equal(weights, np.where(some.septic, np.float32(1), np.float32(2.5)))


def test_random_starts_leave_the_end_and_the_true_hours() -> None:
    cohort = made_up_cohort(0, stays=300)
    config = msgspec.structs.replace(NOTHING_HIDDEN, random_start_share=0.6)
    cut = epoch_cohort(cohort, config, np.random.default_rng(0)).cohort
    assert cut.n_stays == cohort.n_stays
    shortened = cut.lengths < cohort.lengths
    assert 0.3 < shortened.mean() < 0.6
    assert (cut.lengths[shortened] >= config.random_start_hours_left).all()
    assert np.array_equal(cut.steps[cut.offsets[1:] - 1], cohort.steps[cohort.offsets[1:] - 1])
    first = cohort.steps[cohort.offsets[:-1]] + (cohort.lengths - cut.lengths)
    assert np.array_equal(cut.steps[cut.offsets[:-1]], first)


def test_each_row_shown_knows_which_row_it_is() -> None:
    cohort = made_up_cohort(0, stays=300)
    config = msgspec.structs.replace(NOTHING_HIDDEN, random_start_share=0.6, negative_share=0.5)
    shown_stays = epoch_cohort(cohort, config, np.random.default_rng(0))
    assert shown_stays.cohort.n_rows < cohort.n_rows
    assert np.array_equal(shown_stays.cohort.values, cohort.values[shown_stays.rows], equal_nan=True)
    assert np.array_equal(shown_stays.cohort.steps, cohort.steps[shown_stays.rows])


def test_channels_are_hidden_for_whole_stays() -> None:
    cohort = replace(made_up_cohort(0, stays=400), values=np.ones_like(made_up_cohort(0, stays=400).values))
    config = msgspec.structs.replace(NOTHING_HIDDEN, three_sign_share=0.3, channel_dropout=0.15)
    hidden = epoch_cohort(cohort, config, np.random.default_rng(0)).cohort
    seen = ~np.isnan(hidden.values)
    per_stay = np.add.reduceat(seen, hidden.offsets[:-1])
    assert ((per_stay == 0) | (per_stay == hidden.lengths[:, None])).all()
    sees = per_stay > 0
    three = sees[:, :3].all(axis=1) & ~sees[:, 3:].any(axis=1)
    assert three.mean() == pytest.approx(0.3, abs=0.08)
    assert sees[~three].mean() == pytest.approx(0.85, abs=0.03)


def test_details_are_hidden_in_their_share_of_stays() -> None:
    cohort = made_up_cohort(0, stays=1000, longest=3)
    config = msgspec.structs.replace(NOTHING_HIDDEN, hide_admission_share=0.2, hide_age_share=0.1, hide_sex_share=0.1)
    hidden = epoch_cohort(cohort, config, np.random.default_rng(0)).cohort
    no_admission = np.isnan(hidden.hospital_hours)
    assert no_admission.mean() == pytest.approx(0.2, abs=0.05)
    assert not hidden.unit_type[no_admission].any()
    assert np.isnan(hidden.age_years).mean() == pytest.approx(0.1, abs=0.04)
    assert np.isnan(hidden.sex).mean() == pytest.approx(0.1, abs=0.04)


def test_an_epoch_is_repeatable_and_another_is_not() -> None:
    assert shown(CONFIG, 1) == shown(CONFIG, 1)
    assert shown(CONFIG, 1) != shown(CONFIG, 2)


def test_rows_before_the_first_measurement_are_sequences_of_their_own() -> None:
    cohort = made_up_cohort(0, stays=2, longest=40)
    while min(cohort.lengths) < 6:
        cohort = made_up_cohort(int(cohort.n_rows) + 1, stays=2, longest=40)
    values = np.where(np.isnan(cohort.values), np.float32(80.0), cohort.values)
    values[cohort.offsets[1] : cohort.offsets[1] + 3] = np.nan
    cohort = replace(cohort, values=values)
    sequences = feature_sequences(cohort, scaling_of(measure_scales(cohort)))
    first, second = cohort.lengths.tolist()
    assert sequences.lengths.tolist() == [first, 1, 1, 1, second - 3]
    assert sequences.stays.tolist() == [0, 1, 1, 1, 1]


def test_batches_hold_every_row_of_the_chosen_sequences_once() -> None:
    cohort = made_up_cohort(0, stays=200)
    sequences = feature_sequences(cohort, scaling_of(measure_scales(cohort)))
    chosen = np.arange(0, len(sequences.starts), 2)
    rows = np.concatenate([batch.rows[batch.rows >= 0] for batch in batches(sequences, chosen, most_rows=500)])
    expected = [
        np.arange(sequences.starts[each], sequences.starts[each] + sequences.lengths[each]) for each in chosen.tolist()
    ]
    assert sorted(rows.tolist()) == sorted(np.concatenate(expected).tolist())
    for batch in batches(sequences, chosen, most_rows=500):
        inside = batch.rows >= 0
        assert (np.diff(batch.rows, axis=1)[inside[:, 1:]] == 1).all()
        assert batch.rows.size <= 500 or len(batch.rows) == 1


def test_hours_are_weighed_by_their_negatives_and_matched_by_their_odds() -> None:
    cohort = made_up_cohort(0, stays=900, longest=30)
    config = msgspec.structs.replace(CONFIG, hour_smoothing=1, hour_pooling=20)
    odds, weights = HourOdds(cohort, config).of(np.arange(40, dtype=np.int32))
    assert cohort.labels is not None
    positives = [(cohort.labels[cohort.steps == hour] == 1).sum() for hour in range(20)]
    negatives = [(cohort.labels[cohort.steps == hour] == 0).sum() for hour in range(20)]
    expected = np.log((np.array(positives) + 0.5) / (np.array(negatives) + 0.5))
    assert np.allclose(odds[:20], expected, atol=1e-5)
    assert np.allclose(weights[:20], np.array(negatives) / max(negatives), atol=1e-5)
    assert len(set(odds[20:].tolist())) == 1


def test_features_hide_what_the_view_hides() -> None:
    cohort = made_up_cohort(0, stays=20)
    scaling = scaling_of(measure_scales(cohort))
    view = feature_sequences(cohort, scaling, vitals=frozenset({"heart_rate"}))
    for column, name in enumerate(FEATURE_NAMES):
        if any(name.startswith(f"{sign}_") for sign in NAMES if sign != "heart_rate"):
            assert not view.x[:, column].any(), name
    assert view.x[:, FEATURE_NAMES.index("heart_rate_level")].any()


def test_scales_are_of_plausible_values_only() -> None:
    cohort = made_up_cohort(0, stays=20)
    values = cohort.values.copy()
    values[::2, 0] = 9999
    scales = measure_scales(replace(cohort, values=values))
    assert 40 < scales["heart_rate"].mean < 120
    assert scales["heart_rate"].deviation > 1


def test_made_up_healthy_stays_stand_behind_the_real_ones() -> None:
    real = epoch_cohort(made_up_cohort(0, stays=200), NOTHING_HIDDEN, np.random.default_rng(0))
    config = msgspec.structs.replace(CONFIG, healthy_share=0.1, healthy_weight=3.0)
    both = with_healthy(real, config, np.random.default_rng(1))
    assert both.cohort.n_stays == 220
    assert both.cohort.select(np.arange(220) < 200).patient_ids == real.cohort.patient_ids
    made_up = both.rows < 0
    assert np.array_equal(both.rows[~made_up], real.rows)
    assert np.array_equal(both.cohort.values[~made_up], real.cohort.values, equal_nan=True)
    assert not both.cohort.known_labels[made_up].any()
    assert both.stay_weights[200:].max() == 3
    assert 0 < both.stay_weights[200:].min() < 1  # some prove less than others
    none = with_healthy(real, msgspec.structs.replace(CONFIG, healthy_share=0.0), np.random.default_rng(1))
    assert none.cohort.patient_ids == real.cohort.patient_ids
