"""The cases of each alerting rule notice when a number of it is wrong: promtool fails on every mutant.

`make rule-mutants` tries all rules, which takes minutes; the suite tries a few of them.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.promql import rules_of
from tests.deploy.rule_mutants import mutants_of, write_cases
from tests.prometheus import tool

_RULES = [rule for rule in rules_of("alerts") if rule["expr"] != "vector(1)"]  # the heartbeat has nothing to change
_FEW = ("SepsisMonitorTargetDown", "SepsisMonitorNotifierDeaf", "SepsisMonitorBudgetUnattended")
_TRIED = [rule for rule in _RULES if rule["alert"] in _FEW or os.environ.get("SEPSIS_MONITOR_ALL_RULES")]
_SECONDS = 500  # the longest takes 20 s on a quiet machine


def _failing(files: list[Path]) -> set[str]:
    """Return the files of which a case does not give the alerts that it should."""
    done = subprocess.run(
        [tool("promtool"), "test", "rules", *[file.name for file in files]],
        cwd=files[0].parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    said = re.split(r"^Unit Testing:\s+", done.stdout, flags=re.MULTILINE)[1:]
    assert [part.split()[0] for part in said] == [file.name for file in files], done.stdout[-2000:]
    assert all("SUCCESS" in part or "alertname:" in part for part in said), done.stdout[-2000:]  # no rule is broken
    return {part.split()[0] for part in said if "SUCCESS" not in part}


@pytest.mark.timeout(_SECONDS + 40)
@pytest.mark.parametrize("rule", _TRIED, ids=lambda rule: rule["alert"])
def test_every_number_of_a_rule_is_held_by_its_cases(tmp_path: Path, rule: dict[str, Any]) -> None:
    sound = write_cases(tmp_path, "sound", rule)
    mutants = list(mutants_of(rule))
    written = {f"m{at}": write_cases(tmp_path, f"m{at}", mutant.rule) for at, mutant in enumerate(mutants)}
    failing = _failing([*sound, *(file for files in written.values() for file in files)])
    assert not failing & {file.name for file in sound}
    missed = [
        mutant.what
        for mutant, files in zip(mutants, written.values(), strict=True)
        if not failing & {file.name for file in files}
    ]
    assert missed == []


def test_the_few_rules_that_the_suite_tries_are_there() -> None:
    assert {rule["alert"] for rule in _RULES} >= set(_FEW)


def test_mutants_are_wrong_in_one_place_each() -> None:
    rule = {"alert": "A", "expr": 'rate(a:b:rate5m{le=~"1"}[5m]) > 0.4 * 0.01 and b > 0 offset 1d', "for": "5m"}
    assert [(mutant.rule["expr"], mutant.rule["for"]) for mutant in mutants_of(rule)] == [
        (rule["expr"].replace("0.4", "1.6"), "5m"),
        (rule["expr"].replace("0.4", "0.1"), "5m"),
        (rule["expr"].replace("> 0 ", ">= 0 "), "5m"),
        (rule["expr"], "0s"),
        (rule["expr"], "20m"),
    ]
