"""The command `replay`, as a user runs it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.follow import assign, ends
from monitor.pseudonyms import Pseudonyms
from monitor.settings import load_settings
from monitor.topic_admin import create_topics
from tests.waiting import until

SECONDS = 60
ROWS = 30


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "stays.parquet"
    hours = list(range(1, ROWS + 1))
    columns = {
        "patient_id": ["p000001"] * ROWS,
        "HR": [80.0] * ROWS,
        "Resp": [16.0] * ROWS,
        "Temp": [None] * ROWS,
        "ICULOS": hours,
    }
    pl.DataFrame(columns, schema_overrides={"Temp": pl.Float32}).write_parquet(path)
    return path


def replay(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "monitor", "replay", *map(str, arguments)]
    return subprocess.run(
        program, env={**os.environ, **environment}, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_a_dry_run_needs_no_broker_and_says_what_would_be_sent(data: Path) -> None:
    done = replay(data, "--dry-run", "--json", "--duplicates", "1", KAFKA_HOME="")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["stays"], plan["patient_hours"], plan["observations"], plan["duplicates"]) == (1, ROWS, 2 * ROWS, ROWS)
    assert "would send 30 observations" in replay(data, "--dry-run").stdout


def test_the_summary_counts_what_the_topics_hold(data: Path, embedded_kafka: str) -> None:
    overrides = {"kafka.bootstrap_servers": embedded_kafka, "topics.prefix": f"{uuid.uuid4().hex}."}
    settings = load_settings(None, overrides)
    topics = Topics(settings.topics.prefix)
    create_topics(embedded_kafka, settings, topic_specs(topics))
    done = replay(
        *(data, "--json", "--split", "--admission-timeout", "0"),
        SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS=embedded_kafka,
        SEPSIS_MONITOR_TOPICS__PREFIX=topics.prefix,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["admissions"], summary["observations_sent"], summary["discharges"]) == (1, 2 * ROWS, 1)
    consumer = clients.consumer(settings.kafka, embedded_kafka)
    assign(consumer, [topics.observations, topics.admissions])
    assert sum(ends(consumer).values()) == 2 * ROWS + 2
    consumer.close()


def test_pseudonyms_go_out_in_place_of_ids(data: Path, embedded_kafka: str, tmp_path: Path) -> None:
    overrides = {"kafka.bootstrap_servers": embedded_kafka, "topics.prefix": f"{uuid.uuid4().hex}."}
    settings = load_settings(None, overrides)
    topics = Topics(settings.topics.prefix)
    create_topics(embedded_kafka, settings, topic_specs(topics))
    key = tmp_path / "pseudonym.key"
    key.write_text("0b" * 32 + "\n")
    key.chmod(0o600)
    done = replay(
        *(data, "--admission-timeout", "0", "--pseudonym-key", key),
        SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS=embedded_kafka,
        SEPSIS_MONITOR_TOPICS__PREFIX=topics.prefix,
    )
    assert done.returncode == 0, done.stderr
    consumer = clients.consumer(settings.kafka, embedded_kafka)
    assign(consumer, [topics.observations, topics.admissions])
    records: list[Any] = []

    def all_read() -> bool:
        records.extend(itertools.chain(*consumer.poll(500).values()))
        return len(records) == ROWS + 2

    until(all_read)
    consumer.close()
    pseudonym = Pseudonyms(b"\x0b" * 32).of("p000001")
    assert {record.key for record in records} == {pseudonym.encode()}
    assert all(b"p000001" not in record.value for record in records)


def test_missing_topics_are_one_clear_line(data: Path, embedded_kafka: str) -> None:
    done = replay(
        data, SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS=embedded_kafka, SEPSIS_MONITOR_TOPICS__PREFIX="nowhere."
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sepsis-monitor: there is no topic nowhere.stays.admissions.v1 to publish to")
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_no_table_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "stays.parquet"
    path.write_text("not a table")
    done = replay(path)
    assert done.returncode == 1
    assert done.stderr.startswith("sepsis-monitor: ")
    assert done.stderr.count("\n") == 1
    assert replay(tmp_path / "absent.parquet").returncode == 2
