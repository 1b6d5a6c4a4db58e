"""`score`: a row for a row, the service's own alerts, and failures in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from agents.policy import load_policy
from models.artifact import load_model
from models.cohort import read_cohort
from models.doubt import NO_SIGN, REASONS
from models.scoring import score_cohort
from models.vital_signs import NAMES
from monitor.cli import main

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"
SHIPPED = f"bedside {load_model('bedside').version}"


def score(out: Path, *arguments: str, file: Path = DEMO) -> pl.DataFrame:
    result = CliRunner().invoke(main, ["score", str(file), "--out", str(out), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return pl.read_parquet(out)


def policy_file(folder: Path, raise_at: float, resolve_at: float) -> Path:
    path = folder / "policy.toml"
    path.write_text(
        f'name = "test"\nversion = "1"\nmodel = "{SHIPPED}"\n'
        f"raise_threshold = {raise_at}\nresolve_threshold = {resolve_at}\n"
    )
    return path


def test_every_row_has_its_result_in_the_order_of_the_file(tmp_path: Path) -> None:
    table = score(tmp_path / "out.parquet")
    source = pl.read_parquet(DEMO)
    assert table.columns == [
        *("patient_id", "row", "risk", "flag"),
        *("assessable", "doubt", "doubt_vital_sign", "alerting"),
    ]
    assert table["patient_id"].equals(source["patient_id"])
    expected = source.select(row=pl.int_range(pl.len(), dtype=pl.Int32).over("patient_id"))["row"]
    assert table["row"].equals(expected)
    scored = score_cohort(load_model("bedside"), read_cohort(DEMO))
    assert np.array_equal(table["risk"].to_numpy(), scored.risk)
    assert np.array_equal(table["assessable"].to_numpy(), scored.assessable)
    assert table["doubt"].to_list() == [REASONS[code] if code else None for code in scored.doubt.reason]
    named = [None if sign == NO_SIGN else NAMES[sign] for sign in scored.doubt.sign.tolist()]
    assert table["doubt_vital_sign"].to_list() == named
    flagged = scored.risk >= load_model("bedside").utility_threshold
    assert np.array_equal(table["flag"].to_numpy(), flagged)


def test_alerts_are_those_of_the_policy_row_by_row(tmp_path: Path) -> None:
    policy = policy_file(tmp_path, 0.02, 0.015)
    table = score(tmp_path / "out.parquet", "--policy", str(policy))
    cohort, rules = read_cohort(DEMO), load_policy(policy)
    scored = score_cohort(load_model("bedside"), cohort)
    alerting = table["alerting"].to_numpy()
    assert 0 < alerting.sum() < len(alerting)
    for stay in range(cohort.n_stays):
        is_open = False
        for row in range(cohort.offsets[stay], cohort.offsets[stay + 1]):
            if scored.observed[row] and scored.assessable[row]:
                is_open = scored.risk[row] >= (rules.resolve_threshold if is_open else rules.raise_threshold)
            assert alerting[row] == is_open


def test_what_is_hidden_changes_the_risk_as_removing_it_would(tmp_path: Path) -> None:
    hidden = score(
        tmp_path / "hidden.parquet",
        *("--vitals", "heart_rate,temperature,respiratory_rate", "--hide", "hospital_admitted,unit_type,age,sex"),
    )
    pl.read_parquet(DEMO).select("patient_id", "HR", "Temp", "Resp", "ICULOS").write_parquet(tmp_path / "three.parquet")
    removed = score(tmp_path / "removed.parquet", file=tmp_path / "three.parquet")
    assert hidden.equals(removed)
    assert not hidden["risk"].equals(score(tmp_path / "all.parquet")["risk"])


def test_the_summary_for_programs(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["score", str(DEMO), "--out", str(tmp_path / "out.parquet"), "--json"])
    summary = json.loads(result.stdout)
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert summary["stays"] == 200
    assert summary["rows"] == len(table)
    assert summary["flagged_rows"] == table["flag"].sum()
    assert summary["model"]["digest"] == load_model("bedside").digest
    assert summary["policy"]["digest"] == load_policy().digest


def test_a_policy_that_was_chosen_for_another_model_is_said(tmp_path: Path) -> None:
    arguments = ["score", str(DEMO), "--out", str(tmp_path / "out.parquet"), "--json"]
    assert CliRunner().invoke(main, arguments).stderr == ""
    policy = policy_file(tmp_path, 0.02, 0.015)
    policy.write_text(policy.read_text().replace(SHIPPED, "bedside 0.0.1"))
    result = CliRunner().invoke(main, [*arguments, "--policy", str(policy)])
    assert result.exit_code == 0
    assert f"was chosen for the model bedside 0.0.1, not for {SHIPPED}" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "no-such-model"], 1, "bedside"),
        (["--policy", "no-such-policy.toml"], 1, "policy"),
        (["--vitals", "pulse"], 2, "heart_rate"),
        (["--hide", "weight"], 2, "unit_type"),
        (["--vitals", ","], 2, "heart_rate"),
    ],
)
def test_failures_are_said(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(main, ["score", str(DEMO), "--out", str(tmp_path / "out.parquet"), *arguments])
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "out.parquet").exists()


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("text")
    result = CliRunner().invoke(main, ["score", str(tmp_path / "text.parquet"), "--out", str(tmp_path / "out.parquet")])
    assert result.exit_code == 1
    assert "not a readable Parquet file" in result.stderr
    result = CliRunner().invoke(main, ["score", str(DEMO), "--out", str(tmp_path / "none" / "out.parquet")])
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_scoring_imports_neither_torch_nor_the_stream_engine(tmp_path: Path) -> None:
    code = (
        "import sys; from monitor.cli import main; "
        "main(sys.argv[1:], standalone_mode=False); "
        "sys.exit(sorted({'torch', 'faust', 'aiokafka', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    arguments = ["score", str(DEMO), "--out", str(tmp_path / "out.parquet")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
