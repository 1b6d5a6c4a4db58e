"""A worker that hears nothing more of its logs ends by itself: nothing that it has read tells it that records wait."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from agents.exits import Exit
from tests.e2e import deaf_worker
from tests.e2e.ward import open_ward
from tests.waiting import until


def test_a_worker_that_no_longer_fetches_ends_and_its_successor_goes_on(apache_kafka: str, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start(module=deaf_worker.__name__, DEAF_ONCE=str(deaf))
        ward.wait_ready()
        ward.drain()
        deaf.touch()
        body = {"patient_id": "p", "time": datetime.now(UTC).isoformat(), "heart_rate": 80}
        ward.send(ward.topics.observations, [(b"p", json.dumps(body).encode(), [])])
        assert ward.workers["worker-1"].wait(60) == Exit.STALLED, ward.log()[-3000:]
        ward.start()
        until(lambda: ward.values(ward.topics.scores), what="the successor's score")
