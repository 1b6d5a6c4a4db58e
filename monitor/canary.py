"""One round of the canaries: a made-up patient of each partition falls ill at once, is alerted, and is discharged.

A round sends one observation a partition, so ill that any model alerts within the first hour, straight into the
patients' logs; it waits for the alert that this very observation raised; then it discharges the patient over the topic
of admissions, which ends the alert. So a round tries all that stands between a monitor and a pager.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from agents.canary import CANARY_PREFIX
from agents.outputs import utc
from agents.topics import Topics
from agents.worker_config import partition_of
from monitor.follow import POLL_MS, Tail

__all__ = ["Canaries", "Round", "canary_of", "topics_of"]

_SEND_SECONDS = 30.0
# Septic shock as in a textbook: any model that has learned anything alerts.
_ILL = {
    "heart_rate": 150,
    "respiratory_rate": 40,
    "temperature": 40.0,
    "oxygen_saturation": 82,
    "systolic_bp": 75,
    "diastolic_bp": 35,
    "mean_arterial_pressure": 48,
}


def canary_of(partition: int, partitions: int) -> str:
    """Return the id of the canary that lives in a partition: the first one whose murmur2 leads there."""
    names = (f"{CANARY_PREFIX}{number}" for number in itertools.count())
    return next(name for name in names if partition_of(name.encode(), partitions) == partition)


def topics_of(topics: Topics) -> frozenset[str]:
    """Return the names of the topics that a canary writes to or reads; of the others it need know nothing."""
    return frozenset({topics.observations, topics.admissions, topics.alert_events})


@dataclass
class Round:
    """What one round found: seconds to the alert by partition, and the partitions without one."""

    seconds: dict[int, float] = field(default_factory=dict)
    missed: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Return the round as plain values."""
        return {
            "alert_seconds": {str(key): round(value, 3) for key, value in self.seconds.items()},
            "missed": self.missed,
        }


class Canaries:
    """The canaries of all partitions, over one producer and one consumer that stands at the end of the alert topic."""

    def __init__(
        self, topics: Topics, producer: Any, consumer: Any, partitions: int, *, stopping: Callable[[], bool]
    ) -> None:
        """Take clients, which stay the caller's to close; `stopping` ends a round early."""
        self._topics, self._producer, self._consumer, self._stopping = topics, producer, consumer, stopping
        self._names = {partition: canary_of(partition, partitions) for partition in range(partitions)}
        self._tail = Tail()
        self._last_ms = 0

    def round(self, within_seconds: float) -> Round:
        """Send an observation for every partition, wait for the alerts at most so long, and discharge the canaries."""
        found = Round()
        sent_at = time.monotonic()
        waiting = {(partition, offset): partition for partition, offset in self._send_ill().items()}
        while waiting and not self._stopping() and time.monotonic() - sent_at < within_seconds:
            for event in self._alerts():
                partition = waiting.pop((event.log.partition, event.log.offset), None)
                if partition is not None:
                    found.seconds[partition] = time.monotonic() - sent_at
        if not self._stopping():
            found.missed = sorted(waiting.values())
        self._discharge()
        return found

    def _send_ill(self) -> dict[int, int]:
        """Send one observation a canary; return the offset of each by partition."""
        now = utc(self._now_ms())
        sent = {
            partition: self._producer.send(
                self._topics.observations,
                key=name.encode(),
                value=json.dumps({"patient_id": name, "time": now, **_ILL}).encode(),
            )
            for partition, name in self._names.items()
        }
        self._producer.flush(_SEND_SECONDS)
        return {partition: int(future.get(_SEND_SECONDS).offset) for partition, future in sent.items()}

    def _discharge(self) -> None:
        now = utc(self._now_ms())
        for name in self._names.values():
            value = {"patient_id": name, "type": "discharged", "time": now, "event_id": f"{name}:{now}"}
            self._producer.send(self._topics.admissions, key=name.encode(), value=json.dumps(value).encode())
        self._producer.flush(_SEND_SECONDS)

    def _alerts(self) -> Iterator[Any]:
        for records in self._consumer.poll(timeout_ms=POLL_MS).values():
            for record in records:
                event = self._tail.fresh(record.value)
                if event is not None and event.test and event.transition == "raised":
                    yield event

    def _now_ms(self) -> int:
        """Return the time, later than any that was given out before: a stay must begin after the one before ended."""
        self._last_ms = max(self._last_ms + 1, time.time_ns() // 1_000_000)
        return self._last_ms
