"""`sepsis-monitor bench` as its user runs it: small, on Apache Kafka, with the plain loop beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest


def bench(apache_kafka: str, *asked: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "bench", *asked, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": apache_kafka},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.long
def test_a_small_run_gives_every_figure(apache_kafka: str) -> None:
    asked = ["--patients", "40", "--events", "2000", "--rate", "43", "--seconds", "3", "--baseline"]
    said = bench(apache_kafka, *asked)
    (run,) = said["runs"]
    assert (run["patients"], run["workers"]) == (40, 1)
    assert 0 < run["events"] <= 2_000
    measured = ("events_per_second", "cpu_seconds_per_million_events", "recovery_seconds", "baseline_events_per_second")
    ratios = ("cpu_ratio_to_baseline", "rate_ratio_to_baseline", "core_ratio_to_lstm", "state_bytes_per_patient")
    assert [name for name in measured if not run[name] > 0] == []
    assert [name for name in ratios if not said[name] > 0] == []
    worker, plain = said["latency"]
    assert (worker["engine"], plain["engine"]) == ("worker", "plain loop")
    for latency in (worker, plain):
        assert (latency["alerts"], latency["unanswered"]) == (6, 0)  # one observation in twenty is a new patient's
        assert latency["alert_ms"][0] > 0
        assert latency["alert_ms"][1:] == [None, None]  # of six
        assert 0 < latency["score_ms"][0] <= latency["score_ms"][1]
        assert latency["cpu_share"] > 0


@pytest.mark.long
def test_a_pace_that_nobody_reaches_is_told_as_what_it_came_to(apache_kafka: str) -> None:
    said = bench(apache_kafka, "--patients", "40", "--events", "400", "--rate", "20000", "--seconds", "1")
    (latency,) = said["latency"]
    assert 0 < latency["rate"] < 20_000
    assert latency["alerts"] + latency["unanswered"] == 1_000
    assert latency["alerts"] > 0
