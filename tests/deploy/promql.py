"""What PromQL speaks of, held against the catalogue: a panel or a rule on a metric that is not there is silent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from monitor.catalogue import PREFIX
from monitor.metrics_page import PROGRAMS

__all__ = ["DEPLOY", "problems_of", "read_yaml", "recorded", "rules_of"]

DEPLOY = Path(__file__).parents[2] / "deploy"
_RULES = DEPLOY / "prometheus" / "rules"
_SERIES = re.compile(rf"({PREFIX}\w+|sepsis_monitor:[\w:]+)(?:\{{([^}}]*)\}})?")
_MATCHER = re.compile(r"(\w+)\s*(=~|!=|!~|=)\s*\"([^\"]*)\"")
_FROM_SCRAPES = {"job", "instance"}
_SUFFIXES = ("_bucket", "_sum", "_count")


def read_yaml(path: Path) -> Any:
    """Return what a YAML file says."""
    return yaml.safe_load(path.read_text())


def rules_of(name: str) -> list[dict[str, Any]]:
    """Return the rules of one of deploy/prometheus/rules."""
    return [rule for group in read_yaml(_RULES / f"{name}.yml")["groups"] for rule in group["rules"]]


def recorded() -> dict[str, str]:
    """Return the expressions that are recorded, by name."""
    return {rule["record"]: rule["expr"] for rule in rules_of("recording")}


def problems_of(expression: str) -> list[str]:
    """Return what an expression speaks of that no program exports and no rule records; labels and their values too."""
    problems = []
    for name, selector in _SERIES.findall(expression):
        matchers = _MATCHER.findall(selector)
        if ":" in name:
            problems += [] if name in recorded() else [f"{name} is not recorded"]
            continue
        allowed = _labels_of(name)
        if allowed is None:
            problems.append(f"{name} is in no catalogue")
            continue
        for label, operator, value in matchers:
            if label not in allowed:
                problems.append(f"{name} has no label {label}")
            elif operator == "=" and allowed[label] and value not in allowed[label]:
                problems.append(f"{name} never has {label}={value}")
    return problems


def _labels_of(name: str) -> dict[str, set[str]] | None:
    """Return the labels of a series with their values, where those are known; None for no series of ours."""
    for metric in (metric for _, _, catalogue in PROGRAMS for metric in catalogue):
        parts = [metric.name + suffix for suffix in _SUFFIXES] if metric.kind == "histogram" else [metric.name]
        if name not in parts:
            continue
        labels: dict[str, set[str]] = {label: set() for label in _FROM_SCRAPES}
        for at, label in enumerate(metric.labels):
            labels[label] = {child[at] for child in metric.children if metric.kind != "info"}
        if name.endswith("_bucket"):
            labels["le"] = {"+Inf", *(str(float(bound)) for bound in metric.buckets)}
        return labels
    return None
