"""Fixtures of all tests, and a configuration that does not depend on who runs them."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import structlog

from monitor.settings import ENV_PREFIX
from tests.brokers import apache_kafka, embedded_kafka

__all__ = ["apache_kafka", "embedded_kafka", "skipped_lines"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say at the end what was not run and why, so that a green run tells how much of it is green."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    for line in skipped_lines(reasons):
        terminalreporter.write_line(line, yellow=bool(reasons))


def skipped_lines(reasons: Iterable[str]) -> list[str]:
    """Return one line for each reason for which tests were skipped, those of most tests first."""
    counted = Counter(reason.removeprefix("Skipped: ") for reason in reasons)
    return [f"NOT RUN: {count} tests: {reason}" for reason, count in counted.most_common()] or ["NOT RUN: nothing"]


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take away the settings of whoever runs the tests, and keep local data out of their home folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(ENV_PREFIX) and "__" in name]:
            patch.delenv(name)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        yield


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a command that ran in this process has set up: its stream is closed by now."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    if root.handlers != handlers:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
