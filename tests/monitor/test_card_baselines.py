"""Baselines of one card beside another model: the same rows, of the same stays only, and no episodes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from models.artifact import model_folder
from monitor.card_baselines import TRAINED_BASELINES, take_over_baselines
from monitor.errors import Failure

BEDSIDE = model_folder("bedside") / "evaluation.json"


def without_trained() -> dict[str, Any]:
    """Return the evaluation of the shipped `bedside` without its trained baselines."""
    found: dict[str, Any] = json.loads(BEDSIDE.read_text())
    for view in found["views"].values():
        view["baselines"] = {name: one for name, one in view["baselines"].items() if name not in TRAINED_BASELINES}
    return found


def written(tmp_path: Path, found: dict[str, Any]) -> Path:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(found))
    return path


def test_trained_baselines_are_taken_over_but_for_episodes() -> None:
    found, whole = without_trained(), json.loads(BEDSIDE.read_text())
    take_over_baselines(found, BEDSIDE)
    for name, view in found["views"].items():
        for baseline in TRAINED_BASELINES:
            taken, given = view["baselines"][baseline], whole["views"][name]["baselines"][baseline]
            assert taken["figures"] == given["figures"]
            assert taken["compared"]["alerts_every_6_hours"] == given["compared"]["alerts_every_6_hours"]
            assert taken["compared"]["episodes"] == {"reached": False}
        untouched = [one for one in view["baselines"] if one not in TRAINED_BASELINES]
        assert [view["baselines"][one] for one in untouched] == [
            whole["views"][name]["baselines"][one] for one in untouched
        ]
    assert found["baselines_from"] == f"bedside {whole['shipped']['version']}"


def test_an_evaluation_of_other_stays_or_draws_is_refused(tmp_path: Path) -> None:
    for change in ("stays", "draws", "figures"):
        other = copy.deepcopy(json.loads(BEDSIDE.read_text()))
        if change == "stays":
            other["data"]["stays"] -= 1
        elif change == "draws":
            other["bootstrap"]["seed"] += 1
        else:
            other["views"]["all"]["baselines"]["hours_only"]["figures"]["auroc"]["value"] += 0.01
        with pytest.raises(Failure, match="other stays"):
            take_over_baselines(without_trained(), written(tmp_path, other))


def test_what_has_no_trained_baseline_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no trained baseline"):
        take_over_baselines(without_trained(), written(tmp_path, without_trained()))
    (tmp_path / "evaluation.json").write_text("[]")
    with pytest.raises(Failure, match="not the evaluation"):
        take_over_baselines(without_trained(), tmp_path / "evaluation.json")


def test_the_shipped_cards_tell_the_same_of_baselines() -> None:
    bedside, challenge = (
        json.loads((model_folder(name) / "evaluation.json").read_text()) for name in ("bedside", "challenge")
    )
    for name, view in challenge["views"].items():
        for baseline in TRAINED_BASELINES:
            ours, theirs = view["baselines"][baseline], bedside["views"][name]["baselines"][baseline]
            assert ours["figures"] == theirs["figures"]
