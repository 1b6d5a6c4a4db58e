"""Several runs as one table: sums by scenario, and no round that counts twice."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.chaos.judge import ANOMALIES
from tests.chaos.stage import Result
from tests.chaos.summing import document_table, read_results


def _result(name: str, seeds: list[int], **anomalies: int) -> Result:
    counts = dict.fromkeys(ANOMALIES, 0) | {key.replace("_", "-"): value for key, value in anomalies.items()}
    return Result(name, seeds, faults=10, kills=4, observations=1_000, alerts=50, duplicates=3, anomalies=counts)


def test_runs_are_added_up_by_scenario(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    files[0].write_text(json.dumps([asdict(_result("kills", [1, 2])), asdict(_result("burst", [1]))]))
    files[1].write_text(json.dumps([asdict(_result("kills", [3]))]))
    said = document_table(read_results(files))
    assert "| kills | 3 | 20 | 8 | 2,000 | 100 | 0 | 6 |" in said
    assert "| **all** | **4** | **30** | **12** | **3,000** | **150** | **0** | **9** |" in said
    assert "Zero of 30 bounds, at 95 %, harm in fewer than 10.00% of the faults." in said


def test_what_was_found_is_counted_and_bounds_nothing() -> None:
    said = document_table([_result("kills", [1], lost_alert=2), _result("burst", [1])])
    assert "| kills | 1 | 10 | 4 | 1,000 | 50 | 2 | 3 |" in said
    assert "bounds" not in said


def test_a_seed_counts_once() -> None:
    with pytest.raises(ValueError, match="kills was run twice with one of the seeds 1 to 2"):
        document_table([_result("kills", [1, 2]), _result("kills", [2])])
