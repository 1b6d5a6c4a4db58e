"""`train`: from a file to an artefact that scores, and failures in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from models.artifact import load_model
from models.calibration import CalibrationError
from models.cohort import Cohort
from models.sequences import measure_scales
from models.split import split
from models.training_config import load_training_config
from monitor.cli import main
from monitor.commands import train as train_command
from tests.models.stays import made_up_cohort

COLUMNS = ("HR", "Resp", "Temp", "O2Sat", "SBP", "DBP", "MAP")


def write(cohort: Cohort, path: Path) -> Path:
    stay = cohort.stay_of_row
    table = pl.DataFrame({"patient_id": pl.Series(cohort.patient_ids).gather(stay)}).with_columns(
        hospital=pl.Series(cohort.hospitals).gather(stay),
        **{name: pl.Series(cohort.values[:, sign]) for sign, name in enumerate(COLUMNS)},
        Age=pl.Series(cohort.age_years[stay]),
        Gender=pl.Series(cohort.sex[stay]),
        HospAdmTime=pl.Series(-cohort.hospital_hours[stay]),
        Unit1=pl.Series((cohort.unit_type[stay] == 1).astype(np.float32)),
        Unit2=pl.Series((cohort.unit_type[stay] == 2).astype(np.float32)),
        ICULOS=pl.Series(cohort.steps + 1),
        SepsisLabel=pl.Series(cohort.labels if cohort.labels is not None else []),
    )
    table.write_parquet(path)
    return path


@pytest.fixture
def small_config(tmp_path: Path) -> Path:
    shipped = (Path(__file__).parents[3] / "models" / "training.toml").read_text()
    path = tmp_path / "small.toml"
    for setting in ("hidden = 8", "epochs = 2", "group_size = 32", "averaging = 0.5", "learning_rate = 0.02"):
        shipped, found = re.subn(rf"(?m)^{setting.split()[0]} = \S+", setting, shipped)
        assert found == 1, setting
    path.write_text(shipped)
    assert load_training_config(path).hidden == 8
    return path


def test_a_file_becomes_an_artefact(tmp_path: Path, small_config: Path) -> None:
    cohort = made_up_cohort(0, stays=500, longest=20, signal=30.0)
    data, out = write(cohort, tmp_path / "stays.parquet"), tmp_path / "model"
    arguments = ["train", str(data), "--out", str(out), "--config", str(small_config), "--name", "mine", "--json"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    model = load_model(str(out))
    assert (model.name, model.digest) == ("mine", summary["digest"])
    assert model.weights.hidden == 8
    assert sorted(path.name for path in out.iterdir()) == [
        "curves.png",
        "manifest.json",
        "model.safetensors",
        "test-stays.txt",
    ]
    training = model.manifest.training
    assert training["split_digest"] == split(cohort).digest
    assert training["stays"]["test"] == summary["metrics"]["test_stays"]["stays"]
    assert set(training["libraries"]) == {"torch", "numpy", "polars"}
    figures = summary["metrics"]["test_stays"]
    assert figures["all"]["auroc_time_adjusted"]["low"] <= figures["all"]["auroc_time_adjusted"]["value"]
    assert figures["hours_only"]["auroc_time_adjusted"]["value"] == 0.5
    assert not {"brier", "ece", "calibration_slope", "calibration_intercept"} & set(figures["hours_only"])


def test_a_folder_that_holds_a_model_is_left_as_it_is_unless_told_otherwise(tmp_path: Path) -> None:
    data, out = write(made_up_cohort(0, stays=30, longest=5), tmp_path / "stays.parquet"), tmp_path / "model"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    arguments = ["train", str(data), "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "holds a model already" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    # With the flag it goes on to what it needs next.
    result = CliRunner().invoke(main, [*arguments, "--overwrite", "--config", str(tmp_path / "none.toml")])
    assert "none.toml" in result.stderr


def test_a_refit_takes_the_figures_over_and_keeps_the_shown_stays_out(tmp_path: Path, small_config: Path) -> None:
    cohort = made_up_cohort(0, stays=300, longest=20, signal=30.0)
    data = write(cohort, tmp_path / "stays.parquet")
    arguments = ["train", str(data), "--config", str(small_config), "--json", "--out"]
    first = CliRunner().invoke(main, [*arguments, str(tmp_path / "first")], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    shown = cohort.select(split(cohort).test & (np.arange(300) % 2 == 0))
    shown_file = write(shown, tmp_path / "shown.parquet")
    options = ["--refit", str(tmp_path / "first"), "--keep-out", str(shown_file)]
    again = CliRunner().invoke(main, [*arguments, str(tmp_path / "again"), *options], catch_exceptions=False)
    assert again.exit_code == 0, again.output
    one, two = (json.loads(result.stdout)["metrics"] for result in (first, again))
    assert one["test_stays"] == two["test_stays"]
    assert set((tmp_path / "again" / "test-stays.txt").read_text().split()) == set(shown.patient_ids)
    models = [load_model(str(tmp_path / name)) for name in ("first", "again")]
    assert two["measured_with_weights"] == models[0].manifest.weights_sha256 != models[1].manifest.weights_sha256


def test_a_model_of_one_hospital_is_measured_at_the_other(tmp_path: Path, small_config: Path) -> None:
    cohort = made_up_cohort(0, stays=300, longest=20, signal=30.0)
    data, out = write(cohort, tmp_path / "stays.parquet"), str(tmp_path / "model")
    arguments = ["train", str(data), "--config", str(small_config), "--out", out, "--hospital", "A"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "on 12 test stays" in result.stdout
    assert "on 150 stays of hospital B" in result.stdout
    manifest, there = load_model(out).manifest, np.array(cohort.hospitals) == "B"
    assert manifest.training["hospital"] == "A"
    assert manifest.training["stays"]["elsewhere"] == 150
    assert manifest.metrics["other_hospitals"]["B"]["all"]["auroc"]["value"] > 0.5
    unseen = split(cohort).within(cohort, "A").unseen
    assert set((tmp_path / "model" / "test-stays.txt").read_text().split()) == set(cohort.select(unseen).patient_ids)
    # The scales of the inputs, too, are the one hospital's.
    training = cohort.select(split(cohort).train & ~there)
    assert manifest.scaling == measure_scales(training)
    refit = CliRunner().invoke(main, [*arguments, "--overwrite", "--refit", out])
    assert (refit.exit_code, "--refit" in refit.stderr) == (2, True)


def test_a_training_that_learned_nothing_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, data = tmp_path / "model", write(made_up_cohort(0, stays=30, longest=5), tmp_path / "stays.parquet")
    out.mkdir()
    files = [out / f"{before}checkpoint.safetensors" for before in ("", "teacher-", "tutor-")]
    for file in files:
        file.touch()

    def nothing(*_: object, **__: object) -> None:
        msg = "the model has learned nothing"
        raise CalibrationError(msg)

    monkeypatch.setattr(train_command, "_train", lambda *_, **__: SimpleNamespace(weights=0, scales=0, hour_log_odds=0))
    monkeypatch.setattr(train_command, "_origin", lambda *_: {})
    monkeypatch.setattr(train_command, "release", nothing)
    result = CliRunner().invoke(main, ["train", str(data), "--out", str(out)])
    assert result.exit_code == 1
    assert "learned nothing" in result.stderr
    assert not any(file.exists() for file in files)


def test_failures_are_one_line(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=30, longest=5)
    data = write(cohort, tmp_path / "stays.parquet")
    unlabelled = tmp_path / "unlabelled.parquet"
    pl.read_parquet(data).drop("SepsisLabel").write_parquet(unlabelled)
    out = str(tmp_path / "model")
    empty = tmp_path / "empty.parquet"
    pl.read_parquet(data).with_columns(pl.col("Temp", "MAP") * np.nan).write_parquet(empty)
    for arguments, message in (
        ([str(empty), "--out", out], "no plausible value of Temp (25 to 45), MAP (20 to 300)"),
        ([str(unlabelled), "--out", out], "no SepsisLabel"),
        ([str(data), "--out", out, "--config", str(tmp_path / "none.toml")], "none.toml"),
    ):
        result = CliRunner().invoke(main, ["train", *arguments])
        assert result.exit_code == 1
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert CliRunner().invoke(main, ["train", str(data)]).exit_code == 2
