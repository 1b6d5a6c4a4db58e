"""What the operating documents name is there: metrics, commands, runbooks, scenarios."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.catalogue import PREFIX
from monitor.cli import main
from monitor.metrics_page import PROGRAMS

_DOCS = Path(__file__).parents[1] / "docs"
_METRICS = {metric.name for _, _, catalogue in PROGRAMS for metric in catalogue}
_PAGES = ("operating", "upgrade", "safety", "threat-model", "privacy")


@pytest.mark.parametrize("page", _PAGES)
def test_metrics_and_commands_that_a_page_names_are_there(page: str) -> None:
    text = (_DOCS / f"{page}.md").read_text()
    assert set(re.findall(rf"`({PREFIX}\w+)`", text)) <= _METRICS
    commands = set(main.list_commands(main.make_context("sepsis-monitor", ["config"])))
    assert set(re.findall(r"`sepsis-monitor (\w+)", text)) <= commands


def test_what_is_said_to_be_tried_is() -> None:
    tried = (_DOCS / "guarantees.md").read_text()
    section = (_DOCS / "upgrade.md").read_text().split("## What is tried")[1]
    for scenario in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", section):
        assert f"| {scenario} " in tried, scenario


@pytest.mark.parametrize("page", _PAGES)
def test_parts_of_pages_that_are_linked_to_are_there(page: str) -> None:
    for name, anchor in re.findall(r"\]\(([\w./-]+\.md)#([\w-]+)\)", (_DOCS / f"{page}.md").read_text()):
        headings = re.findall(r"^#+ (.+)$", (_DOCS / name).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, (name, anchor)
