"""The textbook baseline: trains, writes, reads, sees no future, and never reports accuracy alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import textbook
from models.evaluation import VIEWS
from models.metrics import auroc
from models.split import split
from models.textbook import Textbook, TextbookError, TextbookNet, main, train_textbook, write_textbook
from models.vital_signs import NAMES
from tests.models.stays import made_up_cohort
from tests.models.usage import check_usage_is_said

COHORT = made_up_cohort(0, stays=300, longest=20, signal=40.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("textbook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textbook, "_EPOCHS", 6)
        patch.setattr(textbook, "_LEARNING_RATE", 0.01)
        patch.setattr(textbook, "_ROUNDS", 10)
        write_textbook(COHORT, out)
    return out


def test_it_learns_and_is_read_back(folder: Path) -> None:
    unseen = COHORT.select(split(COHORT).test)
    baseline = Textbook(folder)
    for view in ("all", "three_vital_signs", "without_admission"):
        assert auroc(baseline.scores(unseen, *VIEWS[view])["textbook"], unseen.known_labels) > 0.7
    hidden = baseline.scores(unseen, frozenset(NAMES), frozenset({"age"}))["textbook"]
    assert np.array_equal(hidden, baseline.scores(unseen, *VIEWS["all"])["textbook"])
    with pytest.raises(TextbookError, match=r"models\.textbook"):
        Textbook(folder / "elsewhere")


def test_accuracy_stands_beside_what_it_is_worth(folder: Path) -> None:
    figures = json.loads((folder / "figures.json").read_text())
    for part in ("train", "validation", "test"):
        found = figures[part]
        assert {"loss", "accuracy", "accuracy_of_always_no", "auroc", "auprc", "utility"} <= set(found)
        assert {"auroc_time_adjusted", "auroc_first_48h"} <= set(found)
        labels = COHORT.select(split(COHORT).parts()[part]).known_labels
        assert found["accuracy_of_always_no"]["value"] == pytest.approx((labels == 0).mean(), abs=1e-4)
    assert figures["test"]["accuracy"]["low"] <= figures["test"]["accuracy"]["value"]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_an_hour_says_the_same_whatever_follows_and_stands_beside_it(folder: Path) -> None:
    scores = Textbook(folder).scores(COHORT, None, frozenset())["textbook"]
    last = np.zeros(COHORT.n_rows, dtype=np.bool_)
    last[COHORT.offsets[1:] - 1] = True
    values = np.where(last[:, None], np.float32(60), COHORT.values)
    changed = Textbook(folder).scores(replace(COHORT, values=values), None, frozenset())["textbook"]
    assert np.allclose(changed[~last], scores[~last], atol=1e-5)
    alone = COHORT.select(np.arange(COHORT.n_stays) == 7)
    rows = slice(int(COHORT.offsets[7]), int(COHORT.offsets[8]))
    assert np.allclose(Textbook(folder).scores(alone, None, frozenset())["textbook"], scores[rows], atol=1e-4)


def test_it_has_two_layers_of_fifty_and_stops_when_validation_gets_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    net = TextbookNet()
    assert (net.lstm.num_layers, net.lstm.hidden_size, net.dense.in_features) == (2, 50, 50)
    monkeypatch.setattr(textbook, "_PATIENCE", 1)
    monkeypatch.setattr(textbook, "_LEARNING_RATE", 0.05)
    noise = made_up_cohort(1, stays=100, longest=8)
    trained, losses = train_textbook(noise, made_up_cohort(2, stays=60, longest=8))
    assert len(losses) < 40
    validation = [each.validation for each in losses]
    assert validation[-1] > min(validation)
    again, repeated = train_textbook(noise, made_up_cohort(2, stays=60, longest=8))
    assert repeated == losses
    assert all(torch.equal(one, two) for one, two in zip(trained.parameters(), again.parameters(), strict=True))


def test_the_shipped_figures_are_those_of_the_document() -> None:
    root = Path(textbook.__file__).parents[1]
    folder = root / "models" / "artifacts" / "textbook"
    figures = json.loads((folder / "figures.json").read_text())
    document = (root / "docs" / "model-development.md").read_text()
    for name in ("loss", "accuracy", "accuracy_of_always_no", "auroc", "auprc", "auroc_time_adjusted", "utility"):
        found = figures["test"][name]
        assert f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f}) |" in document
    assert Textbook(folder).scores(COHORT.select(np.arange(300) < 3), None, frozenset()).keys() == {"textbook"}


def test_wrong_usage_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    check_usage_is_said(main, "DATA OUT", capsys)
