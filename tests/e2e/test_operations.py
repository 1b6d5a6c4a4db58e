"""What is on call sees: the shipped rules, on real Prometheus and Alertmanager, tell of four faults that are provoked.

Everything shipped is used, a hundred times faster.
"""

from __future__ import annotations

import math
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.replay import ReplayOptions, ReplayStream
from tests.deploy.dashboards import DASHBOARDS, panels_of
from tests.deploy.promql import DEPLOY
from tests.e2e.operations import Feed, Operations, faster, open_operations
from tests.e2e.ward import real_stays
from tests.prometheus import tool
from tests.waiting import until

_RUNBOOKS = DEPLOY.parent / "docs" / "runbooks"


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    tool("prometheus")  # before anything is started
    with open_operations(tmp_path_factory.mktemp("operations")) as running:
        yield running


@pytest.fixture(scope="module")
def feed(operations: Operations) -> Iterator[Feed]:
    """Real stays, replayed, and patients who are measured now; then Prometheus and Alertmanager."""
    stream = ReplayStream(real_stays(4, seed=3), ReplayOptions(seed=1), datetime.now(UTC) - timedelta(hours=1))
    operations.watch()
    live = Feed(operations.ward)
    operations.ward.replay(stream)
    yield live
    live.stop()


def test_durations_are_divided_and_nothing_else() -> None:
    rule = 'expr: a:b:rate5m{le=~"1"} > 0.5 and rate(c[5m] offset 1d) / d:e:3d > 1200)\nfor: 2m\ntext: 30 days, 1 s'
    assert faster(rule) == (
        'expr: a:b:rate5m{le=~"1"} > 0.5 and rate(c[3000ms] offset 864000ms) / d:e:3d > 12)\n'
        "for: 1200ms\ntext: 30 days, 1 s"
    )


@pytest.mark.usefixtures("feed")
def test_promtool_finds_nothing_to_say_of_a_live_scrape(operations: Operations) -> None:
    for port in (
        operations.ward.ports["worker-1"],
        *(operations.ports[name] for name in ("canary", "notify", "budget")),
    ):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read()
        checked = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
        assert b"sepsis_monitor_process_resident_memory_bytes" in text


@pytest.mark.usefixtures("feed")
def test_every_panel_of_the_dashboards_returns_data(operations: Operations) -> None:
    missing: list[tuple[str, str]] = []

    def all_return_data() -> bool:
        missing[:] = [
            (panel.title, expression)
            for dashboard in DASHBOARDS
            for panel in panels_of(dashboard)
            for expression, _ in panel.asked("5s")
            if not any(math.isfinite(float(series["value"][1])) for series in operations.query(expression))
        ]
        return not missing

    try:
        until(all_return_data, seconds=40)
    except AssertionError:
        pytest.fail(f"no data: {missing}")


def test_each_fault_is_told_of_and_nothing_before(operations: Operations, feed: Feed) -> None:
    hooks, ward = operations.webhooks, operations.ward
    until(lambda: hooks.alert("SepsisMonitorDeadManSwitch", path="/dead-man"), what="the heartbeat of monitoring")
    dead = f"127.0.0.1:{ward.ports['worker-2']}"
    expected: list[tuple[str, dict[str, str]]] = [
        ("SepsisMonitorTargetDown", {"instance": dead}),
        ("SepsisMonitorNoObservations", {}),
        ("SepsisMonitorRejectedShare", {}),
        ("SepsisMonitorNotReady", {"check": "broker"}),
    ]
    assert [name for name, labels in expected if hooks.alert(name, **labels)] == []
    ward.kill("worker-2")
    feed.stop()
    keys = [f"p{number}".encode() for number in range(20)]  # of all partitions, the living worker's among them
    bad: list[tuple[bytes, bytes, list[Any]]] = [(key, b'{"patient_id": "' + key, []) for key in keys]

    def told_while_bad_events_come() -> bool:
        ward.send(ward.topics.observations, bad)
        return all(hooks.alert(name, **labels) for name, labels in expected[:3])

    until(told_while_bad_events_come, seconds=60, what="a dead worker, a silent feed and bad events told of")
    operations.broker.kill()
    until(lambda: hooks.alert(*expected[3][:1], **expected[3][1]), seconds=60, what="the broker's absence told of")
    for name, labels in expected:
        found = hooks.alert(name, **labels)
        assert found is not None
        _has_a_runbook(found)
    assert ward.log().count("broker_silent") == 1
    assert not [alert for path, alert in hooks.arrived if path == "/clinical" and "labels" in alert]


def _has_a_runbook(alert: dict[str, Any]) -> None:
    """See that an alert leads to its page, says what it is about, and names no patient."""
    page = Path(alert["annotations"]["runbook_url"]).name
    assert (_RUNBOOKS / page).read_text().startswith(f"# {alert['labels']['alertname']}\n")
    assert set(alert["labels"]) <= {"alertname", "severity", "job", "instance", "check"}
    said = str(alert)
    assert "{{" not in said
    assert "live0" not in said
