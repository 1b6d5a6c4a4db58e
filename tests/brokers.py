"""Real brokers for tests: the embedded one always, Apache Kafka where the machine has it.

Where Java 17 or KAFKA_HOME is missing, tests on Apache Kafka are skipped with the reason and what to install. With
SEPSIS_MONITOR_REQUIRE_KAFKA=1 they fail instead, so that a release cannot pass without them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.brokers import local_broker
from monitor.brokers.process import BrokerProcess
from monitor.errors import Failure
from monitor.settings import load_settings

__all__ = ["ENGINES", "apache_kafka", "embedded_kafka", "kafka_available", "new_broker"]

ENGINES = ("embedded", "kafka")
_REQUIRE = "SEPSIS_MONITOR_REQUIRE_KAFKA"


def kafka_available() -> str | None:
    """Return None where Apache Kafka can be started here, else why not and what to install."""
    try:
        local_broker(load_settings(None, {"broker.engine": "kafka"}), Path("unused"))
    except Failure as failure:
        return str(failure)
    return None


def new_broker(engine: str, data_dir: Path) -> BrokerProcess:
    """Return a broker on `data_dir` that is not started yet, for tests that stop or kill it.

    Skips the test, or fails it when SEPSIS_MONITOR_REQUIRE_KAFKA is 1, where Apache Kafka is wanted and missing.
    """
    reason = kafka_available() if engine == "kafka" else None
    if reason is not None:
        if os.environ.get(_REQUIRE) == "1":
            pytest.fail(f"{_REQUIRE}=1, but {reason}", pytrace=False)
        pytest.skip(f"needs Apache Kafka: {reason}")
    return local_broker(load_settings(None, {"broker.engine": engine, "broker.port": 0}), data_dir)


def _serving(engine: str, factory: pytest.TempPathFactory) -> Iterator[str]:
    broker = new_broker(engine, factory.mktemp(engine))
    broker.start()
    try:
        yield broker.bootstrap_servers
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of one Apache Kafka that the whole session shares: use topic names of your own."""
    yield from _serving("kafka", tmp_path_factory)


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of one embedded broker that the whole session shares: use topic names of your own."""
    yield from _serving("embedded", tmp_path_factory)
