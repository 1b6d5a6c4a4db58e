"""A producer faster than a worker: the worker's memory does not grow with the backlog, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

from tests.bench.flood import LIMIT_BYTES, flood
from tests.e2e.ward import open_ward

_RECORDS = 16_000
_PADDING = 16_000


def test_a_backlog_larger_than_a_workers_memory_is_worked_off(apache_kafka: str, tmp_path: Path) -> None:
    """The 200,000 records of `python -m tests.bench.flood`, in a tenth of the time."""
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        found = flood(ward, _RECORDS, _PADDING)
        assert found.flood_bytes > 1.5 * LIMIT_BYTES
        assert found.rise < LIMIT_BYTES
        assert found.accepted == _RECORDS
