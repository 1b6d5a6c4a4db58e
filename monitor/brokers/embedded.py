"""The embedded broker, noida-db from the Python package index: for the demo and for quick tests.

It does not keep what a real cluster promises: it writes its whole state about a second after a change and never syncs
it, so that a kill loses the last second or two of acknowledged records; and it never expires a dead consumer, which
static member ids mend. The start log says so.
"""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path

from monitor.brokers.process import BrokerProcess
from monitor.errors import Failure

__all__ = ["EmbeddedBroker"]

_EXECUTABLE = 0o100


class EmbeddedBroker(BrokerProcess):
    """noida-db on one data folder and one port of loopback."""

    engine = "embedded"
    start_seconds = 30.0  # milliseconds when empty; it reads its whole state first
    stop_seconds = 60.0  # it writes its whole state last
    clean_exits = frozenset({0})

    def _prepare(self) -> None:
        (self.data_dir / "embedded").mkdir(exist_ok=True)

    def _command(self) -> list[str]:
        place = ["--kafka-port", str(self.port), "--data-dir", str(self.data_dir / "embedded")]
        return [str(_binary()), "start", "--only", "kafka", *place]

    def _environment(self) -> Mapping[str, str]:
        return os.environ


def _binary() -> Path:
    """Return the server itself: the package's own launcher is a Python process that leaves it behind when killed."""
    try:
        binary = Path(str(importlib.resources.files("noida_db"))) / "noida-db"
    except ModuleNotFoundError as error:
        msg = "the embedded broker is not installed; install the package noida-db, or set broker.engine to kafka"
        raise Failure(msg) from error
    if not binary.is_file():
        msg = f"the embedded broker has no program for this platform ({binary}); set broker.engine to kafka"
        raise Failure(msg)
    mode = binary.stat().st_mode
    if not mode & _EXECUTABLE:
        binary.chmod(mode | _EXECUTABLE)
    return binary
