"""Bad observations among good ones, on a real broker: each is kept and named, every good one counts, nothing stops."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bad_inputs import PATIENT, bad_inputs
from tests.e2e.ward import closed_risks, open_ward

_HOURS = 48
_LEAST_KINDS = 40


def test_each_bad_input_is_kept_with_its_reason_and_every_good_one_is_scored(apache_kafka: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    cases = bad_inputs(now)
    assert len({case.name for case in cases}) >= _LEAST_KINDS
    start = now - timedelta(hours=_HOURS)
    good: list[tuple[bytes | None, bytes | None, Any]] = []
    for hour in range(_HOURS):
        for patient in (PATIENT, "bed-18"):
            time = (start + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
            body = {
                "patient_id": patient,
                "time": time,
                "heart_rate": 80 + hour % 7,
                "respiratory_rate": 18,
                "note": "ü",
            }
            good.append((patient.encode(), json.dumps(body).encode(), []))
    bad: list[tuple[bytes | None, bytes | None, Any]] = [(case.key, case.value, list(case.headers)) for case in cases]
    mixed = [record for pair in zip(good, bad, strict=False) for record in pair] + good[len(bad) :] + bad[len(good) :]

    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        places = ward.send(ward.topics.observations, mixed)
        ward.drain()
        assert ward.ready()
        rejected = {}
        for record in ward.records(ward.topics.rejected):
            headers = dict(record.headers)
            rejected[int(headers["rejected_partition"]), int(headers["rejected_offset"])] = record
        assert len(rejected) == len(cases)
        for case, (partition, offset) in zip(cases, _places_of(bad, mixed, places), strict=True):
            record = rejected[partition, offset]
            headers = dict(record.headers)
            assert (record.key, record.value) == (case.key, case.value), case.name
            assert headers["rejected_reason"].decode() == case.reason, (case.name, headers["rejected_detail"])
            assert record.headers[: len(case.headers)] == list(case.headers), case.name
        steps = set(closed_risks(ward.values(ward.topics.scores)))
        expected = {(f"{patient}-1", step) for patient in (PATIENT, "bed-18") for step in range(_HOURS - 1)}
        assert steps == expected
        assert ward.terminate() == 0
        assert "Traceback" not in ward.log()
        assert PATIENT not in ward.log()


def _places_of(some: list[Any], mixed: list[Any], places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where the records of `some` (by identity) came to stand."""
    place = {id(record): at for record, at in zip(mixed, places, strict=True)}
    return [place[id(record)] for record in some]
