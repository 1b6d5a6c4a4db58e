"""Fixtures of all tests, and a configuration that does not depend on who runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

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
