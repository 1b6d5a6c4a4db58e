"""The teacher: judges each stay by trees that never saw it, knows more than chance, and says what it needs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from models.cohort import Cohort
from models.laboratory import COLUMNS, Laboratory
from models.metrics import auroc
from models.sequences import feature_sequences, measure_scales, scaling_of
from models.teacher import Teacher, TeacherError
from models.training_config import load_training_config
from tests.models.stays import made_up_cohort

CONFIG = msgspec.structs.replace(load_training_config(), teacher_folds=3, teacher_trees=20, teacher_leaf_rows=20)


def teacher_of(cohort: Cohort, lactate: NDArray[np.float32]) -> Teacher:
    values = np.full((cohort.n_rows, len(COLUMNS)), np.nan, dtype=np.float32)
    values[:, COLUMNS.index("Lactate")] = lactate
    bedside = feature_sequences(cohort, scaling_of(measure_scales(cohort))).x
    return Teacher(cohort, Laboratory(values), bedside, CONFIG)


def test_it_uses_laboratory_values() -> None:
    cohort = made_up_cohort(0, stays=300, longest=20)
    labels = cohort.labels
    assert labels is not None
    telling = np.where(np.random.default_rng(0).random(cohort.n_rows) < 0.3, 1 + 4 * labels, np.nan)
    said = teacher_of(cohort, telling.astype(np.float32)).probabilities("run", None, None)
    assert ((said > 0) & (said < 1)).all()
    assert auroc(said.astype(np.float64), labels) > 0.7


def test_no_row_is_judged_by_trees_that_know_its_label() -> None:
    cohort = made_up_cohort(0, stays=300, longest=20)
    noise = np.random.default_rng(1).random(cohort.n_rows).astype(np.float32)  # each row's own number: easy to recall
    rng = np.random.default_rng(2)
    shuffled = rng.permutation(np.arange(cohort.n_stays) % 3 == 0)
    random_labels = np.repeat(shuffled, cohort.lengths).astype(np.uint8)
    cohort = replace(cohort, labels=random_labels)
    said = teacher_of(cohort, noise).probabilities("run", None, None)
    assert auroc(said.astype(np.float64), random_labels) == pytest.approx(0.5, abs=0.1)


def test_what_was_said_is_kept_and_repeatable(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=90, longest=20)
    lactate = np.full(cohort.n_rows, np.nan, dtype=np.float32)
    cache = tmp_path / "teacher.safetensors"
    shown: list[tuple[int, int]] = []
    first = teacher_of(cohort, lactate).probabilities("run", cache, lambda done, total, _: shown.append((done, total)))
    assert shown[0] == (1, 60)
    assert shown[-1] == (60, 60)
    again = teacher_of(cohort, lactate).probabilities("run", cache, lambda *_: pytest.fail("it was asked again"))
    assert np.array_equal(first, again)
    assert np.array_equal(first, teacher_of(cohort, lactate).probabilities("run", None, None))


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    cohort = made_up_cohort(0, stays=30, longest=10)
    with pytest.raises(TeacherError, match="dependency group `train`"):
        teacher_of(cohort, np.full(cohort.n_rows, np.nan, dtype=np.float32)).probabilities("run", None, None)
