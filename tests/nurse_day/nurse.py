"""A nurse by script: sees every alert some minutes after it was raised, and does something about it."""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from agents.topics import Topics
from monitor.follow import POLL_MS, Tail

__all__ = ["Nurse"]

_SEES_AFTER_MINUTES = (2.0, 25.0)
# What she does at first, how often; now and then it is something that cannot be done.
_FIRST: tuple[tuple[float, dict[str, Any]], ...] = (
    (0.55, {"type": "acknowledge"}),
    (0.20, {"type": "snooze", "minutes": 90}),
    (0.08, {"type": "dismiss", "reason": "artefact"}),
    (0.05, {"type": "mark", "verdict": "already_treated"}),
    (0.06, {"type": "snooze", "minutes": 100_000}),  # longer than a policy allows
    (0.06, {"type": "acknowledge", "sequence": 99}),  # of an alert that has not come so far
)
_LATER: tuple[tuple[float, dict[str, Any]], ...] = (
    (0.2, {"type": "mark", "verdict": "true"}),
    (0.6, {"type": "mark", "verdict": "false"}),
    (0.2, {"type": "acknowledge"}),  # again, or of an alert that has ended
)


class Nurse(threading.Thread):
    """Reads the alert topic from now on, and sends commands at `speed` times real time."""

    def __init__(self, topics: Topics, consumer: Any, producer: Any, speed: float, seed: int) -> None:
        """Take a consumer that stands at the topic's end and a producer; both stay the caller's to close."""
        super().__init__(name="nurse", daemon=True)
        self._topics, self._consumer, self._producer, self._speed = topics, consumer, producer, speed
        self._draw = random.Random(seed)  # noqa: S311 (a script, no secret)
        self._tail, self._halt = Tail(), threading.Event()
        self._plan: list[tuple[float, int, dict[str, Any]]] = []  # monotonic seconds, number, what is sent then
        self._numbers = itertools.count(1)
        self.sent: dict[str, str] = {}  # command id to its type
        self.answers: dict[str, str] = {}  # command id to the transition that answered it
        self.seen: Counter[str] = Counter()  # kind and transition

    def run(self) -> None:
        """Work until the shift ends."""
        while not self._halt.is_set():
            self._read()
            while self._plan and self._plan[0][0] <= time.monotonic():
                self._send(heapq.heappop(self._plan)[2])

    def end_shift(self) -> None:
        """Send nothing more, and see that what was sent is acknowledged."""
        self._halt.set()
        self.join()
        self._producer.flush()

    def read_on(self) -> None:
        """Read what the topic has new: for the answers that come after the shift."""
        self._read()

    def unanswered(self) -> list[str]:
        """Return the commands that nothing has answered yet."""
        return sorted(self.sent.keys() - self.answers.keys())

    def _read(self) -> None:
        for records in self._consumer.poll(timeout_ms=min(POLL_MS, 50)).values():
            for record in records:
                event = self._tail.fresh(record.value)
                if event is None:
                    continue
                self.seen[f"{event.kind} {event.transition}"] += 1
                if event.command_id is not None:
                    self.answers[event.command_id] = event.transition
                if event.transition == "raised":
                    first = self._draw.uniform(*_SEES_AFTER_MINUTES)
                    self._remember(event, first, _FIRST)
                    if event.kind == "sepsis_risk":
                        self._remember(event, first + self._draw.uniform(30.0, 180.0), _LATER)

    def _remember(self, event: Any, minutes: float, ways: tuple[tuple[float, dict[str, Any]], ...]) -> None:
        weights, answers = zip(*ways, strict=True)
        number = next(self._numbers)
        said = {
            "command_id": f"nurse-{number}",
            "patient_id": event.patient_id,
            "alert_id": event.alert_id,
            "time": (datetime.fromisoformat(event.occurred_at) + timedelta(minutes=minutes)).isoformat(),
            "by": "nurse",
            **self._draw.choices(answers, weights)[0],
        }
        heapq.heappush(self._plan, (time.monotonic() + 60 * minutes / self._speed, number, said))

    def _send(self, said: dict[str, Any]) -> None:
        self.sent[said["command_id"]] = said["type"]
        value = json.dumps(said).encode()
        self._producer.send(self._topics.alert_commands, key=said["patient_id"].encode(), value=value)
