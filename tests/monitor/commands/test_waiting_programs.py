"""Canary, notifier and live budget where no cluster answers: they wait, and say so; with --once it is a failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.topics import Topics, topic_specs
from monitor.brokers.probe import free_port
from monitor.cli import main
from monitor.settings import load_settings
from monitor.topic_admin import create_topics
from tests.brokers import new_broker
from tests.waiting import until

_PROGRAMS = {"canary": "broker", "notify": "kafka", "budget": "kafka"}  # and the check that fails meanwhile


def words_of(name: str, folder: Path) -> list[str]:
    """Return how a program is started; the notifier with a receiver that nobody asks."""
    if name != "notify":
        return [name]
    (folder / "secret").write_text("a secret of a test\n")
    receivers = folder / "receivers.toml"
    receivers.write_text('[[receivers]]\nname = "pager"\nurl = "http://127.0.0.1:1/"\nsecret_file = "secret"\n')
    return [name, str(receivers), "--state", str(folder / "state")]


@dataclass
class Program:
    """One of them, as a process."""

    name: str
    folder: Path
    kafka_port: int
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", *self.words], env=self.environment, stdout=log, stderr=log
            )

    @property
    def words(self) -> list[str]:
        """What to run."""
        receivers = self.folder / "receivers.toml"
        (self.folder / "secret").write_text("a secret of a test\n")
        receivers.write_text('[[receivers]]\nname = "pager"\nurl = "http://127.0.0.1:1/"\nsecret_file = "secret"\n')
        return (
            [self.name, str(receivers), "--state", str(self.folder / "state")] if self.name == "notify" else [self.name]
        )

    @property
    def environment(self) -> dict[str, str]:
        """Its configuration."""
        return {
            **os.environ,
            "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{self.kafka_port}",
            "SEPSIS_MONITOR_HTTP__PORT": str(self.port),
            "SEPSIS_MONITOR_LOG__FORMAT": "json",
        }

    def failing(self) -> list[str] | None:
        """Return the checks for which /readyz says no; None where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return list(json.load(answer))
        except urllib.error.HTTPError as error:
            return list(json.load(error))
        except OSError:
            return None

    def log(self) -> str:
        """Return what it has said."""
        return (self.folder / "log").read_text()


@pytest.fixture(params=_PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    running = Program(request.param, tmp_path, free_port())
    yield running
    running.process.kill()
    running.process.wait()


def test_it_waits_for_the_cluster_and_then_works(program: Program, tmp_path: Path) -> None:
    waits_for = _PROGRAMS[program.name]
    until(lambda: program.failing() == [waits_for], what="not ready, and why")
    until(lambda: "cluster_unavailable" in program.log(), seconds=60, what="the reason in the log")
    assert program.process.poll() is None
    broker = new_broker("embedded", tmp_path / "broker")
    broker.port = program.kafka_port
    broker.start()
    try:
        if program.name == "notify":  # the others make the topics that they need
            until(lambda: "there is no topic" in program.log(), seconds=60, what="the missing topic in the log")
            create_topics(broker.bootstrap_servers, load_settings(), topic_specs(Topics()))
        until(lambda: program.failing() not in (None, [waits_for]), seconds=60, what=program.log()[-2000:])
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(45) == 0
    finally:
        broker.stop()
    assert "Traceback" not in program.log()


def test_it_can_be_told_to_stop_meanwhile(program: Program) -> None:
    until(lambda: "cluster_unavailable" in program.log(), seconds=60, what="waiting")
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(30) == 0
    assert "Traceback" not in program.log()


@pytest.mark.parametrize("name", _PROGRAMS)
def test_what_ends_by_itself_fails_in_one_line(name: str, tmp_path: Path) -> None:
    environment = {"SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    said = CliRunner().invoke(main, [*words_of(name, tmp_path), "--once"], env=environment)
    assert (said.exit_code, len(said.stderr.splitlines())) == (1, 1)
    assert "check that it runs there" in said.stderr
