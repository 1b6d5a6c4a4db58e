"""Stored states that cannot be used, on real processes: read again from the log, flagged, and nobody else's trouble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from agents.core import Core
from agents.decoding import Limits
from agents.exits import Exit
from agents.policy import load_policy
from agents.record import RECORD_SCHEMA, RecordLayout
from agents.worker_config import partition_of
from models.artifact import load_model
from tests.e2e import lame_worker
from tests.e2e.ward import PARTITIONS, Ward, open_ward
from tests.waiting import until

_PATIENTS = ("damaged", "sound", "silent")
_HOURS = 12
_LONG_HOURS = 22
_OTHER_MODEL = "challenge"
NEW = {"patient_id": "new", "time": datetime.now(UTC).isoformat(), "heart_rate": 80}


def observe(ward: Ward, hours: Sequence[int], patients: Sequence[str] = _PATIENTS) -> None:
    publish(ward, hours, patients)
    ward.drain()


def publish(ward: Ward, hours: Sequence[int], patients: Sequence[str]) -> None:
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2 * _HOURS)
    records: list[tuple[bytes, bytes, list[Any]]] = []
    for hour in hours:
        for patient in patients:
            signs = {"heart_rate": 80 + 2 * hour, "respiratory_rate": 16, "temperature": 37 + hour / 12}
            body = {"patient_id": patient, "time": (begin + timedelta(hours=hour)).isoformat(), **signs}
            records.append((patient.encode(), json.dumps(body).encode(), []))
    ward.send(ward.topics.observations, records)


def _at(patient: str) -> int:
    return partition_of(patient.encode(), PARTITIONS)


def states(ward: Ward) -> dict[bytes, bytes]:
    """Return the newest state of each patient in the changelog."""
    return {record.key: record.value for record in ward.records(changelog(ward))}


def changelog(ward: Ward) -> str:
    return f"{ward.settings.topics.prefix}{ward.settings.worker.group}-patients-changelog"


def test_lost_states_are_read_again_from_the_log(apache_kafka: str, tmp_path: Path) -> None:
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        observe(ward, range(_HOURS))
        ward.kill()
        found = states(ward)
        last = found[b"damaged"]
        spoilt = {b"damaged": last[:-1] + bytes([last[-1] ^ 1]), b"silent": found[b"silent"][:100]}
        with ward.producer() as producer:  # the sound ones are deleted, for recovery would choose them
            for key, value in spoilt.items():
                for written in (None, value):
                    at = partition_of(key, PARTITIONS)
                    producer.send(changelog(ward), key=key, value=written, partition=at)
        ward.start(SEPSIS_MONITOR_MODEL__NAME=_OTHER_MODEL)
        ward.wait_ready()
        observe(ward, [_HOURS], ("damaged", "sound"))  # nothing more ever comes of the silent one
        assert told(ward.values(ward.topics.scores)) == {
            "damaged": {"cause": "damaged", "hours": 11.0, "whole_stay": True},
            "sound": {"cause": "model_changed", "hours": 11.0, "whole_stay": True},
            "silent": {"cause": "damaged", "hours": 11.0, "whole_stay": True},
        }
        assert "warm_up_failed" not in ward.log()
        hidden = {key: record["state"].tobytes() for key, record in rows(states(ward)).items()}
        assert hidden == {key: record["state"].tobytes() for key, record in rows(alone(ward)).items()}


def test_who_is_slow_at_making_states_anew_is_given_the_time_and_stops_nobody_else(
    apache_kafka: str, tmp_path: Path
) -> None:
    """What a state comes to is for the log to say, not for the machine or a broker that is away for a moment.

    It takes 11 s, where 8 s of silence are too many; the patients of other partitions do not wait for that.
    """
    elsewhere = next(name for name in "abcdefgh" if _at(name) != _at("sound"))
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        observe(ward, range(_LONG_HOURS), ("sound",))
        ward.kill()
        ward.start(module=lame_worker.__name__, SLOW="yes", SEPSIS_MONITOR_MODEL__NAME=_OTHER_MODEL)
        ward.wait_ready()
        publish(ward, [_LONG_HOURS], ("sound",))
        until(lambda: "warm_up_waits" in ward.log(), what="a worker that waits for the broker")
        observe(ward, [_LONG_HOURS], (elsewhere,))
        assert ward.log().count("warm_up_waits") == 2
        assert "warm_up_failed" not in ward.log()
        scores = ward.records(ward.topics.scores)
        assert told([json.loads(record.value) for record in scores]) == {
            "sound": {"cause": "model_changed", "hours": _LONG_HOURS - 1.0, "whole_stay": True}
        }
        newest = {record.key.decode(): record.timestamp for record in scores}
        assert newest[elsewhere] < newest["sound"] - 5_000


def test_a_state_of_another_version_ends_the_worker_before_it_has_written_anything(
    apache_kafka: str, tmp_path: Path
) -> None:
    """Also where nothing of that patient comes, and something of another does: the older version can go on."""
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        observe(ward, range(2))
        ward.kill()
        key, value = next((key, value) for key, value in states(ward).items() if key == b"silent")
        layout = RecordLayout(load_model(ward.settings.model.name))
        row = np.frombuffer(value, layout.dtype).copy()
        row["schema"], row["offset"] = RECORD_SCHEMA + 1, row["offset"] + 1
        at = partition_of(key, PARTITIONS)
        ward.send(ward.topics.observations, [(b"new", json.dumps(NEW).encode(), [])])
        with ward.producer() as producer:
            producer.send(changelog(ward), key=key, value=layout.dump(row)[0], partition=at)
        topics = (ward.topics.observations, ward.topics.scores, changelog(ward))
        before = [len(ward.records(topic)) for topic in topics]
        ward.start()
        assert ward.workers["worker-1"].wait(60) == Exit.OTHER_SCHEMA
        assert [len(ward.records(topic)) for topic in topics] == before


def told(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what scores say of states that were rebuilt."""
    return {score["patient_id"]: score["rebuilt"] for score in scores if score["rebuilt"] is not None}


def rows(records: dict[bytes, bytes]) -> dict[bytes, Any]:
    layout = RecordLayout(load_model(_OTHER_MODEL))
    return {key: layout.load([key], [records[key]]).rows[0] for key in map(str.encode, _PATIENTS)}


def alone(ward: Ward) -> dict[bytes, bytes]:
    """Return the states to which the other model comes by itself."""
    core, found = Core(load_model(_OTHER_MODEL), load_policy(), Limits()), dict[bytes, bytes]()
    log = ward.records(ward.topics.observations)
    for partition in range(PARTITIONS):
        records = [record for record in log if record.partition == partition]
        core.process(partition, records, found.get).store_in(found)
    return found
