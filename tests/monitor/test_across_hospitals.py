"""Models of one hospital each, beside the model of all: their figures are read from their manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.artifact import Description, load_model, model_folder, save_model
from models.manifest import Manifest
from monitor.across_hospitals import across_hospitals
from monitor.card_text import card_text
from monitor.errors import Failure
from monitor.evaluation_tables import across_rows

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


def test_the_card_has_them(tmp_path: Path) -> None:
    like = saved(tmp_path / "on-a", hospital="A")
    found = json.loads((model_folder("bedside") / "evaluation.json").read_text())
    card = card_text(found | {"across_hospitals": across_hospitals([str(tmp_path / "on-a")], like)}, like)
    assert "## At a hospital it has not seen" in card
    assert "| all | A | B | 200 / 9 | 0.600 (0.500 to 0.700) |" in card


def test_models_that_say_nothing_of_this_one_are_refused(tmp_path: Path) -> None:
    like = saved(tmp_path / "of-all")
    with pytest.raises(Failure, match="not a model of one hospital"):
        across_hospitals([str(tmp_path / "of-all")], like)
    saved(tmp_path / "other", hospital="A", config={}, data_sha256="0")
    with pytest.raises(Failure, match="config and data_sha256"):
        across_hospitals([str(tmp_path / "other")], like)
