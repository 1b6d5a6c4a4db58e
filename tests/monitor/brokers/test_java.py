"""What is said where Apache Kafka cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.brokers import local_broker
from monitor.brokers.java import find_java
from monitor.errors import Failure
from monitor.settings import load_settings


def java(folder: Path, says: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    program.chmod(0o755)
    return folder


def test_a_java_that_is_new_enough_is_found(tmp_path: Path) -> None:
    home = java(tmp_path, 'openjdk version "17.0.15" 2025-04-15')
    assert find_java(home) == home / "bin" / "java"


@pytest.mark.parametrize(
    ("says", "called"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "is 11"),
        ('java version "1.8.0_292"', "is 8"),
        ("what?", "is of an unknown version"),
    ],
)
def test_another_java_is_refused_with_what_to_install(tmp_path: Path, says: str, called: str) -> None:
    with pytest.raises(Failure, match="needs Java 17") as caught:
        find_java(java(tmp_path, says))
    assert called in str(caught.value)
    assert "openjdk-17-jre-headless" in str(caught.value)


def test_a_missing_java_is_told_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="there is no java on PATH: install Java 17"):
        find_java(None)
    with pytest.raises(Failure, match="has no bin/java: install Java 17"):
        find_java(tmp_path)


def test_a_missing_kafka_is_told_with_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    with pytest.raises(Failure, match="KAFKA_HOME is not set: download"):
        local_broker(load_settings(None, {"broker.engine": "kafka"}), tmp_path)
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(Failure, match="is no distribution of Apache Kafka"):
        local_broker(load_settings(None, {"broker.engine": "kafka"}), tmp_path)
