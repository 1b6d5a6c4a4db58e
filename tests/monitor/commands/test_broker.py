"""The commands `broker` and `topics` as processes, on both engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.brokers.probe import answers
from tests.brokers import new_broker


def environment(data_dir: Path) -> dict[str, str]:
    return {**os.environ, "SEPSIS_MONITOR_BROKER__DATA_DIR": str(data_dir)}


def run(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", "--log-level", "warning", *arguments]
    return subprocess.run(command, env=environment(data_dir), capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def broker_process(data_dir: Path, engine: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Yield `broker --json` and what it printed."""
    command = [sys.executable, "-m", "monitor", "broker", "--engine", engine, "--json"]
    process = subprocess.Popen(
        command, env=environment(data_dir), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(120)


@pytest.mark.parametrize(("engine", "number"), [("embedded", signal.SIGINT), ("kafka", signal.SIGTERM)])
def test_a_broker_serves_other_commands_until_it_is_told_to_stop(
    engine: str, number: signal.Signals, tmp_path: Path
) -> None:
    new_broker(engine, tmp_path)
    with broker_process(tmp_path, engine) as (process, said):
        assert said["engine"] == engine
        assert answers(said["bootstrap_servers"])
        made = run(tmp_path, "topics", "create", "--json")
        assert made.returncode == 0, made.stderr
        assert {topic["state"] for topic in json.loads(made.stdout)} == {"created"}
        again = run(tmp_path, "topics", "list")
        assert again.stdout.count(" present ") == 8
        second = run(tmp_path, "broker", "--engine", engine)
        assert second.returncode == 1
        assert f"runs on {tmp_path} already, at {said['bootstrap_servers']}" in second.stderr
        process.send_signal(number)
        assert process.wait(120) == 0
    assert not answers(said["bootstrap_servers"])


def test_a_broker_that_dies_ends_the_command_with_its_name(tmp_path: Path) -> None:
    with broker_process(tmp_path, "embedded") as (process, said):
        os.kill(int(said["pid"]), signal.SIGKILL)
        assert process.wait(60) == 1


def test_topics_without_a_running_broker_start_one_and_keep_what_they_made(tmp_path: Path) -> None:
    assert run(tmp_path, "topics", "create", "--dry-run").stdout.count(" missing ") == 8
    assert run(tmp_path, "topics", "list").stdout.count(" missing ") == 8
    assert run(tmp_path, "topics", "create").stdout.count(" created ") == 8
    assert run(tmp_path, "topics", "create").stdout.count(" present ") == 8
    assert not (tmp_path / "broker.json").exists()
