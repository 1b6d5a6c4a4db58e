"""What the Dockerfile rests on: its inputs are there, and a worker needs nothing of what is left out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.runtime_requirements import FOR_TRAINING, runtime_requirements, training_requirements
from tests.deploy.promql import DEPLOY, read_yaml
from tests.deploy.settings_named import unknown

_ROOT = DEPLOY.parent
_FOR_THE_IMAGE = ["serve", "canary", "notify", "budget", "topics", "alerts", "replay", "config", "simulate", "bench"]
_STAYS = _ROOT / "monitor" / "data" / "demo-stays.parquet"
_DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = set(re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", _DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (_ROOT / source).exists(), source
            assert source in kept, source


def test_the_image_sets_settings_that_there_are_and_is_not_root() -> None:
    assert unknown(re.findall(r"SEPSIS_MONITOR_\w+", _DOCKERFILE)) == []
    (config,) = re.findall(r"SEPSIS_MONITOR_CONFIG=(\S+)", _DOCKERFILE)
    assert f"install -D -m 0644 /dev/null {config}\n" in _DOCKERFILE  # whoever mounts none has an empty one
    for target in ("workbench", "service"):
        assert re.findall(r"^USER (.+)$", stage(target), re.MULTILINE) == ["10001:10001"], target
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+$", _DOCKERFILE, re.MULTILINE)


def stage(name: str) -> str:
    """Return the text of a stage of the Dockerfile."""
    (text,) = re.findall(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", _DOCKERFILE, re.MULTILINE | re.DOTALL)
    return str(text)


def test_there_are_two_targets_and_the_service_is_the_default() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", _DOCKERFILE, re.MULTILINE)
    assert stages == [
        ("${PYTHON_IMAGE}", "build"),
        ("build", "build-workbench"),
        ("${PYTHON_IMAGE}", "base"),
        ("base", "workbench"),
        ("base", "service"),
    ]
    assert "COPY --from=build /opt/sepsis-monitor /opt/sepsis-monitor\n" in stage("service")
    assert "COPY --from=build-workbench /opt/sepsis-monitor /opt/sepsis-monitor\n" in stage("workbench")
    assert re.search(r"^ARG TORCH_INDEX=https://\S+/cpu$", stage("build-workbench"), re.MULTILINE)
    compose = read_yaml(DEPLOY / "compose.yaml")["services"]
    assert {name: one["build"]["target"] for name, one in compose.items() if "build" in one} == {
        name: "workbench" if name == "workbench" else "service" for name in compose if "build" in compose[name]
    }


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("there is no hadolint")
    done = subprocess.run(
        [hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_training_is_left_out_and_nothing_else() -> None:
    pyproject = (_ROOT / "pyproject.toml").read_text()
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in runtime_requirements(pyproject)}
    assert not names & FOR_TRAINING
    assert {"faust-streaming", "kafka-python", "numpy", "noida-db"} <= names
    training = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in training_requirements(pyproject)}
    assert training == {*FOR_TRAINING, "lightgbm", "optuna"}
    printed = subprocess.run(
        [sys.executable, str(DEPLOY / "runtime_requirements.py"), str(_ROOT / "pyproject.toml"), "--training"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert printed.stdout.splitlines() == training_requirements(pyproject)


def test_what_the_image_is_for_runs_without_what_is_left_out() -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(FOR_TRAINING)}));"
        "from monitor.cli import main;"
        f"[main([name, '--help'], standalone_mode=False) for name in {_FOR_THE_IMAGE}]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("bench", "--picture", "x.png"), "matplotlib"),
        (("tune", str(_STAYS), "--budget", "0.5", "--picture", "x.png"), "matplotlib"),
        (("train", str(_STAYS), "--out", "x"), "torch"),
    ],
)
def test_what_needs_more_says_so_in_one_line(tmp_path: Path, words: tuple[str, ...], missing: str) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(FOR_TRAINING)}));"
        f"from monitor.cli import main; main({list(words)})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"sepsis-monitor: `{words[0]}` needs {missing} for what it is asked")
    assert "`workbench`" in line
