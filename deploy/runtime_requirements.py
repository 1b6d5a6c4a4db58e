"""Prints what a running service needs of the project's dependencies: all but those for training.

python deploy/runtime_requirements.py pyproject.toml > runtime.txt
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

__all__ = ["FOR_TRAINING", "runtime_requirements"]

FOR_TRAINING = frozenset({"torch", "matplotlib"})


def runtime_requirements(pyproject: str) -> list[str]:
    """Return the requirements of a pyproject.toml, in its order, without those of `FOR_TRAINING`."""
    wanted = tomllib.loads(pyproject)["project"]["dependencies"]
    return [line for line in wanted if re.split(r"[^\w.-]", line, maxsplit=1)[0] not in FOR_TRAINING]


if __name__ == "__main__":
    sys.stdout.write("\n".join(runtime_requirements(Path(sys.argv[1]).read_text(encoding="utf-8"))) + "\n")
