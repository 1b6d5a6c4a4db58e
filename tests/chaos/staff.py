"""People on a ward: they answer alerts with commands, now and then with one that cannot be obeyed."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

from tests.chaos.evidence import Record
from tests.chaos.feed import Feed
from tests.chaos.subscriber import Subscriber

__all__ = ["Staff"]

_ANSWERED = 0.5  # share of the alert events that somebody answers
_ANSWERS: tuple[dict[str, Any], ...] = (
    {"type": "acknowledge"},
    {"type": "acknowledge"},
    {"type": "snooze", "minutes": 120},
    {"type": "snooze", "minutes": 100_000},  # longer than a policy allows
    {"type": "dismiss", "reason": "artefact"},
    {"type": "mark", "verdict": "true"},
    {"type": "mark", "verdict": "false"},
    {"type": "mark", "verdict": "already_treated"},
    {"type": "acknowledge", "alert_id": "nobody-knows-this-one"},
    {"type": "acknowledge", "sequence": 99},
    {"type": "snooze"},  # for how long?
)


class Staff:
    """Reads what a subscriber has read, in a thread of its own, and sends commands through the feed."""

    def __init__(self, subscriber: Subscriber, feed: Feed, topic: str, seed: int) -> None:
        self._subscriber, self._feed, self._topic = subscriber, feed, topic
        self._random = random.Random(seed)  # noqa: S311 (a scenario, no secret)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="staff", daemon=True)
        self.commands = 0
        self.resting = False  # answers nothing meanwhile, and everything later

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        read = 0
        while not self._stop.wait(0.05):
            seen = read if self.resting else len(self._subscriber.seen)
            for record in self._subscriber.seen[read:seen]:
                if self._random.random() < _ANSWERED:
                    self._answer(record)
            read = seen

    def _answer(self, record: Record) -> None:
        alert = json.loads(record.value or b"")
        if alert["transition"] not in {"raised", "updated", "escalated"}:
            return
        self.commands += 1
        command = {
            "command_id": f"command-{self.commands}",
            "patient_id": alert["patient_id"],
            "alert_id": alert["alert_id"],
            "time": alert["occurred_at"],
            "by": "nurse",
            **self._random.choice(_ANSWERS),
        }
        self._feed.send(self._topic, record.key or b"", json.dumps(command).encode())
