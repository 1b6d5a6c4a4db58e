"""Alerting rules with one number changed, to see whether the cases of a rule would notice.

A case that fires however high the threshold is, or stays quiet however long the rule waits, holds nothing. So each
number of an expression is made four times larger and smaller, a comparison with nought is turned, and each `for` is
taken away and made four times longer: the cases of that alert must not pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.deploy.promql import DEPLOY, read_yaml, recorded

__all__ = ["Mutant", "mutants_of", "write_cases"]

_CASES = sorted((DEPLOY / "prometheus" / "tests").glob("*.yml"))
# A literal: no part of a name or a length of time, not within a string, and no factor behind another one.
_NUMBER = re.compile(r'(?<![\w:."])(?<!\d \* )\d+(?:\.\d+)?(?![\w:."\]])')
_NOUGHT = re.compile(r"([><=!]=?) 0(?![\w.])")
_TURNED = {">": ">=", ">=": ">", "<": "<=", "<=": "<", "==": "!=", "!=": "=="}
_LENGTH = re.compile(r"(\d+)([smhd])")
_WITHIN = "mutated"
_TIMES = 4


@dataclass(frozen=True)
class Mutant:
    """A rule that is wrong in one place, and where."""

    what: str
    rule: dict[str, Any]


def mutants_of(rule: dict[str, Any]) -> Iterator[Mutant]:
    """Yield the mutants of an alerting rule."""
    expression = rule["expr"]
    for found in _NUMBER.finditer(expression):
        value = float(found[0])
        for changed in (value * _TIMES, value / _TIMES) if value else ():
            mutated = f"{expression[: found.start()]}{changed:g}{expression[found.end() :]}"
            yield Mutant(f"{found[0]} at {found.start()} is {changed:g}", {**rule, "expr": mutated})
    for found in _NOUGHT.finditer(expression):
        mutated = f"{expression[: found.start()]}{_TURNED[found[1]]} 0{expression[found.end() :]}"
        yield Mutant(f"{found[0]} at {found.start()} is {_TURNED[found[1]]} 0", {**rule, "expr": mutated})
    if "for" in rule:
        length = _LENGTH.fullmatch(rule["for"])
        assert length is not None, rule["for"]
        for wait in ("0s", f"{int(length[1]) * _TIMES}{length[2]}"):
            yield Mutant(f"for is {wait}", {**rule, "for": wait})


def write_cases(folder: Path, name: str, rule: dict[str, Any]) -> list[Path]:
    """Write a rule, what it needs of the recorded ones, and its cases into `folder`; return the files of cases."""
    alert = rule["alert"]
    rules = folder / f"{name}-rules.yml"
    groups = [
        {"name": "recorded", "rules": [{"record": one, "expr": recorded()[one]} for one in _needed(rule["expr"])]},
        {"name": _WITHIN, "rules": [rule]},
    ]
    rules.write_text(yaml.safe_dump({"groups": [group for group in groups if group["rules"]]}))
    written = []
    for path in _CASES:
        said = read_yaml(path)
        cases = [
            {**case, "alert_rule_test": checks}
            for case in said["tests"]
            if (checks := [one for one in case["alert_rule_test"] if one["alertname"] == alert])
        ]
        if cases:
            file = folder / f"{name}-{path.name}"
            order = [group["name"] for group in groups if group["rules"]]
            said |= {"rule_files": [rules.name], "group_eval_order": order, "tests": cases}
            file.write_text(yaml.safe_dump(said))
            written.append(file)
    return written


def _needed(expression: str) -> list[str]:
    """Return the recorded series that an expression speaks of, those first that others are made of."""
    names: list[str] = []
    for name in re.findall(r"sepsis_monitor:[\w:]+", expression):
        names += [*_needed(recorded()[name]), name]
    return list(dict.fromkeys(names))
