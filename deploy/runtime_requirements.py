"""Prints what a running service needs of the project's dependencies: all but those for training; or those alone.

python deploy/runtime_requirements.py pyproject.toml > runtime.txt
python deploy/runtime_requirements.py pyproject.toml --training > training.txt
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

__all__ = ["FOR_TRAINING", "runtime_requirements", "training_requirements"]

FOR_TRAINING = frozenset({"torch", "matplotlib"})


def runtime_requirements(pyproject: str) -> list[str]:
    """Return the requirements of a pyproject.toml, in its order, without those of `FOR_TRAINING`."""
    return [line for line in _dependencies(pyproject) if _name_of(line) not in FOR_TRAINING]


def training_requirements(pyproject: str) -> list[str]:
    """Return the requirements that a running service does not need: of `FOR_TRAINING`, and the group `train`."""
    group: list[str] = tomllib.loads(pyproject)["dependency-groups"]["train"]
    return [line for line in _dependencies(pyproject) if _name_of(line) in FOR_TRAINING] + group


def _dependencies(pyproject: str) -> list[str]:
    found: list[str] = tomllib.loads(pyproject)["project"]["dependencies"]
    return found


def _name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


if __name__ == "__main__":
    wanted = training_requirements if "--training" in sys.argv[2:] else runtime_requirements
    sys.stdout.write("\n".join(wanted(Path(sys.argv[1]).read_text(encoding="utf-8"))) + "\n")
