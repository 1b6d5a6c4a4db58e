"""The canary against a real worker on a real broker: an alert comes, and its absence is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from agents.canary import is_canary
from agents.worker import partition_of
from monitor.canary import canary_of
from monitor.catalogue import CANARY_CATALOGUE, CATALOGUE, PREFIX
from monitor.metrics import Instruments
from tests.e2e.ward import PARTITIONS, Ward, open_ward


def test_each_partition_has_a_canary_of_its_own() -> None:
    names = [canary_of(partition, 7) for partition in range(7)]
    assert [partition_of(name.encode(), 7) for name in names] == list(range(7))
    assert all(map(is_canary, names))
    assert not is_canary("p000018")


def test_its_metrics_are_named_like_all_others_and_name_no_patient() -> None:
    names = [metric.name for metric in CANARY_CATALOGUE]
    assert len(set(names) | {metric.name for metric in CATALOGUE}) == len(names) + len(CATALOGUE)
    assert all(name.startswith(PREFIX) for name in names)
    assert {label for metric in CANARY_CATALOGUE for label in metric.labels} == {"partition"}
    Instruments(CANARY_CATALOGUE, CollectorRegistry())  # Prometheus takes them


def _canary(ward: Ward, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", "canary", "--once", *arguments]
    environment = {**os.environ, **ward.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.timeout(200)
def test_alerts_come_round_after_round_and_their_absence_is_seen(embedded_kafka: str, tmp_path: Path) -> None:
    with open_ward(embedded_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        for _ in range(2):  # the second stay of each canary begins after the first has ended
            heard = _canary(ward, "--json")
            assert heard.returncode == 0, heard.stderr
            found = json.loads(heard.stdout)
            assert sorted(found["alert_seconds"]) == [str(partition) for partition in range(PARTITIONS)]
            assert found["missed"] == []
        with urllib.request.urlopen(f"http://127.0.0.1:{ward.ports['worker-1']}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        assert 'sepsis_monitor_alerts_total{kind="sepsis_risk",priority="medium",transition="raised"} 0.0' in text
        events = ward.values(ward.topics.alert_events)
        assert [event["transition"] for event in events].count("raised") == 2 * PARTITIONS
        assert all(event["test"] for event in events)
        ward.kill()
        silent = _canary(ward, "--within", "1")
        assert silent.returncode == 1
        assert "no alert came from the partitions [0, 1, 2, 3] within 1 s" in silent.stderr
