"""The documented rights are the ones that the tests grant, and that the command prints."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from agents.topics import Topics, topic_specs
from monitor.access import ROLES, grants, table
from monitor.cli import main

_PAGE = Path(__file__).parents[2] / "docs" / "security.md"
_ALL = grants(Topics(), "sepsis-monitor")


def test_the_page_has_the_table() -> None:
    assert f"<!-- acls -->\n{table(_ALL)}<!-- /acls -->\n" in _PAGE.read_text()


def test_nobody_but_workers_writes_what_workers_decide() -> None:
    topics = Topics()
    for decided in (topics.alert_events, topics.alert_state, topics.scores, topics.rejected):
        assert {one.role for one in _ALL if one.name == decided and "Write" in one.operations} == {"worker"}
    assert {one.role for one in _ALL} == set(ROLES)
    known = {spec.name for spec in topic_specs(topics)} | {"sepsis-monitor-patients-changelog"}
    assert {one.name for one in _ALL if one.resource == "topic"} == known


def test_the_command_prints_them_for_the_settings_in_force() -> None:
    environment = {"SEPSIS_MONITOR_TOPICS__PREFIX": "icu.", "SEPSIS_MONITOR_WORKER__GROUP": "ours"}
    printed = CliRunner().invoke(main, ["topics", "acls", "--json"], env=environment)
    assert len(json.loads(printed.stdout)) == len(_ALL)
    options = CliRunner().invoke(
        main, ["topics", "acls", "--role", "subscriber", "--principal", "User:pager"], env=environment
    )
    read = "--add --allow-principal 'User:pager' --operation Read "
    assert options.stdout.splitlines()[1:] == [
        f"{read}--topic 'icu.alerts.events.v1'",
        f"{read}--topic 'icu.alerts.state.v1'",
        f"{read}--group 'ours-subscriber-' --resource-pattern-type prefixed",
    ]
    assert CliRunner().invoke(main, ["topics", "acls", "--principal", "User:pager"]).exit_code == 2
