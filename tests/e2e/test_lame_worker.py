"""A worker that goes lame ends by itself, so that whoever supervises it has another one take its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from agents.exits import Exit
from tests.e2e import lame_worker
from tests.e2e.ward import open_ward
from tests.waiting import until


def test_a_worker_that_no_longer_fetches_ends_and_its_successor_goes_on(apache_kafka: str, tmp_path: Path) -> None:
    """Nothing that it has read tells it that records wait: it has to ask."""
    deaf = tmp_path / "deaf"
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start(module=lame_worker.__name__, DEAF_ONCE=str(deaf))
        ward.wait_ready()
        ward.drain()
        deaf.touch()
        body = {"patient_id": "p", "time": datetime.now(UTC).isoformat(), "heart_rate": 80}
        ward.send(ward.topics.observations, [(b"p", json.dumps(body).encode(), [])])
        assert ward.workers["worker-1"].wait(60) == Exit.STALLED, ward.log()[-3000:]
        ward.start()
        until(lambda: ward.values(ward.topics.scores), what="the successor's score")


def test_a_worker_that_is_never_ready_ends_though_the_cluster_answers(apache_kafka: str, tmp_path: Path) -> None:
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start(module=lame_worker.__name__)
        assert ward.workers["worker-1"].wait(60) == Exit.STALLED, ward.log()[-3000:]
        assert "not ready for 4 s" in ward.log()
        ward.start()
        ward.wait_ready()
