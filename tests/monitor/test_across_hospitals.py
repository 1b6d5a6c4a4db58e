"""Models of one hospital each, beside the model of all: their figures are read from their manifests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.artifact import Description, load_model, model_folder, save_model
from models.manifest import Manifest
from monitor.across_hospitals import across_hospitals
from monitor.errors import Failure
from monitor.evaluation_tables import across_rows
from monitor.model_card import main

FIGURES = ("auroc_time_adjusted", "utility")


def measured(value: float, stays: int) -> dict[str, Any]:
    """Return figures as `train` writes them, all of one value."""
    figure = {"value": value, "low": value - 0.1, "high": value + 0.1}
    names = (*FIGURES, "auroc_first_48h", "auroc", "calibration_intercept", "ece")
    views = ("all", "three_vital_signs", "without_admission")
    return {"stays": stays, "septic_stays": 9, "rows": 99} | {view: dict.fromkeys(names, figure) for view in views}


def saved(folder: Path, **training: Any) -> Manifest:
    shipped = load_model("bedside")
    manifest = shipped.manifest
    parts = (manifest.scaling, manifest.calibration, manifest.thresholds, manifest.assessable)
    metrics: dict[str, object] = {"test_stays": measured(0.7, 30), "other_hospitals": {"B": measured(0.6, 200)}}
    description = Description("one", "1.0.0", *parts, training=manifest.training | training, metrics=metrics)
    save_model(folder, shipped.weights, description)
    return manifest


def test_each_hospital_that_a_model_was_tested_on_is_an_entry(tmp_path: Path) -> None:
    like = saved(tmp_path / "on-a", hospital="A")
    entries = across_hospitals([str(tmp_path / "on-a")], like)
    assert [(each["trained_on"], each["tested_on"], each["stays"]) for each in entries] == [
        ("A", "A", 30),
        ("A", "B", 200),
    ]
    group = {"stays": 5, "septic_stays": 1, "figures": measured(0.8, 5)["all"]}
    rows = across_rows({"views": {"all": {"by": {"hospital": {"B": group}}}}, "across_hospitals": entries}, FIGURES)
    assert rows == [
        ("all", "A", "A", "30 / 9", *["0.700 (0.600 to 0.800)"] * 2),
        ("all", "A", "B", "200 / 9", *["0.600 (0.500 to 0.700)"] * 2),
        ("all", "all", "B", "5 / 1", *["0.800 (0.700 to 0.900)"] * 2),
    ]


def test_they_are_added_to_a_card_without_judging_anew(tmp_path: Path) -> None:
    saved(tmp_path / "on-a", hospital="A")
    out = tmp_path / "card"
    out.mkdir()
    shutil.copy(model_folder("bedside") / "evaluation.json", out)
    arguments = ["bedside", "--out", str(out), "--again", "--across", str(tmp_path / "on-a")]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    card = (out / "MODEL_CARD.md").read_text()
    assert "## At a hospital it has not seen" in card
    assert "--across ON-A" in card
    assert "| all | A | B | 200 / 9 | 0.600 (0.500 to 0.700) |" in card


def test_a_card_is_not_written_from_the_evaluation_of_another_model(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    for content, message in (("{}", "not an evaluation"), ('{"shipped": {"digest": "sha256:0"}}', "sha256:0")):
        file.write_text(content)
        result = CliRunner().invoke(main, ["bedside", "--out", str(tmp_path), "--again"])
        assert (result.exit_code, message in result.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
    assert CliRunner().invoke(main, ["bedside", "--out", str(tmp_path)]).exit_code == 2


def test_models_that_say_nothing_of_this_one_are_refused(tmp_path: Path) -> None:
    like = saved(tmp_path / "of-all")
    with pytest.raises(Failure, match="not a model of one hospital"):
        across_hospitals([str(tmp_path / "of-all")], like)
    saved(tmp_path / "other", hospital="A", config={}, data_sha256="0")
    with pytest.raises(Failure, match="config and data_sha256"):
        across_hospitals([str(tmp_path / "other")], like)
