"""`evaluate`: every figure it promises, for people and programs, and honest about stays the model has seen."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from models.artifact import load_model, model_folder
from models.boosting import Boosting, BoostingError
from models.cohort import read_cohort
from models.metrics import normalised_utility
from models.scoring import score_cohort
from models.vital_signs import NAMES
from monitor.cli import main

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"
FIGURES = {
    *("auroc", "auroc_time_adjusted", "auprc", "auroc_first_48h", "auroc_time_adjusted_first_48h", "auprc_first_48h"),
    *("auroc_per_stay", "utility", "brier", "calibration_slope", "calibration_intercept", "ece"),
}


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    result = CliRunner().invoke(main, ["evaluate", str(DEMO), "--json", "--bootstrap", "20"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_view_has_every_figure_with_its_interval(evaluation: dict[str, Any]) -> None:
    assert set(evaluation["views"]) == {"all", "three_vital_signs", "without_admission"}
    for view in evaluation["views"].values():
        assert set(view["overall"]) == FIGURES
        assert {"A", "B"} <= set(view["by"]["hospital"])
        assert set(view["baselines"]) == {
            *("hours_only", "sirs_partial", "qsofa_partial", "news2_partial", "mews_partial")
        }
        for figure in view["overall"].values():
            assert figure["low"] <= figure["value"] + 1e-9 or figure["high"] >= figure["value"]
        assert view["baselines"]["hours_only"]["figures"]["auroc_time_adjusted"]["value"] == 0.5
    assert "accuracy" not in json.dumps(evaluation)


def test_the_utility_is_the_official_one_at_the_models_threshold(evaluation: dict[str, Any]) -> None:
    model, cohort = load_model("bedside"), read_cohort(DEMO)
    flags = score_cohort(model, cohort).risk >= model.utility_threshold
    expected = normalised_utility(cohort.known_labels, cohort.offsets, flags)
    assert evaluation["views"]["all"]["overall"]["utility"]["value"] == pytest.approx(expected, abs=1e-9)


def test_alarms_health_and_cold_starts_are_there(evaluation: dict[str, Any]) -> None:
    view = evaluation["views"]["all"]
    assert set(view["alarms"]) == {"whole_stay", "first_48h"}
    alarms = view["alarms"]["whole_stay"]
    assert 0 < alarms["septic_alerted"]["value"] <= 1
    assert alarms["lead_hours_median"]["value"] <= 12
    assert len(view["alarm_curve"]["first_48h"]) > 10
    assert view["health"]["days"] == 14
    assert set(view["cold_start"]) == {"state_kept", "state_emptied", "loss"}
    assert view["leads"]["whole_stay"]["septic_stays"] == 40


def test_the_demonstrations_stays_are_known_to_be_unseen(evaluation: dict[str, Any]) -> None:
    assert evaluation["provenance"] == {"unseen": 200, "seen": 0, "unknown": 0, "warning": ""}


def test_people_get_tables_and_a_warning(tmp_path: Path) -> None:
    renamed = pl.read_parquet(DEMO).with_columns(patient_id=pl.col("patient_id") + "-elsewhere")
    renamed.write_parquet(tmp_path / "other.parquet")
    arguments = ["evaluate", str(tmp_path / "other.parquet"), "--bootstrap", "0", "--vitals", "heart_rate,temperature"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "cannot be told" in result.stderr
    for words in (
        "time-adjusted AUROC",
        "NEWS2 (partial)",
        "alert episodes a patient-day",
        "Health and cold starts",
        "Health made otherwise",
    ):
        assert words in result.stdout
    assert "ccuracy" not in result.stdout


def test_the_figures_are_those_of_the_stays_asked_for(tmp_path: Path) -> None:
    cohort = read_cohort(DEMO)
    chosen = [name for i, name in enumerate(cohort.patient_ids) if i % 2]
    (tmp_path / "stays.txt").write_text("\n".join(chosen))
    arguments = ["evaluate", str(DEMO), "--bootstrap", "0", "--hide", "age", "--json"]
    result = CliRunner().invoke(main, [*arguments, "--stays", str(tmp_path / "stays.txt")], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["data"]["stays"] == 100
    assert found["views"]["as_given"]["hidden"] == ["age"]
    model, half = load_model("bedside"), cohort.select(np.isin(cohort.patient_ids, chosen))
    flags = score_cohort(model, half, hide=frozenset({"age"})).risk >= model.utility_threshold
    expected = normalised_utility(half.known_labels, half.offsets, flags)
    assert found["views"]["as_given"]["overall"]["utility"]["value"] == pytest.approx(expected, abs=1e-9)


def test_failures_are_said(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("nobody\n")
    pl.read_parquet(DEMO).drop("SepsisLabel").write_parquet(tmp_path / "unlabelled.parquet")
    empty = pl.read_parquet(DEMO).with_columns(pl.col("HR", "Resp", "Temp", "O2Sat", "SBP", "DBP", "MAP") * np.nan)
    empty.write_parquet(tmp_path / "empty.parquet")
    cases = [
        ([str(tmp_path / "empty.parquet")], 1, "no plausible value of HR (20 to 300), Resp"),
        ([str(DEMO), "--stays", str(tmp_path / "none.txt")], 1, "patient_id"),
        ([str(tmp_path / "unlabelled.parquet")], 1, "SepsisLabel"),
        ([str(DEMO), "--lightgbm", str(tmp_path)], 1, ""),
        ([str(DEMO), "--vitals", "pulse"], 2, "heart_rate"),
    ]
    for arguments, code, message in cases:
        result = CliRunner().invoke(main, ["evaluate", *arguments])
        assert result.exit_code == code
        assert message in result.stderr
        assert code == 2 or len(result.stderr.strip().splitlines()) == 1  # nothing else before it
        assert result.stdout == ""


def test_a_baseline_is_never_left_out_unsaid(tmp_path: Path) -> None:
    half = [name for i, name in enumerate(read_cohort(DEMO).patient_ids) if i % 4 == 0]
    (tmp_path / "stays.txt").write_text("\n".join(half))
    arguments = ["evaluate", str(DEMO), "--bootstrap", "0", "--json", "--stays", str(tmp_path / "stays.txt")]
    textbook = [*arguments, "--textbook", str(model_folder("bedside").parent / "textbook")]
    result = CliRunner().invoke(main, [*textbook, "--vitals", "heart_rate"], catch_exceptions=False)
    assert "textbook" in json.loads(result.stdout)["views"]["as_given"]["baselines"]


def test_a_baseline_that_cannot_be_shown_as_much_is_refused() -> None:
    known = frozenset({"heart_rate", "respiratory_rate", "temperature"})
    assert Boosting.check(known, frozenset()) == "three_vital_signs"
    assert Boosting.check(frozenset(NAMES), frozenset()) == "all"
    for vitals, hide in ((frozenset({"heart_rate"}), frozenset[str]()), (None, frozenset({"sex"}))):
        with pytest.raises(BoostingError, match="without LightGBM"):
            Boosting.check(vitals, hide)


def test_it_imports_neither_torch_nor_the_stream_engine() -> None:
    code = (
        "import sys; from monitor.cli import main; "
        "main(sys.argv[1:], standalone_mode=False); "
        "sys.exit(sorted({'torch', 'faust', 'aiokafka', 'matplotlib', 'lightgbm'} & set(sys.modules)) or 0)"
    )
    arguments = ["evaluate", str(DEMO), "--bootstrap", "0", "--json", "--vitals", "heart_rate"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
