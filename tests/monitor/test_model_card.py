"""The card: written by one command from the evaluation, its numbers those of the file beside it."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.artifact import load_model
from monitor.card_pictures import PICTURES
from monitor.evaluation_tables import FIGURE_LABELS, figure_text
from monitor.model_card import main

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("card")
    result = CliRunner().invoke(main, ["bedside", str(DEMO), "--out", str(out), "--bootstrap", "10"])
    assert result.exit_code == 0, result.output
    return out


def evaluation(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return found


def test_the_figures_of_the_card_are_those_of_the_file(folder: Path) -> None:
    card, found = (folder / "MODEL_CARD.md").read_text(), evaluation(folder)
    for name, label in FIGURE_LABELS.items():
        cells = [figure_text(name, view["overall"][name]) for view in found["views"].values()]
        assert f"| {label} | {' | '.join(cells)} |" in card
    assert load_model("bedside").digest in card


def test_the_card_says_what_a_reader_must_know(folder: Path) -> None:
    card = (folder / "MODEL_CARD.md").read_text()
    headings = re.findall(r"^## (.*)$", card, flags=re.MULTILINE)
    assert headings[:2] == ["Intended use", "What it must not be used for"]
    assert {"Data", "Figures", "Groups of stays", "Limits", "How to reproduce"} <= set(headings)
    for group in ("hospital: A", "sex: female", "age: 80 and over", "unit type: surgical"):
        assert group in card
    assert not re.search(r"\baccuracy\b|p\d{6}", card)
    tables = re.findall(r"(?:^\|.*\|\n?)+", card, flags=re.MULTILINE)
    for table in tables:
        assert len({line.count(" | ") for line in table.strip().splitlines()[2:]}) == 1


def test_every_picture_is_there_and_drawn(folder: Path) -> None:
    card = (folder / "MODEL_CARD.md").read_text()
    for name in PICTURES:
        assert f"(pictures/{name}.png)" in card
        picture = (folder / "pictures" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000


def test_the_same_evaluation_gives_the_same_card(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["bedside", str(DEMO), "--out", str(tmp_path), "--bootstrap", "10"])
    assert result.exit_code == 0
    for name in ("MODEL_CARD.md", "evaluation.json", "pictures/roc.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["no-such-model", str(DEMO), "--out", str(tmp_path / "card")])
    assert result.exit_code == 1
    assert "no-such-model" in result.output
    assert not (tmp_path / "card").exists()
