"""The command `budget` on real brokers: what it moves, once, whoever is killed when; and how it is put back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.messages import THRESHOLD_TYPE, UnitThreshold
from agents.policy import load_policy
from agents.sending import Outgoing
from monitor.brokers.probe import free_port
from monitor.budget.law import Measured
from monitor.budget.thresholds import memory_record, moved_to
from monitor.policy_file import policy_toml
from tests.e2e.ward import PARTITIONS, Ward, open_bare_ward, open_ward
from tests.monitor.budget.wards import BUDGET, POLICY, admitted, ended, hour, ms, seen
from tests.waiting import until


@contextmanager
def opened(bootstrap: str, folder: Path, **changes: Any) -> Iterator[Ward]:
    """Give a ward whose policy has a budget; `changes` are the policy's."""
    file = folder / "policy.toml"
    file.write_text(policy_toml(msgspec.structs.replace(POLICY, **changes), ""))
    with open_ward(bootstrap, folder, SEPSIS_MONITOR_POLICY__FILE=str(file)) as ward:
        yield ward


def fill(ward: Ward, hours: tuple[float, float], episodes: int, beds: int = 20, unit: str = "A") -> None:
    """Publish what a unit bore in some hours, as admissions feed and workers do."""
    topics, encode = ward.topics, msgspec.json.encode
    names = [f"{unit}{bed}" for bed in range(beds)]
    begin, end = hours
    ends = [begin + (number + 0.5) * (end - begin) / episodes for number in range(episodes)]
    events = [ended(f"{unit}-{at}", at, unit, policy=_identity(ward)) for at in ends]
    # In this order, as what has been counted up to a score must be there when the score is.
    ward.send(topics.alert_events, [(b"p", encode(event), []) for event in events])
    ward.send(topics.admissions, [(name.encode(), encode(admitted(name, 0, unit)), []) for name in names])
    ward.send(topics.scores, [(name.encode(), encode(seen(name, end)), []) for name in names])


def _identity(ward: Ward) -> Any:
    policy = load_policy(ward.settings.policy.file)
    return {"name": policy.name, "version": policy.version, "digest": policy.digest}


def run(ward: Ward, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ward.environment}
    command = [sys.executable, "-m", "monitor", "budget", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)


def said(ward: Ward, *arguments: str) -> dict[str, Any]:
    """Return the one line of JSON that the command prints."""
    done = run(ward, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def in_logs(ward: Ward) -> dict[int, list[UnitThreshold]]:
    """Return the thresholds that stand in each partition of the patients' logs."""
    found: dict[int, list[UnitThreshold]] = {partition: [] for partition in range(PARTITIONS)}
    for record in ward.records(ward.topics.observations):
        assert record.key is None
        assert dict(record.headers)["ce_type"] == THRESHOLD_TYPE.encode()
        found[record.partition].append(msgspec.json.decode(record.value, type=UnitThreshold))
    return found


def remembered(ward: Ward) -> list[UnitThreshold]:
    """Return all that stands in the topic of thresholds."""
    return [msgspec.json.decode(record.value, type=UnitThreshold) for record in ward.records(ward.topics.budgets)]


@pytest.mark.timeout(200)
def test_a_unit_that_bears_too_much_is_moved_once_and_put_back(apache_kafka: str, tmp_path: Path) -> None:
    with opened(apache_kafka, tmp_path) as ward:
        assert "no patient is known" in run(ward, "--dry-run").stdout
        fill(ward, (0, 26), 60)
        shown = said(ward, "--dry-run")
        assert (shown["unit"], shown["outcome"], shown["raise_threshold_after"]) == ("A", "moved", 0.022)
        assert in_logs(ward) == {partition: [] for partition in range(PARTITIONS)}

        done = said(ward, "--once")
        assert done == shown
        (moved,) = remembered(ward)
        assert (moved.unit, moved.raise_threshold, moved.counted_until) == ("A", 0.022, hour(26))
        assert in_logs(ward) == {partition: [moved] for partition in range(PARTITIONS)}

        # Asked again, it repeats what holds, for a crash may have come in between, and moves nothing.
        assert said(ward, "--once")["outcome"] == "waiting"
        assert remembered(ward) == [moved]
        assert in_logs(ward) == {partition: [moved, moved] for partition in range(PARTITIONS)}

        fill(ward, (26, 51), 60)  # a window later it is still too much
        assert said(ward, "--once")["raise_threshold_after"] == 0.0242

        assert said(ward, "--reset") == {"unit": "A", "raise_threshold": 0.02}
        last = remembered(ward)[-1]
        assert (last.raise_threshold, last.episodes) == (0.02, 0)
        assert all(records[-1] == last for records in in_logs(ward).values())
        assert said(ward, "--once")["raise_threshold"] == 0.02


@pytest.mark.timeout(200)
def test_a_newer_threshold_holds_whatever_was_written_over_it(embedded_kafka: str, tmp_path: Path) -> None:
    with opened(embedded_kafka, tmp_path) as ward:
        fill(ward, (0, 26), 60)
        policy = load_policy(ward.settings.policy.file)
        newer, older = (
            moved_to("A", policy, threshold, Measured(9, 20.0), until_ms=ms(at), now_ms=ms(at))
            for threshold, at in ((0.03, 25.0), (0.021, 24.0))
        )
        _remember(ward, memory_record(newer), memory_record(older))
        found = said(ward, "--once")
        assert (found["raise_threshold"], found["outcome"]) == (0.03, "waiting")
        assert remembered(ward)[-1] == newer
        assert all(records == [newer] for records in in_logs(ward).values())


def _remember(ward: Ward, *records: Outgoing) -> None:
    ward.send(ward.topics.budgets, list(records))


@contextmanager
def serving(ward: Ward, name: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    environment = {**os.environ, **ward.environment, "SEPSIS_MONITOR_HTTP__PORT": str(port)}
    with (ward.folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "budget", "--every", "1"], env=environment, stdout=log, stderr=log
        )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def metrics(port: int) -> dict[str, float]:
    """Return the samples of a controller, none while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    except OSError:
        return {}
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


_IN_CHARGE = "sepsis_monitor_budget_in_charge"
_THRESHOLD = 'sepsis_monitor_budget_raise_threshold{unit="A"}'


@pytest.mark.timeout(300)
def test_of_two_controllers_one_acts_and_the_other_takes_over_without_moving_again(
    apache_kafka: str, tmp_path: Path
) -> None:
    with opened(apache_kafka, tmp_path) as ward, serving(ward, "one") as (one, first):
        until(lambda: metrics(first).get(_IN_CHARGE) == 1, seconds=60, what="the first in charge")
        with serving(ward, "two") as (two, second):
            until(lambda: metrics(second).get(_IN_CHARGE) == 0, seconds=60, what="the second standing by")
            assert run(ward, "--once").returncode == 1
            fill(ward, (0, 26), 60)
            until(lambda: metrics(first).get(_THRESHOLD) == 0.022, seconds=30, what="the move")
            until(lambda: metrics(second).get(_THRESHOLD) == 0.022, seconds=30, what="the move seen by the other")
            shown = metrics(first)
            assert shown['sepsis_monitor_budget_moves_total{unit="A"}'] == 1
            assert shown['sepsis_monitor_budget_allowed_false_episodes_per_patient_day{unit="A"}'] == 0.5
            assert shown['sepsis_monitor_budget_at_limit{limit="highest",unit="A"}'] == 0
            one.kill()
            one.wait()
            until(lambda: metrics(second).get(_IN_CHARGE) == 1, seconds=60, what="the second in charge")
            until(lambda: all(len(some) == 2 for some in in_logs(ward).values()), what="the repeat in the logs")
            (moved,) = remembered(ward)
            assert in_logs(ward) == {partition: [moved, moved] for partition in range(PARTITIONS)}
            with urllib.request.urlopen(f"http://127.0.0.1:{second}/readyz", timeout=5) as answer:
                assert answer.status == 200
            two.send_signal(signal.SIGTERM)
            assert two.wait(timeout=20) == 0
            assert remembered(ward) == [moved]


def test_workers_under_another_policy_are_told_of(embedded_kafka: str, tmp_path: Path) -> None:
    with opened(embedded_kafka, tmp_path) as ward:
        fill(ward, (0, 26), 60)
        here = said(ward, "--dry-run")
        assert here["policy_at_work"] == here["policy"]["digest"]
        assert "another policy" not in run(ward, "--dry-run").stdout
        file = Path(ward.environment["SEPSIS_MONITOR_POLICY__FILE"])
        file.write_text(policy_toml(msgspec.structs.replace(POLICY, version="2"), ""))
        there = said(ward, "--dry-run")
        assert there["policy_at_work"] == here["policy_at_work"] != there["policy"]["digest"]
        assert "its last alert moved under another policy" in run(ward, "--dry-run").stdout


@pytest.mark.timeout(200)
def test_on_a_local_broker_the_next_one_is_in_charge_after_a_kill(tmp_path: Path) -> None:
    local = {"SEPSIS_MONITOR_BROKER__DATA_DIR": str(tmp_path / "broker"), "SEPSIS_MONITOR_BROKER__ENGINE": "embedded"}
    with open_bare_ward("127.0.0.1:1", tmp_path, local) as ward:
        cluster = "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS"
        ward.environment = {name: value for name, value in ward.environment.items() if name != cluster}
        with serving(ward, "one") as (one, first):
            until(lambda: metrics(first).get(_IN_CHARGE) == 1, seconds=60, what="the first in charge")
            done = run(ward, "--once")
            assert done.returncode == 1
            assert "another controller of the live budget is in charge" in done.stderr
            one.kill()
            one.wait()
            with serving(ward, "two") as (_, second):
                until(lambda: metrics(second).get(_IN_CHARGE) == 1, seconds=60, what="the second in charge")


def test_a_dry_run_makes_no_topic(embedded_kafka: str, tmp_path: Path) -> None:
    with open_bare_ward(embedded_kafka, tmp_path, {}) as ward:
        for _ in range(2):
            done = run(ward, "--dry-run")
            assert done.returncode == 1
            assert "`sepsis-monitor topics create` makes it" in done.stderr


def test_without_a_budget_nothing_is_moved(embedded_kafka: str, tmp_path: Path) -> None:
    with opened(embedded_kafka, tmp_path, budget=None) as ward:
        fill(ward, (0, 26), 60)
        found = said(ward, "--once")
        assert (found["outcome"], found["allowed_false_episodes_per_patient_day"]) == ("off", None)
        assert found["false_episodes_per_patient_day"] == pytest.approx(60 / 20 * 24 / 26, abs=0.2)
        assert "nothing to put back" in run(ward, "--reset").stdout
        assert remembered(ward) == []
        assert all(records == [] for records in in_logs(ward).values())


def test_units_that_cannot_be_wards_are_refused(embedded_kafka: str, tmp_path: Path) -> None:
    with opened(embedded_kafka, tmp_path) as ward:
        encode = msgspec.json.encode
        names = [f"bed{bed}" for bed in range(301)]
        topics = ward.topics
        ward.send(topics.admissions, [(name.encode(), encode(admitted(name, 0, name)), []) for name in names])
        ward.send(topics.scores, [(name.encode(), encode(seen(name, 5)), []) for name in names])
        done = run(ward, "--once")
        assert done.returncode == 1
        assert "name 301 units" in done.stderr


def test_what_does_not_belong_together_is_wrong_usage(tmp_path: Path) -> None:
    for arguments in (["--unit", "A"], ["--reset", "--once"], ["--reset", "--dry-run"]):
        done = subprocess.run(
            [sys.executable, "-m", "monitor", "budget", *arguments], capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 2, arguments


def test_the_limits_are_those_of_the_policy() -> None:
    assert BUDGET.lowest_threshold < POLICY.raise_threshold < BUDGET.highest_threshold
