"""Where measurements take place: a broker of their own, a ward on it, and patients that are alerted at once."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kafka import TopicPartition

from monitor import clients
from monitor.brokers import local_broker
from monitor.settings import load_settings
from tests.e2e.ward import PARTITIONS, Ward, open_ward

__all__ = ["AlertWatch", "bench_ward", "eager_policy", "observations", "parser", "quick_body"]

_EAGER = """
name = "eager"
version = "1"
model = "bedside"
raise_threshold = 0.000002
resolve_threshold = 0.000001
update_step = 0
monitoring_lost_minutes = 100000
cannot_assess_minutes = 100000
"""
_SIGNS = {"heart_rate": 90, "temperature": 37.5, "respiratory_rate": 20, "systolic_bp": 120, "oxygen_saturation": 97}


def eager_policy(folder: Path) -> Path:
    """Write a policy under which the first observation raises an alert; return its file."""
    path = folder / "eager.toml"
    path.write_text(_EAGER, encoding="ascii")
    return path


def quick_body(patient: str, ago: timedelta = timedelta(), **fields: object) -> bytes:
    """Return an observation of a patient, measured so long ago, by which a risk can be assessed."""
    when = (datetime.now(UTC) - ago).isoformat()
    return json.dumps({"patient_id": patient, "time": when, **_SIGNS, **fields}).encode()


def observations(patients: Sequence[str], hours: int) -> Iterator[tuple[bytes, bytes]]:
    """Give hourly observations of patients, key and value, the oldest hour first: too few signs for an alert."""
    for hour in range(hours):
        for number, patient in enumerate(patients):
            ago = timedelta(hours=hours - hour)
            body: dict[str, object] = {"patient_id": patient, "time": (datetime.now(UTC) - ago).isoformat()}
            body["heart_rate"] = 70 + (number + 5 * hour) % 50
            yield patient.encode(), json.dumps(body).encode()


class AlertWatch:
    """Reads the alert events of a ward as they come."""

    def __init__(self, ward: Ward) -> None:
        self._client = clients.consumer(ward.settings.kafka, ward.bootstrap)
        places = [TopicPartition(ward.topics.alert_events, number) for number in range(PARTITIONS)]
        self._client.assign(places)
        self._client.seek_to_end(*places)
        for place in places:
            self._client.position(place)

    def seconds_until(self, patients: Sequence[str], since: float, limit: float = 180.0) -> dict[str, float]:
        """Return when each patient's first alert came, in seconds since `since` (monotonic)."""
        found: dict[str, float] = {}
        while len(found) < len(set(patients)):
            assert time.monotonic() - since < limit, f"{len(found)} of {len(patients)} alerts within {limit:.0f} s"
            for records in self._client.poll(timeout_ms=50).values():
                for record in records:
                    name = record.key.decode()
                    if name in patients:
                        found.setdefault(name, time.monotonic() - since)
        return found

    def close(self) -> None:
        """Stop reading."""
        self._client.close()


def parser(what: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every measurement takes."""
    made = argparse.ArgumentParser(description=what)
    made.add_argument("--bootstrap", metavar="HOST:PORT", help="a broker of yours; without it Apache Kafka is started")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return made


@contextmanager
def bench_ward(bootstrap: str | None, *, eager: bool = True, **settings: str) -> Iterator[Ward]:
    """Give a ward on a broker of its own (Apache Kafka at KAFKA_HOME), or on the one that is named.

    With `eager` its policy is one under which the first observation raises an alert.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        merged = {"SEPSIS_MONITOR_POLICY__FILE": str(eager_policy(folder)), **settings} if eager else settings
        if bootstrap:
            with open_ward(bootstrap, folder, **merged) as ward:
                yield ward
            return
        broker = local_broker(load_settings(None, {"broker.engine": "kafka", "broker.port": 0}), folder / "broker")
        broker.start()
        try:
            with open_ward(broker.bootstrap_servers, folder, **merged) as ward:
                yield ward
        finally:
            broker.stop()
