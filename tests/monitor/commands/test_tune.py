"""`tune`: the table, the picture, and a policy file whose figures are those of stays that did not choose."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from agents.policy import chosen_for, load_policy
from models.artifact import load_model
from models.cohort import read_cohort
from models.scoring import score_cohort
from models.split import split
from monitor.alert_course import alert_course
from monitor.cli import main
from monitor.tuning import choosing_stays

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("tune")
    arguments = ["--budget", "0.4", "--bootstrap", "20", "--name", "icu", "--json"]
    files = ["--out", str(folder / "icu.toml"), "--picture", str(folder / "icu.png")]
    result = CliRunner().invoke(main, ["tune", str(DEMO), *arguments, *files], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert not result.stderr  # the model has not seen these stays
    return json.loads(result.stdout), folder


def test_the_policy_file_is_the_chosen_one(tuned: tuple[dict[str, Any], Path]) -> None:
    found, folder = tuned
    policy = load_policy(folder / "icu.toml")
    assert (policy.name, policy.version) == ("icu", found["date"])
    assert policy.raise_threshold == found["policy"]["raise_threshold"] == found["chosen"]["raise_threshold"]
    assert chosen_for(policy, load_model("bedside"))
    said = (folder / "icu.toml").read_text()
    assert found["model"]["digest"] in said
    assert f"{found['data']['judging']['stays']} other stays" in tomllib.loads(said)["chosen_by"]
    assert f"{found['floor']['highest_threshold']:.6f}" in said
    assert policy.budget is not None
    assert policy.budget.false_episodes_per_patient_day == 0.4
    assert policy.budget.highest_threshold == found["floor"]["highest_threshold"]
    assert policy.budget.lowest_threshold == found["lowest_threshold"] <= policy.raise_threshold
    chosen_by = tomllib.loads(said)["chosen_by"]
    floor = found["floor"]
    assert f"goes no higher; there it is {floor['judged']['value']:.0%} on the others" in chosen_by
    assert floor["judged"]["low"] <= floor["judged"]["value"] <= found["judged"]["septic_alerted"]["value"]
    assert "sepsis-monitor tune demo-stays.parquet --model bedside --budget 0.4 --floor 0.9, " in chosen_by
    assert (folder / "icu.png").read_bytes()[:4] == b"\x89PNG"


def test_the_budget_is_kept_by_the_stays_that_chose_and_figures_are_of_the_others(
    tuned: tuple[dict[str, Any], Path],
) -> None:
    found, folder = tuned
    assert found["chosen"]["false_per_patient_day"] <= 0.4
    whole, model = read_cohort(DEMO), load_model("bedside")
    cohort = whole.select(~choosing_stays(whole))
    assert found["data"]["judging"] == {"stays": cohort.n_stays, "septic_stays": int(cohort.septic.sum())}
    course = alert_course(cohort, score_cohort(model, cohort), load_policy(folder / "icu.toml"))
    ever = np.logical_or.reduceat(course.is_open, cohort.offsets[:-1])[~cohort.septic].mean()
    assert found["judged"]["other_ever_alerted"]["value"] == pytest.approx(ever)


def test_people_get_tables() -> None:
    result = CliRunner().invoke(main, ["tune", str(DEMO), "--budget", "0.5", "--bootstrap", "0"])
    assert result.exit_code == 0, result.output
    assert "stays that did not choose" in result.stdout
    assert result.stdout.count("chosen  ") == 1


def test_too_few_stays_are_a_failure_in_one_line(tmp_path: Path) -> None:
    cohort = read_cohort(DEMO)
    some = [cohort.patient_ids[int(np.flatnonzero(cohort.septic == septic)[0])] for septic in (True, False)]
    (tmp_path / "some.txt").write_text("\n".join(some))
    result = CliRunner().invoke(main, ["tune", str(DEMO), "--stays", str(tmp_path / "some.txt")])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("sepsis-monitor: each half of the stays needs septic ones")


def test_only_the_parts_that_are_named_take_part() -> None:
    whole = read_cohort(DEMO)
    of = split(whole).parts()
    arguments = ["--part", "validation", "--part", "calibration", "--budget", "5", "--bootstrap", "0", "--json"]
    result = CliRunner().invoke(main, ["tune", str(DEMO), *arguments])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)["data"]
    taken = data["choosing"]["stays"] + data["judging"]["stays"]
    assert taken == int((of["validation"] | of["calibration"]).sum()) < whole.n_stays


@pytest.mark.parametrize("option", ["--name", "--policy-version"])
def test_a_policy_without_a_name_is_wrong_usage(option: str) -> None:
    result = CliRunner().invoke(main, ["tune", str(DEMO), option, " "])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output


def test_headroom_is_told_and_the_budget_stays_whole(tmp_path: Path) -> None:
    arguments = [
        "--budget",
        "0.5",
        "--headroom",
        "0.1",
        "--bootstrap",
        "0",
        "--out",
        str(tmp_path / "p.toml"),
        "--json",
    ]
    result = CliRunner().invoke(main, ["tune", str(DEMO), *arguments], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["budget"] == {"false_episodes_per_patient_day": 0.5, "headroom": 0.1}
    assert found["chosen"]["false_per_patient_day"] <= 0.45
    budget = load_policy(tmp_path / "p.toml").budget
    assert budget is not None
    assert budget.false_episodes_per_patient_day == 0.5
    chosen_by = tomllib.loads((tmp_path / "p.toml").read_text())["chosen_by"]
    assert "--headroom 0.1 " in chosen_by
    assert "10% of them left free" in chosen_by
