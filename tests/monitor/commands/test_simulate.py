"""`simulate` over a data set: before and after in one report, for people and programs."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from monitor.cli import main

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"
STRICT = 'name = "strict"\nversion = "1"\nmodel = "bedside 1.4.0"\nraise_threshold = 0.05\nresolve_threshold = 0.04\n'


def test_a_stricter_policy_beside_the_one_in_force(tmp_path: Path) -> None:
    (tmp_path / "strict.toml").write_text(STRICT)
    result = CliRunner().invoke(main, ["simulate", str(DEMO), "--policy", str(tmp_path / "strict.toml"), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    before, after = found["before"], found["after"]
    assert (before["policy"]["name"], after["policy"]["name"]) == ("pager", "strict")
    assert before["alerts"] > after["alerts"] > 0
    assert before["septic_alerted"] > after["septic_alerted"]
    assert len(found["only_before"]) > 0
    assert len(found["stays_only_before"]) == before["stays_alerted"] - after["stays_alerted"] > 0
    assert (
        found["stays_only_after"] == found["only_after"] == []
    )  # at a higher threshold there is no alert without one at the lower


def test_the_policy_in_force_beside_itself_changes_nothing() -> None:
    result = CliRunner().invoke(main, ["simulate", str(DEMO)])
    assert result.exit_code == 0, result.output
    assert "Alerts only before: 0; only after: 0." in result.stdout
    assert "Stays alerted only before: 0; only after: 0." in result.stdout
    assert not result.stderr  # the model has not seen these stays


def test_stays_that_the_model_may_have_learned_from_are_told(tmp_path: Path) -> None:
    table = pl.read_parquet(DEMO).with_columns(pl.concat_str(pl.lit("other-"), "patient_id").alias("patient_id"))
    table.write_parquet(tmp_path / "stays.parquet")
    result = CliRunner().invoke(main, ["simulate", str(tmp_path / "stays.parquet")])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("cannot be told") == 1  # one model, one warning


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("DATA", "--policy", "MICU=a.toml"), "in no unit"),
        (("--policy", "a.toml", "--policy", "b.toml"), "two policies"),
        (("--policy", "MICU=a.toml", "--policy", "MICU=b.toml"), "each unit once"),
        (("--policy", "MICU="), "UNIT=FILE"),
    ],
)
def test_policies_that_cannot_be_tried_together_are_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["simulate", *(str(DEMO) if each == "DATA" else each for each in arguments)])
    assert result.exit_code == 2
    assert said in result.output


def test_a_file_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "a=b.toml").write_text(STRICT)
    result = CliRunner().invoke(main, ["simulate", str(DEMO), "--policy", str(tmp_path / "a=b.toml"), "--json"])
    assert json.loads(result.stdout)["after"]["policy"]["name"] == "strict"


def test_stays_without_data_are_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "stays.txt").write_text("p000001")
    result = CliRunner().invoke(main, ["simulate", "--stays", str(tmp_path / "stays.txt")])
    assert result.exit_code == 2
