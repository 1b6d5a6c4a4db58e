"""Configuration, rules, their cases and their runbooks hold together, and promtool agrees."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agents.rejection import REASONS
from tests.deploy.promql import DEPLOY, problems_of, read_yaml, recorded, rules_of
from tests.prometheus import tool

_FOLDER = DEPLOY / "prometheus"
_RUNBOOKS = DEPLOY.parent / "docs" / "runbooks"
_CASES = sorted((_FOLDER / "tests").glob("*.yml"))
_ALERTS = {rule["alert"]: rule for rule in rules_of("alerts")}
_ALWAYS = {"SepsisMonitorDeadManSwitch"}  # it has no quiet case: that it fires is its purpose
_HEADINGS = ["What it means", "For patients", "What to look at", "What to do"]


def _check(*command: str, folder: Path = _FOLDER) -> None:
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def _cases() -> list[dict[str, Any]]:
    return [case for path in _CASES for case in read_yaml(path)["tests"]]


def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    _check(tool("promtool"), "check", "config", "prometheus.yml")


def test_alertmanager_takes_its_configuration() -> None:
    _check(tool("amtool"), "check-config", "alertmanager.yml")


def test_the_heartbeat_goes_out_every_minute() -> None:
    """Each `group_interval` Alertmanager sends what went out longer ago than `repeat_interval`: as long is a race."""
    (route,) = [
        one for one in read_yaml(_FOLDER / "alertmanager.yml")["route"]["routes"] if one["receiver"] == "dead-man"
    ]
    assert route["group_interval"] == "1m"
    assert 30 <= int(route["repeat_interval"].removesuffix("s")) < 60


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_every_rule_fires_and_stays_quiet_as_its_cases_say(path: Path) -> None:
    _check(tool("promtool"), "test", "rules", path.name, folder=path.parent)


@pytest.mark.parametrize("alert", _ALERTS)
def test_an_alert_has_both_cases_a_runbook_and_a_severity(alert: str) -> None:
    tried = [check for case in _cases() for check in case["alert_rule_test"] if check["alertname"] == alert]
    assert any(check["exp_alerts"] for check in tried), "no case in which it fires"
    assert alert in _ALWAYS or any(not check["exp_alerts"] for check in tried), "no case in which it stays quiet"
    rule = _ALERTS[alert]
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page = _RUNBOOKS / rule["annotations"]["runbook_url"].removeprefix("{{ $externalLabels.runbooks }}/")
    assert page.read_text().startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == _HEADINGS
    assert f"[{alert}]({page.name}) |" in (_RUNBOOKS / "README.md").read_text()


def test_a_runbook_is_of_an_alert() -> None:
    pages = {path.name for path in _RUNBOOKS.glob("*.md")} - {"README.md"}
    assert pages == {rule["annotations"]["runbook_url"].rsplit("/", 1)[1] for rule in _ALERTS.values()}


def test_rules_speak_of_metrics_that_exist() -> None:
    for name, expression in {**recorded(), **{name: rule["expr"] for name, rule in _ALERTS.items()}}.items():
        assert problems_of(expression) == [], name


def test_runbooks_speak_of_metrics_that_exist() -> None:
    for path in _RUNBOOKS.glob("*.md"):
        for code in re.findall(r"`([^`]+)`", path.read_text()):
            assert [problem for problem in problems_of(code) if "is in no catalogue" not in problem] == [], path.name
            for name in re.findall(r"sepsis_monitor[_:][\w:]+", code):
                assert _exists(name), (path.name, name)


def test_the_runbook_of_refused_events_knows_every_reason() -> None:
    rows = re.findall(r"^\| (`.+`) \|", (_RUNBOOKS / "rejected-share.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(REASONS)


def _exists(name: str) -> bool:
    return any(not problems_of(name + suffix) for suffix in ("", "_count"))  # of a histogram, its bare name


def test_cases_are_made_of_series_that_exist() -> None:
    for case in _cases():
        for series in case["input_series"]:
            assert problems_of(series["series"]) == [], case["name"]


def test_what_is_not_ours_is_found() -> None:
    assert problems_of("rate(sepsis_monitor_patients_total[5m])") == [
        "sepsis_monitor_patients_total is in no catalogue"
    ]
    assert problems_of('sepsis_monitor_open_alerts{bed="4"}') == ["sepsis_monitor_open_alerts has no label bed"]
    assert problems_of('sepsis_monitor_open_alerts{phase="open"}') == [
        "sepsis_monitor_open_alerts never has phase=open"
    ]
    assert problems_of("sepsis_monitor:no_such:rate5m") == ["sepsis_monitor:no_such:rate5m is not recorded"]
    assert problems_of("sepsis_monitor_batch_seconds") == ["sepsis_monitor_batch_seconds is in no catalogue"]


def test_clinical_alerts_are_no_matter_of_alertmanager() -> None:
    """What leaves Prometheus names no patient: no rule keeps a label but those that are known beforehand."""
    kept = set(re.findall(r"\{\{ \$labels\.(\w+) \}\}", (_FOLDER / "rules" / "alerts.yml").read_text()))
    assert kept <= {"job", "instance", "check", "partition", "receiver", "vital_sign", "unit", "file", "reason"}
