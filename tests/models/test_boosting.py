"""The gradient boosting baseline: trains, writes, reads, and sees what its view shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.boosting import Boosting, BoostingError, main, train_boosting
from models.evaluation import VIEWS
from models.metrics import auroc
from models.split import split
from models.vital_signs import NAMES
from tests.models.stays import made_up_cohort
from tests.models.usage import check_usage_is_said

try:
    import lightgbm  # noqa: F401
except (ImportError, OSError) as error:
    pytest.skip(f"needs LightGBM of the dependency group `train`, and libgomp: {error}", allow_module_level=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("boosting")
    trees = train_boosting(made_up_cohort(0, stays=300, longest=40, signal=40.0), out)
    assert len(trees) == 6
    return out


def test_it_learns_and_is_read_back(folder: Path) -> None:
    cohort = made_up_cohort(0, stays=300, longest=40, signal=40.0)
    unseen = cohort.select(split(cohort).test)
    boosting = Boosting(folder)
    for view in ("all", "three_vital_signs", "without_admission"):
        for scores in boosting.scores(unseen, *VIEWS[view]).values():
            assert auroc(scores, unseen.known_labels) > 0.7
    same = boosting.scores(unseen, frozenset(NAMES), frozenset())["lightgbm"]
    assert np.array_equal(same, boosting.scores(unseen, *VIEWS["all"])["lightgbm"])
    for shown in ((frozenset({"heart_rate"}), frozenset[str]()), (None, frozenset({"age"}))):
        with pytest.raises(BoostingError, match="not for what is shown"):
            boosting.scores(unseen, *shown)


def test_what_a_view_hides_changes_nothing(folder: Path) -> None:
    cohort = made_up_cohort(1, stays=20)
    other = replace(cohort, hospital_hours=cohort.hospital_hours + 50, unit_type=np.ones_like(cohort.unit_type))
    boosting = Boosting(folder)
    shown, hidden = (boosting.scores(each, *VIEWS["without_admission"])["lightgbm"] for each in (cohort, other))
    assert np.array_equal(shown, hidden)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoostingError, match=r"models\.boosting"):
        Boosting(tmp_path)


def test_wrong_usage_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    check_usage_is_said(main, "DATA OUT", capsys)
