"""Fixtures of all tests, and a configuration that does not depend on who runs them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from monitor.settings import ENV_PREFIX
from tests.brokers import apache_kafka, embedded_kafka

__all__ = ["apache_kafka", "embedded_kafka"]


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
