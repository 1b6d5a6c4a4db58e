"""The card: written by one command from the evaluation, its numbers those of the file beside it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from models.artifact import Description, load_model, model_folder, save_model, shipped_models
from models.cohort import read_cohort
from monitor.card_commands import reproduction
from monitor.card_pictures import PICTURES, draw_pictures
from monitor.card_text import card_text
from monitor.evaluation_tables import FIGURE_LABELS, figure_text
from monitor.model_card import main
from tests.models.descriptions import description_of

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"


def card_of(name: str) -> Path:
    return model_folder(name) / "MODEL_CARD.md"


@pytest.fixture(scope="module")
def stays(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a list of the shorter stays: fewer hours to decide on."""
    cohort = read_cohort(DEMO)
    path = tmp_path_factory.mktemp("stays") / "stays.txt"
    short = cohort.lengths < 50
    path.write_text("\n".join(name for name, kept in zip(cohort.patient_ids, short, strict=True) if kept))
    return str(path)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the shipped weights as a model that was not refitted after it had been measured."""
    shipped, out = load_model("bedside").manifest, tmp_path_factory.mktemp("measured")
    parts = (shipped.name, shipped.version, shipped.scaling, shipped.calibration, shipped.thresholds)
    metrics = {name: value for name, value in shipped.metrics.items() if name != "measured_with_weights"}
    description = Description(*parts, shipped.assessable, training=shipped.training, metrics=metrics)
    save_model(out, load_model("bedside").weights, description)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, measured: Path, stays: str) -> Path:
    out = tmp_path_factory.mktemp("card")
    arguments = [str(measured), str(DEMO), "--out", str(out), "--stays", stays, "--bootstrap", "10"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return out


def evaluation(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return found


def test_the_figures_of_the_card_are_those_of_the_file(folder: Path, measured: Path) -> None:
    card, found = (folder / "MODEL_CARD.md").read_text(), evaluation(folder)
    for name, label in FIGURE_LABELS.items():
        cells = [figure_text(name, view["overall"][name]) for view in found["views"].values()]
        assert f"| {label} | {' | '.join(cells)} |" in card
    assert load_model(str(measured)).digest in card


def test_the_card_says_what_a_reader_must_know(folder: Path) -> None:
    card = (folder / "MODEL_CARD.md").read_text()
    headings = re.findall(r"^## (.*)$", card, flags=re.MULTILINE)
    assert headings[:2] == ["Intended use", "What it must not be used for"]
    assert {"Data", "Figures", "Groups of stays", "Limits", "How to reproduce"} <= set(headings)
    for group in ("hospital: A", "sex: female", "age: 80 and over", "unit type: surgical"):
        assert group in card
    assert not re.search(r"\baccuracy\b|p\d{6}", card)
    assert "Not run beside this model: LightGBM and textbook LSTM(50), two layers." in card
    assert "Not measured for this model" in card.split("## At a hospital it has not seen")[1].split("\n## ")[0]
    bedside = card_of("bedside").read_text()
    assert "Not run beside" not in bedside
    assert "Not measured for this model" not in bedside
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


def test_the_course_of_the_training_is_drawn_from_the_manifest(folder: Path) -> None:
    assert (folder / "curves.png").read_bytes() == (card_of("bedside").parent / "curves.png").read_bytes()


def test_the_same_evaluation_gives_the_same_card(folder: Path, measured: Path, tmp_path: Path) -> None:
    found = evaluation(folder)
    assert card_text(found, load_model(str(measured)).manifest) == (folder / "MODEL_CARD.md").read_text()
    draw_pictures(found, tmp_path)
    for name in PICTURES:
        assert (tmp_path / f"{name}.png").read_bytes() == (folder / "pictures" / f"{name}.png").read_bytes()


def test_both_kinds_of_health_are_shown_and_can_be_judged_anew(folder: Path, measured: Path, tmp_path: Path) -> None:
    found = evaluation(folder)
    for view in found["views"].values():
        assert [each["missing"] for each in view["health"]["other_levels"]] == [0, 0.5]
    emptied = found | {"views": {name: view | {"health": None} for name, view in found["views"].items()}}
    (tmp_path / "evaluation.json").write_text(json.dumps(emptied))
    arguments = [str(measured), "--again", "--health", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert evaluation(tmp_path) == found
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert card == (folder / "MODEL_CARD.md").read_text()
    assert "### One typical adult, fully measured" in card
    assert "### Other normal levels, values missing" in card
    assert "A healthy person is not always told less than a tenth" in card.split("## Limits")[1]


def test_health_alone_needs_an_evaluation_to_be_set_into(measured: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(measured), str(DEMO), "--health", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "--again" in result.output


def test_the_card_has_the_commands_that_made_the_model(folder: Path) -> None:
    bedside = card_of("bedside").read_text()
    kept = "--keep-out monitor/data/demo-stays.parquet --name bedside"
    assert "sepsis-monitor train DATA --out MEASURED --name bedside" in bedside
    assert f"sepsis-monitor train DATA --out MODEL --refit MEASURED {kept}" in bedside
    assert "model_card MODEL DATA --measured MEASURED --lightgbm BOOSTING" in bedside
    challenge = card_of("challenge").read_text()
    assert challenge.count(f"--version {load_model('challenge').version} --config models/challenge.toml\n") == 2
    assert "BOOSTING" not in challenge
    assert "model_card MODEL DATA --measured MEASURED --baselines EVALUATION --out MODEL" in challenge
    assert f"EVALUATION is `evaluation.json` of bedside {load_model('bedside').version}" in challenge
    own = (folder / "MODEL_CARD.md").read_text()
    assert "--refit" not in own
    assert "MODEL DATA --bootstrap 10 --out MODEL" in own
    # A configuration that is in no file is named as such, another seed by its option.
    manifest, found = load_model("bedside").manifest, evaluation(folder)
    for name, value, option in (("epochs", 3, " --config CONFIG\n"), ("seed", 9, " --seed 9\n")):
        training = manifest.training | {"config": manifest.training["config"] | {name: value}}
        assert option in reproduction(found, msgspec.structs.replace(manifest, training=training))


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["no-such-model", str(DEMO), "--out", str(tmp_path / "card")])
    assert result.exit_code == 1
    assert "no-such-model" in result.output
    assert not (tmp_path / "card").exists()


@pytest.mark.long
def test_a_refitted_model_needs_what_it_was_measured_with(tmp_path: Path, stays: str) -> None:
    model = load_model("bedside")
    measured = {"measured_with_weights": model.manifest.weights_sha256}
    description = description_of(model.manifest, version="9.9.9", metrics=measured, doubt=None)
    weights = replace(model.weights, head=model.weights.head * np.float32(0.5))
    save_model(tmp_path / "refitted", weights, description)
    refitted, out = str(tmp_path / "refitted"), tmp_path / "card"
    result = CliRunner().invoke(main, [refitted, str(DEMO), "--out", str(out)])
    assert result.exit_code == 1
    assert "--measured" in result.output
    arguments = [refitted, str(DEMO), "--out", str(out), "--measured", "bedside", "--bootstrap", "0", "--stays", stays]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    card, found = (out / "MODEL_CARD.md").read_text(), evaluation(out)
    assert card.startswith("# Model card: bedside 9.9.9")
    assert f"without those stays (`{model.digest}`)" in card
    assert "the measured model (see Figures), not the shipped one," in card
    assert f"(the measured one, see Figures: {model.utility_threshold})" in card
    assert found["model"]["digest"] == model.digest
    assert found["shipped"]["digest"] == load_model(refitted).digest


@pytest.mark.parametrize("name", [name for name in shipped_models() if card_of(name).exists()])
def test_a_shipped_card_is_of_the_shipped_model(name: str) -> None:
    card, found = card_of(name).read_text(), json.loads((card_of(name).parent / "evaluation.json").read_text())
    assert load_model(name).digest in card
    assert found["shipped"]["digest"] == load_model(name).digest
    assert card == card_text(found, load_model(name).manifest)
    for picture in PICTURES:
        assert (card_of(name).parent / "pictures" / f"{picture}.png").is_file()
    assert (card_of(name).parent / "curves.png").read_bytes().startswith(b"\x89PNG")
