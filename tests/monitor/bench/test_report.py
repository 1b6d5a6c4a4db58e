"""The report names the worst of each figure, and its ratios are of like with like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.bench.core_cost import CoreCost
from monitor.bench.latency import Latency, quantiles
from monitor.bench.picture import draw_bench
from monitor.bench.report import Report
from monitor.bench.throughput import Baseline, Throughput


def run(workers: int, patients: int, *, seconds: float, cpu: float) -> Throughput:
    return Throughput(workers, patients, 1_000_000, seconds, cpu, 100_000_000, 180_000_000, 3.25)


def cells(report: Report) -> list[str]:
    return [cell for _, _, rows in report.tables() for row in rows for cell in row]


@pytest.fixture
def report() -> Report:
    made = Report({"date": "2026-11-25", "machine": "made up", "broker": "none"}, state_bytes=2_994)
    made.add(run(1, 1_000, seconds=20, cpu=12), Baseline(1_000_000, 16, 10))
    made.add(run(2, 1_000, seconds=11, cpu=15), None)
    made.add(run(1, 20_000, seconds=25, cpu=30), Baseline(1_000_000, 24, 20))
    made.cores += [CoreCost(1_000, 60_000, 12.0, 3.0), CoreCost(20_000, 60_000, 20.0, 4.0)]
    made.latencies.append(Latency("worker", 500, 25, 0, 400, (20, 31, 40), (19, 30, 41), 0.62))
    return made


def test_the_worst_of_each_stands_at_the_top(report: Report) -> None:
    said: dict[str, Any] = json.loads(json.dumps(report.as_json()))
    assert said["cpu_ratio_to_baseline"] == 1.5
    assert said["rate_ratio_to_baseline"] == 0.8
    assert said["cpu_seconds_per_million_events"] == 30
    assert said["core_ratio_to_lstm"] == 5
    assert said["events_per_cpu_second_two_workers_to_one"] == 0.8
    assert said["state_bytes_per_patient"] == 2_994


def test_every_run_says_what_it_was_and_came_to(report: Report) -> None:
    said: dict[str, Any] = report.as_json()
    first, second, _ = said["runs"]
    assert (first["patients"], first["workers"], first["events_per_second"]) == (1_000, 1, 50_000)
    assert (first["peak_bytes_above_idle"], first["recovery_seconds"]) == (80_000_000, 3.25)
    assert (second["cpu_ratio_to_baseline"], second["baseline_events_per_second"]) == (None, None)


def test_without_a_baseline_there_are_no_ratios() -> None:
    made = Report({}, 1)
    made.add(run(1, 10, seconds=1, cpu=1), None)
    said = made.as_json()
    assert (said["cpu_ratio_to_baseline"], said["core_ratio_to_lstm"]) == (None, None)
    assert said["events_per_cpu_second_two_workers_to_one"] is None


def test_each_number_of_workers_is_compared_with_one() -> None:
    made = Report({}, 1)
    for workers, patients, cpu in ((1, 10, 10), (2, 10, 11), (4, 10, 12.5), (1, 50, 20), (4, 50, 40), (2, 90, 1)):
        made.add(run(workers, patients, seconds=1, cpu=cpu), None)
    said: dict[str, Any] = json.loads(json.dumps(made.as_json()))
    assert said["events_per_cpu_second_to_one_worker"] == {"2": 0.909, "4": 0.5}
    of_each = [each["events_per_cpu_second_to_one_worker"] for each in said["runs"]]
    assert of_each == [None, 0.909, 0.8, None, 0.5, None]
    assert {"0.91", "0.80", "0.50"} <= set(cells(made))


def test_the_size_of_a_state_is_shown(report: Report) -> None:
    assert "2,994" in cells(report)


def test_without_answers_there_are_no_quantiles_and_what_is_printed_is_json(report: Report) -> None:
    nothing = quantiles([])
    report.latencies = [Latency("worker", 9_000, 0, 450, 0, nothing, nothing, 1.1)]
    said: dict[str, Any] = json.loads(json.dumps(report.as_json(), allow_nan=False))
    (latency,) = said["latency"]
    assert (latency["alert_ms"], latency["unanswered"], latency["cpu_share"]) == ([None] * 3, 450, 1.1)
    assert {"-, -, - of those that came", "450 of 450", "1.10"} <= set(cells(report))


def test_quantiles_of_an_overload_say_that_they_are_of_what_came(report: Report) -> None:
    report.latencies.append(Latency("worker", 9_000, 400, 50, 0, (800, 900, None), (700, 800, None), 1.1))
    assert {"800, 900, - of those that came", "50 of 450", "20, 31, 40", "0 of 25"} <= set(cells(report))


@pytest.mark.parametrize(("count", "there"), [(1, 0), (2, 1), (99, 1), (100, 2), (999, 2), (1_000, 3)])
def test_a_quantile_stands_only_where_a_wait_lies_beyond_it(count: int, there: int) -> None:
    waits = [float(number) for number in range(count)]
    found = [value for value in quantiles(waits) if value is not None]
    assert len(found) == there
    assert all(value < max(waits) for value in found)


def test_tables_show_what_there_is(report: Report) -> None:
    titles = [title for title, heads, rows in report.tables() if all(len(row) == len(heads) for row in rows)]
    assert len(titles) == 4
    assert len(Report({}, 1).tables()) == 0


def test_the_picture_shows_every_run_and_pace(report: Report, tmp_path: Path) -> None:
    report.latencies.append(Latency("plain loop", 500, 25, 3, 400, (9, 20, 22), (9, 20, 22), 0.3))
    report.latencies.append(Latency("worker", 9_000, 0, 450, 0, (None,) * 3, (None,) * 3, 1.1))
    draw_bench(report.as_json(), tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    nothing = Report({"date": "", "machine": "", "broker": ""}, 1)
    draw_bench(nothing.as_json(), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size < (tmp_path / "bench.png").stat().st_size
