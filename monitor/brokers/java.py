"""Finds a Java that runs Apache Kafka 4."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from monitor.errors import Failure

__all__ = ["find_java"]

_LEAST = 17
_HINT = (
    f"install Java {_LEAST} or newer (Debian, Ubuntu: apt-get install openjdk-17-jre-headless), or set JAVA_HOME to one"
)


def find_java(java_home: Path | None) -> Path:
    """Return the program java of `java_home`, else of PATH; Failure with what to install where it does not do."""
    found = str(java_home / "bin" / "java") if java_home is not None else shutil.which("java")
    if found is None or not Path(found).is_file():
        where = f"{java_home} has no bin/java" if java_home is not None else "there is no java on PATH"
        msg = f"Apache Kafka needs Java, and {where}: {_HINT}"
        raise Failure(msg)
    version = _major_version(found)
    if version < _LEAST:
        msg = f"Apache Kafka 4 needs Java {_LEAST}, and {found} is {version or 'of an unknown version'}: {_HINT}"
        raise Failure(msg)
    return Path(found)


def _major_version(java: str) -> int:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if match else 0
