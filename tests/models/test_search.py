"""The search: it cuts in thirds, keeps a table, gives up what lags behind, and goes on where it was."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.search import SPACE, SearchError, Study, search, thirds
from models.training_config import TrainingConfig, load_training_config
from tests.models.stays import made_up_cohort

CONFIG = msgspec.structs.replace(load_training_config(), epochs=2, tutor_trees=5, tutor_leaf_rows=20, tutor_views=1)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    learned = made_up_cohort(0, stays=60, longest=20, signal=25.0)
    judging = made_up_cohort(1, stays=30, longest=20, signal=25.0)
    return Study(learned, judging, None, CONFIG, tmp_path_factory.mktemp("study"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_thirds_hold_each_stratum_in_equal_parts() -> None:
    cohort = made_up_cohort(0, stays=300, longest=20)
    part = thirds(cohort)
    for hospital in "AB":
        for septic in (False, True):
            members = (np.array(cohort.hospitals) == hospital) & (cohort.septic == septic)
            assert np.ptp(np.bincount(part[members], minlength=3)) <= 1
    assert np.array_equal(part, thirds(cohort))


def test_the_settings_in_use_come_first_and_the_table_holds_every_trial(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "study.csv"
    search(study, CONFIG, trials=3, out=out, minutes=None)
    table = rows(out)
    assert [row["trial"] for row in table] == ["0", "1", "2"]
    assert all(float(table[0][name]) == pytest.approx(getattr(CONFIG, name), rel=1e-4) for name in SPACE)
    for row in table:
        assert row["state"] == "complete"
        assert float(row["value"]) == pytest.approx(float(row["epoch_2"]))
        assert all(low <= float(row[name]) <= high for name, (low, high, _) in SPACE.items())


def test_a_study_goes_on_with_its_table(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "study.csv"
    search(study, CONFIG, trials=1, out=out, minutes=None)
    first = rows(out)
    search(study, CONFIG, trials=2, out=out, minutes=None)
    assert rows(out)[:1] == first
    assert len(rows(out)) == 2
    search(study, CONFIG, trials=2, out=out, minutes=None)
    assert len(rows(out)) == 2


def test_the_table_of_another_study_is_refused(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "study.csv"
    out.write_text("trial,value\n0,0.7\n")
    with pytest.raises(SearchError, match="other settings"):
        search(study, CONFIG, trials=1, out=out, minutes=None)


def test_it_says_what_to_install(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SearchError, match="dependency group `train`"):
        search(study, CONFIG, trials=1, out=tmp_path / "study.csv", minutes=None)


def test_every_setting_of_the_space_is_one_of_the_configuration() -> None:
    assert set(SPACE) <= set(TrainingConfig.__struct_fields__)
