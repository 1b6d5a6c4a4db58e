"""What the Dockerfile rests on: its inputs are there, and a worker needs nothing of what is left out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.runtime_requirements import FOR_TRAINING, runtime_requirements
from tests.deploy.promql import DEPLOY
from tests.deploy.settings_named import unknown

_ROOT = DEPLOY.parent
_FOR_THE_IMAGE = ["serve", "canary", "notify", "budget", "topics", "alerts", "replay", "config"]
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
    assert re.search(r"^USER 10001:10001$", _DOCKERFILE, re.MULTILINE)
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+$", _DOCKERFILE, re.MULTILINE)


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


def test_what_the_image_is_for_runs_without_what_is_left_out() -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(FOR_TRAINING)}));"
        "from monitor.cli import main;"
        f"[main([name, '--help'], standalone_mode=False) for name in {_FOR_THE_IMAGE}]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
