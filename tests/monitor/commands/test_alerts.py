"""The command `alerts` against alert events on the embedded broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest

from monitor.settings import Settings, load_settings
from tests.monitor.alert_examples import alert
from tests.monitor.commands.alert_topic import publish, variables

SECONDS = 60


def command(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **variables(settings), "PYTHONUTF8": "1"}
    program = [sys.executable, "-m", "monitor", "alerts", *arguments]
    return subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def printed(settings: Settings, *arguments: str) -> list[str]:
    process = command(settings, *arguments)
    stdout, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, stderr
    return stdout.splitlines()


def test_repeats_and_foreign_records_are_left_out_and_the_rest_is_as_received(settings: Settings) -> None:
    first, second = alert(), alert(event_id="event-2", transition="resolved")
    publish(settings, [first, first, b"not an alert", second, first])
    assert printed(settings, "--json") == [msgspec.json.encode(event).decode() for event in (first, second)]


def test_filters_choose(settings: Settings) -> None:
    publish(settings, [alert(event_id="a"), alert(event_id="b", unit="B-SICU"), alert(event_id="c", priority="low")])
    assert [json.loads(line)["event_id"] for line in printed(settings, "--json", "--unit", "B-SICU")] == ["b"]
    chosen = printed(settings, "--json", "--priority", "low", "--kind", "sepsis_risk")
    assert [json.loads(line)["event_id"] for line in chosen] == ["c"]


def test_a_group_reads_on_after_what_it_has_printed(settings: Settings) -> None:
    publish(settings, [alert(event_id=f"event-{number}") for number in range(5)])
    lines = printed(settings, "--json", "--group", "pager", "--max", "2")
    lines += printed(settings, "--json", "--group", "pager")
    assert [json.loads(line)["event_id"] for line in lines] == [f"event-{number}" for number in range(5)]
    assert printed(settings, "--json", "--group", "pager") == []
    assert len(printed(settings, "--json", "--group", "other")) == 5


def test_a_reader_that_has_enough_ends_the_command_with_success_and_without_a_word(settings: Settings) -> None:
    publish(settings, [alert(event_id=f"event-{number}") for number in range(2000)])
    process = command(settings, "--json", "--follow")
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in range(3)]
    assert [json.loads(line)["event_id"] for line in lines] == ["event-0", "event-1", "event-2"]
    process.stdout.close()
    assert process.wait(SECONDS) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_following_with_success(settings: Settings, number: signal.Signals) -> None:
    publish(settings, [alert()])
    process = command(settings, "--follow")
    assert process.stdout is not None
    assert "RAISED" in process.stdout.readline()
    process.send_signal(number)
    assert process.wait(SECONDS) == 0
    process.communicate()


def test_a_topic_that_is_not_there_is_one_clear_line(embedded_kafka: str) -> None:
    settings = load_settings(None, {"kafka.bootstrap_servers": embedded_kafka, "topics.prefix": "nowhere."})
    process = command(settings)
    stdout, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stdout) == (1, "")
    assert stderr.startswith("sepsis-monitor: there is no topic nowhere.alerts.events.v1")
    assert stderr.count("\n") == 1
