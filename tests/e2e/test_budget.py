"""The live budget on real processes: a ward bears too much, its threshold moves in the log, workers alert by it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agents.decoding import Limits
from agents.messages import THRESHOLD_TYPE, AlertEvent, UnitThreshold
from agents.policy import Budget, load_policy
from models.artifact import load_model
from models.cohort import Cohort
from monitor.brokers.probe import free_port
from monitor.policy_file import policy_toml
from monitor.replay import ReplayOptions, ReplayStream
from monitor.simulation import LogSide
from tests.e2e.ward import PARTITIONS, Ward, open_ward, real_stays
from tests.waiting import until

# So small a budget that any ward exceeds it, over so short a window that one replay is enough.
_BUDGET = Budget(0.02, 0.01, 0.06, window_hours=12.0, least_patient_days=1.0, step=0.5)
_SHORT, _LONG = 20, 40  # rows of a stay
_STAYS = 60


def _policy(folder: Path) -> Path:
    file = folder / "policy.toml"
    file.write_text(policy_toml(msgspec.structs.replace(load_policy(), budget=_BUDGET), ""))
    return file


def _streams() -> list[ReplayStream]:
    """Return two lots of real stays, all of one length more or less, the second a day after the first."""
    whole = real_stays(600, seed=11)
    fit = np.flatnonzero((whole.lengths >= _SHORT) & (whole.lengths <= _LONG))
    end = datetime.now(UTC)
    lots = (fit[:_STAYS], fit[_STAYS : 2 * _STAYS])
    return [
        ReplayStream(_some(whole, lot), ReplayOptions(seed=1, spread_hours=4.0), end - timedelta(hours=back))
        for lot, back in zip(lots, (60, 0), strict=True)
    ]


def _some(whole: Cohort, lot: Any) -> Cohort:
    keep = np.zeros(whole.n_stays, dtype=np.bool_)
    keep[lot] = True
    return whole.select(keep)


def _in_logs(ward: Ward) -> dict[int, list[UnitThreshold]]:
    found: dict[int, list[UnitThreshold]] = {partition: [] for partition in range(PARTITIONS)}
    for record in ward.records(ward.topics.observations):
        if dict(record.headers).get("ce_type") == THRESHOLD_TYPE.encode():
            found[record.partition].append(msgspec.json.decode(record.value, type=UnitThreshold))
    return found


def _remembered(ward: Ward) -> list[UnitThreshold]:
    return [msgspec.json.decode(record.value, type=UnitThreshold) for record in ward.records(ward.topics.budgets)]


def _environment(ward: Ward) -> dict[str, str]:
    return {**os.environ, **ward.environment, "SEPSIS_MONITOR_HTTP__PORT": str(free_port())}


@contextmanager
def _controller(ward: Ward) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "monitor", "budget", "--every", "1"]
    with ward.log_of("budget").open("ab") as log:
        process = subprocess.Popen(command, env=_environment(ward), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _said(ward: Ward, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return what the command says, by unit."""
    command = [sys.executable, "-m", "monitor", "budget", "--json", *arguments]
    done = subprocess.run(command, env=_environment(ward), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {line["unit"]: line for line in map(json.loads, done.stdout.splitlines())}


def _at_work(ward: Ward) -> dict[str, float]:
    """Return the thresholds by which the worker alerts, by unit, as its metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ward.ports['worker-1']}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    name = "sepsis_monitor_raise_threshold{"
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}


def _raised(ward: Ward) -> list[AlertEvent]:
    events = [msgspec.convert(value, AlertEvent) for value in ward.values(ward.topics.alert_events)]
    return [each for each in events if (each.kind, each.transition) == ("sepsis_risk", "raised")]


@pytest.mark.timeout(400)
def test_a_ward_that_bears_too_much_is_alerted_at_a_higher_risk_once(apache_kafka: str, tmp_path: Path) -> None:
    file = _policy(tmp_path)
    own = load_policy(file).raise_threshold
    first, second = _streams()
    with open_ward(apache_kafka, tmp_path, SEPSIS_MONITOR_POLICY__FILE=str(file)) as ward:
        ward.start()
        ward.wait_ready()
        ward.replay(first)
        ward.drain()
        wanted = {unit for unit, look in _said(ward, "--dry-run").items() if look["outcome"] == "moved"}
        assert wanted
        assert not any(_in_logs(ward).values())

        with _controller(ward) as process:
            until(lambda: all(len(some) == len(wanted) for some in _in_logs(ward).values()), seconds=60, what="moves")
            process.kill()
        moved = {each.unit: each for each in _remembered(ward)}
        assert moved.keys() == wanted
        assert all(own < each.raise_threshold <= own * 1.5 for each in moved.values())
        with _controller(ward) as process:
            until(
                lambda: all(len(some) == 2 * len(wanted) for some in _in_logs(ward).values()),
                seconds=60,
                what="repeats",
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        assert {each.unit: each for each in _remembered(ward)} == moved
        assert len(_remembered(ward)) == len(moved)  # not moved again, only told again

        ward.drain()
        until(lambda: all(_at_work(ward).get(unit) == each.raise_threshold for unit, each in moved.items()))
        before = {each.event_id for each in _raised(ward)}
        ward.replay(second)
        ward.drain()
        later = [each for each in _raised(ward) if each.event_id not in before]
        thresholds = {unit: each.raise_threshold for unit, each in moved.items()}
        assert any(each.unit in wanted for each in later)
        assert {each.threshold for each in _raised(ward) if each.event_id in before} == {own}
        assert all(each.threshold == thresholds.get(each.unit or "", own) for each in later)

        back = _said(ward, "--reset")
        assert {unit: each["raise_threshold"] for unit, each in back.items()} == dict.fromkeys(wanted, own)
        ward.drain()
        until(lambda: set(_at_work(ward).values()) == {own}, what="the policy's own threshold")
        _a_replay_sees_the_same(ward)


def _a_replay_sees_the_same(ward: Ward) -> None:
    """Work the log off once more, without controller or files: the same alerts, at the same thresholds."""
    side = LogSide(load_model("bedside"), load_policy(), Limits(), PARTITIONS, as_named=True)
    by_partition = defaultdict(list)
    for record in ward.records(ward.topics.observations):
        by_partition[record.partition].append(record)
    for partition, records in by_partition.items():
        side.take(partition, records)
    published = {value["event_id"]: value for value in ward.values(ward.topics.alert_events)}
    assert {each.event_id: each.threshold for each in side.events} == {
        name: value["threshold"] for name, value in published.items()
    }
