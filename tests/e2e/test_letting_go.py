"""Stubs on a real broker: kept while the log may be read again, gone once the broker has deleted that part of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from kafka import TopicPartition

from agents.record import STUB
from agents.worker_config import partition_of
from monitor import clients
from monitor.cli import main
from tests.e2e.ward import PARTITIONS, Ward, open_ward
from tests.waiting import until


def observe(ward: Ward, hour: int, *patients: str) -> None:
    """Send an observation of each patient of `hour` hours ago."""
    at = (datetime.now(UTC) - timedelta(hours=hour)).isoformat()
    body = {"time": at, "heart_rate": 80, "respiratory_rate": 16, "temperature": 37}
    records: list[tuple[bytes, bytes, Any]] = [
        (patient.encode(), json.dumps({"patient_id": patient, **body}).encode(), []) for patient in patients
    ]
    ward.send(ward.topics.observations, records)
    ward.drain()


def kept(ward: Ward) -> dict[bytes, int]:
    """Return the bytes that the changelog keeps of each patient."""
    topic = f"{ward.settings.topics.prefix}{ward.settings.worker.group}-patients-changelog"
    latest = {record.key: record.value for record in ward.records(topic)}
    return {key: len(value) for key, value in latest.items() if value is not None and not key.startswith(b"!")}


def delete_log_of(ward: Ward, patient: str) -> None:
    """Let the broker delete all that stands in the patient's partition, as it does when the retention has passed."""
    partition = partition_of(patient.encode(), PARTITIONS)
    with ward.positions() as positions:
        end = positions.end_offsets(ward.topics.observations)[partition]
    admin = clients.admin(ward.settings.kafka, ward.bootstrap)
    try:
        admin.delete_records({TopicPartition(ward.topics.observations, partition): end})
    finally:
        admin.close()


def test_a_stub_goes_when_the_log_has_nothing_of_the_patient_any_more(apache_kafka: str, tmp_path: Path) -> None:
    patients = [f"p{number}" for number in range(PARTITIONS * 4)]
    gone = patients[0]
    beside = [one for one in patients[1:] if partition_of(one.encode(), PARTITIONS) == partition_of(b"p0", PARTITIONS)]
    erased, stays = (one.encode() for one in beside[:2])
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        observe(ward, 3, *patients)
        for patient in (gone, erased.decode()):
            said = CliRunner().invoke(main, ["forget", patient, "--yes"], env=dict(ward.environment))
            assert said.exit_code == 0, said.output
        assert {kept(ward)[gone.encode()], kept(ward)[erased]} == {STUB.itemsize}
        assert ward.terminate() == 0
        assert "stubs_let_go" not in ward.log()
        delete_log_of(ward, gone)
        ward.start()  # whoever takes the partition up looks at once
        ward.wait_ready()
        until(lambda: not {gone.encode(), erased} & set(kept(ward)), seconds=30, what="both stubs are gone")
        assert set(kept(ward)) == {one.encode() for one in patients} - {gone.encode(), erased}
        assert kept(ward)[stays] > 1_000
        observe(ward, 1, gone)
        ward.kill()
        ward.start()
        ward.wait_ready()
        observe(ward, 0, gone)
        told = [record.value for record in ward.records(ward.topics.scores) if record.key == gone.encode()]
        stays_told = [json.loads(value)["stay_id"] for value in told if value is not None]
        assert (stays_told, told[1]) == ([f"{gone}-1"] * 3, None)  # the last two as of somebody who was never seen
        assert "stubs_let_go" in ward.log()
