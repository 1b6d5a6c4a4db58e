"""What the topics of a demo hold, read as it comes: into the ward, and into counts and latencies."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import numpy as np

from agents.messages import AlertEvent, RiskScore, SourcePosition
from agents.topics import Topics
from monitor.demo_ward import Ward

__all__ = ["Feed", "Latency"]

_RATE_SECONDS = 5.0


class Latency(NamedTuple):
    """Milliseconds from Kafka's append of an observation to that of what came of it."""

    p50: float
    p99: float


class Feed:
    """Takes records of the topics, from the reader's thread; `ward` and the counts are for other threads to look at."""

    def __init__(self, ward: Ward, topics: Topics) -> None:
        self._ward, self._topics = ward, topics
        self._lock = threading.RLock()
        self._scores = msgspec.json.Decoder(RiskScore)
        self._alerts = msgspec.json.Decoder(AlertEvent)
        self._appended: dict[tuple[int, int], int] = {}  # timestamp of each record of the patients' logs, milliseconds
        self._results: list[tuple[int, int, int]] = []  # partition and offset of a source, and its result's timestamp
        self._recent: deque[tuple[float, int]] = deque()  # when how many records of the logs had been read
        self._alert_values: dict[str, bytes] = {}  # by event_id, as received
        self.rejected = 0

    @contextmanager
    def looking(self) -> Iterator[Ward]:
        """Yield the ward while nothing changes in it."""
        with self._lock:
            yield self._ward

    def handle(self, record: Any) -> None:
        """Take one record in. Raises msgspec.MsgspecError where a worker wrote what the contract does not allow."""
        with self._lock:
            if record.topic == self._topics.observations:
                self._appended[record.partition, record.offset] = record.timestamp
            elif record.topic == self._topics.rejected:
                self.rejected += 1
            elif record.value is None:
                return
            elif record.topic == self._topics.scores:
                score = self._scores.decode(record.value)
                self._ward.take_score(score)
                self._result(score.source, record.timestamp)
            elif record.topic == self._topics.alert_events:
                event = self._alerts.decode(record.value)
                if self._ward.take_alert(event):
                    self._alert_values[event.event_id] = record.value
                self._result(event.log, record.timestamp)

    def _result(self, source: SourcePosition, timestamp: int) -> None:
        self._results.append((source.partition, source.offset, timestamp))

    def rate(self) -> float:
        """Return how many records of the patients' logs came a second, over the last few seconds."""
        now, count = monotonic(), len(self._appended)
        self._recent.append((now, count))
        while len(self._recent) > 1 and now - self._recent[0][0] > _RATE_SECONDS:
            self._recent.popleft()
        since, before = self._recent[0]
        return (count - before) / (now - since) if now > since else 0.0

    def latency(self) -> Latency | None:
        """Return the latencies of all scores and alerts so far; None where there are none."""
        with self._lock:
            waits = [
                timestamp - self._appended[partition, offset]
                for partition, offset, timestamp in self._results
                if (partition, offset) in self._appended
            ]
        if not waits:
            return None
        p50, p99 = np.percentile(waits, [50, 99])
        return Latency(round(float(p50), 1), round(float(p99), 1))

    def write_alerts(self, path: Path) -> None:
        """Write each alert event as received, one JSON object a line, by time of occurrence. Raises OSError."""
        with self._lock:
            events = sorted(self._ward.alerts, key=lambda event: (event.occurred_at, event.patient_id, event.sequence))
            lines = [self._alert_values[event.event_id] for event in events]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
