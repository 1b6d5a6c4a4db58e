"""A broker that goes and comes back under a worker: one line for each in the log, and nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.brokers import new_broker
from tests.e2e.ward import Ward, open_ward
from tests.waiting import until


def observe(ward: Ward, patient: str) -> None:
    """Send an observation, and wait until it is worked off."""
    said = {"patient_id": patient, "time": datetime.now(UTC).isoformat(), "heart_rate": 80, "temperature": 37}
    ward.send(ward.topics.observations, [(patient.encode(), json.dumps(said).encode(), [])])
    ward.drain()


def test_each_is_one_line_of_the_worker_s_own(tmp_path: Path) -> None:
    broker = new_broker("kafka", tmp_path / "kafka")
    broker.start()
    try:
        with open_ward(broker.bootstrap_servers, tmp_path) as ward:
            ward.start()
            ward.wait_ready()
            observe(ward, "before")
            broker.stop()
            until(lambda: "broker_silent" in ward.log(), seconds=60, what="the worker says that the broker has gone")
            assert not ward.ready()
            broker.start()
            until(lambda: "broker_back" in ward.log(), seconds=90, what="the worker says that it is back")
            ward.wait_ready()
            observe(ward, "after")
            assert {score["patient_id"] for score in ward.values(ward.topics.scores)} == {"before", "after"}
            assert [ward.log().count(f'"{line}"') for line in ("broker_silent", "broker_back")] == [1, 1]
    finally:
        broker.stop()
