"""What would stop a worker or blind a patient if it were not provided for: on real brokers, with real processes."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from agents.exits import Exit
from agents.worker import partition_of
from monitor.brokers.process import BrokerProcess
from tests.brokers import new_broker
from tests.e2e.ward import PARTITIONS, Ward, open_ward
from tests.waiting import until

_PATIENT = "bed-3"
_MEGABYTE = 1024 * 1024


def observations(count: int, patient: str = _PATIENT) -> list[tuple[bytes | None, bytes | None, Any]]:
    """Return an observation for each of the last `count` hours."""
    start = datetime.now(UTC) - timedelta(hours=count)
    return [
        (
            patient.encode(),
            json.dumps(
                {
                    "patient_id": patient,
                    "time": (start + timedelta(hours=hour)).isoformat(),
                    "heart_rate": 80 + hour % 9,
                    "respiratory_rate": 17,
                }
            ).encode(),
            [],
        )
        for hour in range(count)
    ]


def send_to(ward: Ward, partition: int, value: bytes, **options: Any) -> None:
    """Publish one observation of the patient to a partition of the test's choosing."""
    with ward.producer(max_request_size=32 * _MEGABYTE, **options) as producer:
        producer.send(ward.topics.observations, key=_PATIENT.encode(), value=value, partition=partition).get(30)


def reasons(ward: Ward) -> list[str]:
    """Return why events were refused."""
    return [dict(record.headers)["rejected_reason"].decode() for record in ward.records(ward.topics.rejected)]


def test_a_record_in_the_wrong_partition_does_not_blind_its_patient(apache_kafka: str, tmp_path: Path) -> None:
    right = partition_of(_PATIENT.encode(), PARTITIONS)
    log = observations(12)
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        ward.send(ward.topics.observations, log[:4])
        ward.drain()
        assert log[4][1] is not None
        for _ in range(20):  # so that offsets there are higher than the patient's own
            send_to(ward, (right + 1) % PARTITIONS, log[4][1])
        ward.drain()
        ward.send(ward.topics.observations, log[5:])
        ward.drain()
        assert reasons(ward) == ["wrong_partition"] * 20
        scores = ward.values(ward.topics.scores)
        assert max(score["step"] for score in scores) == 11


def test_a_record_that_is_too_large_once_it_is_unpacked_is_refused_and_the_log_goes_on(
    apache_kafka: str, tmp_path: Path
) -> None:
    bomb = b'{"patient_id": "bed-3", "note": "' + b"x" * (12 * _MEGABYTE) + b'"}'
    assert len(gzip.compress(bomb)) < _MEGABYTE
    log = observations(6)
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        ward.send(ward.topics.observations, log[:3])
        send_to(ward, partition_of(_PATIENT.encode(), PARTITIONS), bomb, compression_type="gzip")
        ward.send(ward.topics.observations, log[3:])
        ward.drain()
        (record,) = ward.records(ward.topics.rejected)
        headers = dict(record.headers)
        assert (headers["rejected_reason"], headers["rejected_value_bytes"]) == (b"value_too_large", b"%d" % len(bomb))
        assert max(score["step"] for score in ward.values(ward.topics.scores)) == 5
        assert ward.terminate() == 0


@pytest.mark.long
def test_a_patient_with_thousands_of_empty_hours_stops_nobody(apache_kafka: str, tmp_path: Path) -> None:
    years_ago = datetime.now(UTC) - timedelta(hours=167 * 100)
    log: list[tuple[bytes | None, bytes | None, Any]] = [
        (
            _PATIENT.encode(),
            json.dumps(
                {
                    "patient_id": _PATIENT,
                    "time": (years_ago + timedelta(hours=167 * number)).isoformat(),
                    "heart_rate": 80,
                    "respiratory_rate": 17,
                }
            ).encode(),
            [],
        )
        for number in range(100)
    ]
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.send(ward.topics.observations, log)
        ward.send(ward.topics.observations, observations(3, "bed-4"))
        ward.start()
        ward.wait_ready()
        ward.drain(120)
        assert ward.ready()
        scores = ward.values(ward.topics.scores)
        assert sum(len(score["closed"]) for score in scores if score["patient_id"] == _PATIENT) == 99 * 167
        assert any(score["patient_id"] == "bed-4" for score in scores)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """Give an Apache Kafka that the test may kill."""
    broker = new_broker("kafka", tmp_path / "broker")
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@pytest.mark.long
def test_told_to_stop_while_the_broker_is_gone_a_worker_ends_within_ten_seconds(
    own_broker: BrokerProcess, tmp_path: Path
) -> None:
    with open_ward(own_broker.bootstrap_servers, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        producer: KafkaProducer
        with ward.producer() as producer:
            for key, value, _ in observations(100) * 50:
                producer.send(ward.topics.observations, key=key, value=value)
            producer.flush()
            until(lambda: ward.committed() > 0, what="work under way")
            own_broker.kill()
            until(lambda: not ward.ready(), seconds=40, what="readiness to end")
            began = time.monotonic()
            code = ward.terminate()
            assert time.monotonic() - began < 11
            assert code in (Exit.DRAINED, Exit.NOT_DRAINED, Exit.STREAM_FAILED)
            producer.close(timeout=0)
