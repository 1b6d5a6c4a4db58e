"""Ids in clear reach no topic, nothing of a patient reaches a log or a metric, and a patient can be erased."""

from __future__ import annotations

import json
import re
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from agents.topics import topic_specs
from monitor import clients
from monitor.cli import main
from tests.e2e.clear_stays import KEY, clear_stays
from tests.e2e.ward import Ward, open_ward

_MARK = "4711.25"  # in a payload that is refused, and as a value that is not plausible


def say(ward: Ward, *words: str) -> Result:
    return CliRunner().invoke(main, list(words), env=dict(ward.environment))


def everything(ward: Ward) -> dict[str, list[Any]]:
    """Return all records of all topics, the workers' changelog among them."""
    client = clients.consumer(ward.settings.kafka, ward.bootstrap)
    mine = [topic for topic in client.topics() if topic.startswith(ward.settings.topics.prefix)]
    client.close()
    found = {topic: ward.records(topic) for topic in mine}
    assert len(found) > len(topic_specs(ward.topics))
    return found


def latest(records: list[Any]) -> dict[bytes, bytes | None]:
    return {record.key: record.value for record in records}


def test_nothing_of_a_patient_gets_out_and_a_patient_can_be_erased(embedded_kafka: str, tmp_path: Path) -> None:
    stays = clear_stays(tmp_path)
    clear, ids, key = stays.clear, stays.ids, stays.key
    with open_ward(embedded_kafka, tmp_path, SEPSIS_MONITOR_LOG__LEVEL="debug") as ward:
        ward.start()
        ward.wait_ready()
        said = [say(ward, "replay", str(stays.file), *key)]
        ward.send(ward.topics.observations, bad_records(ids[0]))
        ward.drain()
        told = ward.values(ward.topics.scores)
        assert {score["patient_id"] for score in told} == set(ids)
        said.append(say(ward, "forget", clear[1], *key, "--yes", "--json"))
        erased, remains = ids[1].encode(), json.loads(said[-1].stdout)
        assert [one for one in latest(ward.records(ward.topics.scores)).items() if one[1] is None] == [(erased, None)]
        states = latest(ward.records(ward.topics.alert_state))
        assert not any(value for name, value in states.items() if name.startswith(erased))
        assert latest(ward.records(ward.topics.admissions))[erased] is None
        changelog = next(one["topic"] for one in remains if one["topic"].endswith("-changelog"))
        stub = latest(everything(ward)[changelog])[erased]
        assert stub is not None
        assert len(stub) < 200
        assert not any("budgets" in one["topic"] for one in remains)
        assert all(re.search(r" (until|by) 20\d\d-\d\d-\d\d", one["what"]) for one in remains)
        before = {topic: len(records) for topic, records in everything(ward).items()}
        strange = say(ward, "forget", clear[3], "--yes")  # in clear, without the key
        assert (strange.exit_code, strange.stdout) == (1, "")
        assert "nothing is known of this patient under that key" in strange.stderr
        assert clear[3] not in strange.stderr
        assert {topic: len(records) for topic, records in everything(ward).items()} == before
        said.append(say(ward, "forget", "nobody-0815", "--yes", "--force"))
        assert latest(ward.records(ward.topics.admissions))[b"nobody-0815"] is None
        said.append(say(ward, "forget", ids[2], "--yes"))
        assert latest(ward.records(ward.topics.scores))[ids[2].encode()] is None
        for records in everything(ward).values():
            for record in records:
                assert b"MRN-4711" not in (record.key or b"") + (record.value or b"")
        metrics = (
            urllib.request.urlopen(f"http://127.0.0.1:{ward.ports['worker-1']}/metrics", timeout=5).read().decode()
        )
        assert ward.terminate() == 0
        outputs = [ward.log(), metrics, *(one.output for one in said)]
    assert [one.exit_code for one in said] == [0, 0, 0, 0]
    assert "worker_stopped" in outputs[0]
    assert "sepsis_monitor_observations_rejected_total" in metrics
    for secret in (*clear[:2], *ids, "Smith,", _MARK, KEY):
        assert [output[:200] for output in outputs if secret in output] == []


def bad_records(patient: str) -> list[tuple[bytes, bytes, Any]]:
    now = datetime.now(UTC).isoformat()
    broken = f'{{"patient_id": "{patient}", "name": "Smith, J", "temperature": {_MARK}'.encode()
    wild = json.dumps({"patient_id": patient, "time": now, "temperature": float(_MARK), "heart_rate": 80}).encode()
    future = json.dumps({"patient_id": patient, "time": "2999-01-01T00:00:00Z", "heart_rate": 80}).encode()
    return [(patient.encode(), value, []) for value in (broken, wild, future)]
