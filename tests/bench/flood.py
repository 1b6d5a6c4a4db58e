"""`python -m tests.bench.flood`: a backlog far beyond a worker's memory, worked off in bounded memory and to the last.

The worker is away while the records come, and then finds all of them waiting, as one that is far too slow does. Its
memory may rise by what its fetches and its queue of chunks hold, not by what the flood weighs: exit code 1
where it rises by more than `LIMIT_BYTES`, or where a record is missing among those that were counted.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import timedelta

from confluent_kafka import Producer

from agents.worker_config import partition_of
from tests.bench.grounds import bench_ward, parser, quick_body
from tests.bench.watching import metric, peak_bytes, resident_bytes
from tests.e2e.ward import PARTITIONS, Ward
from tests.waiting import until

__all__ = ["LIMIT_BYTES", "Flood", "flood", "main"]

LIMIT_BYTES = 160_000_000
_PATIENTS = 200
_FLUSH_EVERY = 2_000  # records


@dataclass(frozen=True)
class Flood:
    """What a flood was, and what it did."""

    records: int
    flood_bytes: int
    before_bytes: int
    peak_bytes: int
    accepted: int
    seconds: float

    @property
    def rise(self) -> int:
        """Bytes by which the worker's memory rose at most."""
        return self.peak_bytes - self.before_bytes


def _send(ward: Ward, records: int, padding: str) -> int:
    """Send observations with a client that is fast enough for a flood; return their bytes."""
    size = 0
    producer = Producer({"bootstrap.servers": ward.bootstrap, "linger.ms": 20, "acks": "all"})
    for number in range(records):
        patient, minute = f"flood-{number % _PATIENTS}", number // _PATIENTS
        body = quick_body(patient, timedelta(days=7) - timedelta(minutes=minute), note=padding)
        size += len(body)
        at = partition_of(patient.encode(), PARTITIONS)
        producer.produce(ward.topics.observations, body, patient.encode(), at)
        if number % _FLUSH_EVERY == 0:
            producer.flush()
    assert producer.flush(60) == 0, "the broker did not take the flood"
    return size


def flood(ward: Ward, records: int, padding: int, instance: str = "worker-1") -> Flood:
    """Let `records` observations with `padding` more bytes each pile up before a worker, and let it work them off."""
    before = resident_bytes(ward.workers[instance].pid)
    ward.terminate(instance)
    size = _send(ward, records, "x" * padding)
    began = time.monotonic()
    ward.start(instance)
    ward.drain(600)
    until(lambda: ward.ready(instance), seconds=60, what="the worker is ready")
    return Flood(
        records=records,
        flood_bytes=size,
        before_bytes=before,
        peak_bytes=peak_bytes(ward.workers[instance].pid),
        accepted=round(metric(ward.ports[instance], "observations_accepted_total")),
        seconds=round(time.monotonic() - began, 1),
    )


def main() -> int:
    """Measure, print, and return the exit code."""
    asked = parser(__doc__)
    asked.add_argument("--records", type=int, default=200_000)
    asked.add_argument("--padding", type=int, default=2_000, metavar="BYTES", help="more bytes in each record")
    arguments = asked.parse_args()
    with bench_ward(arguments.bootstrap) as ward:
        ward.start()
        ward.wait_ready(seconds=120)
        found = flood(ward, arguments.records, arguments.padding)
    figures = json.dumps({**asdict(found), "rise_bytes": found.rise})
    print(figures)  # noqa: T201 (the result)
    if arguments.json:
        arguments.json.write_text(figures + "\n", encoding="ascii")
    return 0 if found.rise <= LIMIT_BYTES and found.accepted == found.records else 1


if __name__ == "__main__":
    sys.exit(main())
