"""The demo as a user runs it: one command, real workers on the embedded broker, a result to trust."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from agents.messages import AlertEvent
from agents.policy import load_policy
from models.artifact import save_model, untrained_model
from monitor.cli import main
from tests.models.descriptions import description_of
from tests.waiting import until

STAYS, HOURS, SEPTIC = 20, 24, 4
SECONDS = 200


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty made-up stays; four get steadily worse."""
    draw = np.random.default_rng(0)
    tables = []
    for stay in range(STAYS):
        worse = np.linspace(0, 1, HOURS) if stay < SEPTIC else np.zeros(HOURS)
        temperature = 37 + 2 * worse + draw.normal(0, 0.2, HOURS)
        temperature[draw.random(HOURS) < 0.5] = np.nan
        columns = {
            "patient_id": [f"p{stay:06d}"] * HOURS,
            "hospital": ["AB"[stay % 2]] * HOURS,
            "HR": 80 + 50 * worse + draw.normal(0, 3, HOURS),
            "Resp": 16 + 12 * worse + draw.normal(0, 1, HOURS),
            "Temp": temperature,
            "SBP": 120 - 40 * worse + draw.normal(0, 3, HOURS),
            "Age": [60.0] * HOURS,
            "Gender": [float(stay % 2)] * HOURS,
            "HospAdmTime": [-2.5] * HOURS,
            "ICULOS": np.arange(1, HOURS + 1),
            "SepsisLabel": (worse > 0.6).astype(np.int8),
        }
        tables.append(pl.DataFrame(columns))
    path = tmp_path_factory.mktemp("demo") / "stays.parquet"
    pl.concat(tables).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def chosen(data: Path) -> list[str]:
    """Options that name the stays, an untrained model, and a policy under which it raises alerts."""
    model = untrained_model(seed=2)
    description = description_of(model.manifest, training={}, metrics={}, doubt=None)
    save_model(data.parent / "model", model.weights, description)
    policy = data.parent / "policy.toml"
    policy.write_text(
        f'name = "test"\nversion = "1"\nmodel = "{model.name} {model.version}"\n'
        "raise_threshold = 0.05\nresolve_threshold = 0.049\n"
    )
    return ["--data", str(data), "--model", str(data.parent / "model"), "--policy", str(policy)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a cache of its own, and a cluster that the demo must not touch."""
    return {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "OMP_NUM_THREADS": "1",
    }


def demo(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "monitor", "demo", *arguments]


def leftovers(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache" / "sepsis-monitor").iterdir())


def run_once(environment: dict[str, str], *arguments: str) -> dict[str, object]:
    program = demo("--once", "--json", *arguments)
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "the topics hold" not in done.stderr
    assert "was chosen for" not in done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_once_gives_one_object_that_agrees_with_the_alerts_whatever_the_workers(
    chosen: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    files = {count: tmp_path / f"alerts-{count}.jsonl" for count in (1, 2)}
    results = {
        count: run_once(environment, *chosen, "--workers", str(count), "--alerts-file", str(path))
        for count, path in files.items()
    }
    result = results[1]
    assert result["stays"] == STAYS
    assert result["observations_sent"] == result["accepted"] == STAYS * HOURS
    assert result["rejected"] == 0
    assert result["steps_closed"] == STAYS * HOURS
    assert result["alerts_file"] == str(files[1])
    latency = result["latency_ms"]
    assert isinstance(latency, dict)
    assert 0 <= latency["p50"] <= latency["p99"]
    events = {count: [json.loads(line) for line in path.read_text().splitlines()] for count, path in files.items()}
    counts = result["alerts"]
    assert isinstance(counts, dict)
    septic = [event for event in events[1] if event["kind"] == "sepsis_risk"]
    assert sum(counts.values()) == len(septic) > 0
    assert counts["raised"] == sum(event["transition"] == "raised" for event in septic)
    assert counts["resolved"] + counts["expired"] == counts["raised"]
    # Times differ, because each replay ends when it is run, and with them the ids, which hold the stay's start;
    # everything that was decided is the same.
    decided = {
        count: [
            tuple(event[name] for name in ("stay_id", "sequence", "transition", "risk", "reasons")) for event in told
        ]
        for count, told in events.items()
    }
    assert sorted(decided[1], key=str) == sorted(decided[2], key=str)
    assert {field for event in events[1] for field in event} == set(AlertEvent.__struct_fields__)
    assert leftovers(tmp_path) == []


def test_a_policy_that_was_chosen_for_another_model_is_said(chosen: list[str], tmp_path: Path) -> None:
    model = chosen[chosen.index("--model") + 1]
    (tmp_path / "empty.parquet").touch()  # the demo ends there, before anything is started
    result = CliRunner().invoke(main, ["demo", "--model", model, "--data", str(tmp_path / "empty.parquet")])
    assert result.exit_code == 1
    told, failure = result.stderr.splitlines()
    assert f"was chosen for the model {load_policy().model}, not for" in told
    assert "empty.parquet" in failure


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(
    chosen: list[str], environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        demo(*chosen, "--speed", "5"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("replaying"):
            break
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert leftovers(tmp_path) == []


def test_a_worker_that_dies_ends_it_with_one_line(
    chosen: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        demo(*chosen, "--speed", "5"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("replaying"):
            break
    os.kill(_worker_of(process.pid), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == "sepsis-monitor: worker-1 ended by signal SIGKILL while it was needed\n"
    assert leftovers(tmp_path) == []


def _worker_of(demo_pid: int) -> int:
    """Return the process of the demo's worker: the child that runs `serve`."""
    found: list[int] = []

    def look() -> bool:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                words = status.with_name("cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == demo_pid and b"serve" in words:
                found.append(int(status.parent.name))
        return bool(found)

    until(look, seconds=10, what="the worker's process")
    return found[0]
