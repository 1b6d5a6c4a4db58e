"""A nurse by script: sees every alert some minutes after it was raised, and does something about it."""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agents.messages import AlertEvent
from agents.topics import Topics
from monitor.follow import POLL_MS, Tail

__all__ = ["Nurse"]

_Ways = tuple[tuple[float, dict[str, Any]], ...]
_SEES_AFTER_MINUTES = (2.0, 25.0)
_MARKS_AFTER_MINUTES = (5.0, 60.0)
_TREATED: dict[str, Any] = {"type": "mark", "verdict": "already_treated"}
# What she does at first, how often; now and then it is something that cannot be done.
_FIRST: _Ways = (
    (0.58, {"type": "acknowledge"}),
    (0.20, {"type": "snooze", "minutes": 90}),
    (0.08, {"type": "dismiss", "reason": "artefact"}),
    (0.05, {"type": "snooze", "minutes": 100_000}),  # longer than a policy allows
    (0.05, {"type": "acknowledge", "sequence": 99}),  # of an alert that has not come so far
    (0.04, {"type": "snooze"}),  # for how long?
)
_TREATS = 0.25  # share of the right alerts of which she says at first that it is treated already
_AGAIN = 0.1  # share of the ended alerts that she acknowledges once more


class Nurse(threading.Thread):
    """Reads the alert topic from its beginning, and sends commands at `speed` times real time.

    Her shift begins at `begin` (seconds since 1970, of the patients): what is open then she sees soon after, what has
    ended she marks. An alert is right that was open in its patient's window of `windows` (seconds since 1970).
    """

    def __init__(
        self,
        topics: Topics,
        consumer: Any,
        producer: Any,
        *,
        speed: float,
        seed: int,
        begin: float,
        windows: Mapping[str, tuple[float, float]],
    ) -> None:
        """Take a consumer that stands at the topic's beginning and a producer; both stay the caller's to close."""
        super().__init__(name="nurse", daemon=True)
        self._topics, self._consumer, self._producer, self._speed = topics, consumer, producer, speed
        self._begin, self._windows = begin, windows
        self._draw = random.Random(seed)  # noqa: S311 (a script, no secret)
        self._tail, self._halt = Tail(), threading.Event()
        self._raised: dict[str, float] = {}  # by alert: when
        self._plan: list[tuple[float, int, dict[str, Any]]] = []  # monotonic seconds, number, what is sent then
        self._numbers = itertools.count(1)
        self.sent: dict[str, str] = {}  # command id to its type
        self.answers: dict[str, str] = {}  # command id to the transition that answered it
        self.seen: Counter[str] = Counter()  # kind and transition, in her shift

    def take_over(self) -> None:
        """Read what the topic has by now, and plan what to do about it."""
        latest: dict[str, AlertEvent] = {}
        ends = self._consumer.end_offsets(list(self._consumer.assignment()))
        while any(self._consumer.position(place) < end for place, end in ends.items()):
            latest |= {event.alert_id: event for event in self._read()}
        for event in latest.values():
            self._think(event, self._begin)

    def run(self) -> None:
        """Work until the shift ends."""
        while not self._halt.is_set():
            for event in self._read():
                self.seen[f"{event.kind} {event.transition}"] += 1
                if event.transition == "raised" or event.state == "ended":
                    self._think(event, _seconds(event.occurred_at))
            while self._plan and self._plan[0][0] <= time.monotonic():
                self._send(heapq.heappop(self._plan)[2])

    def end_shift(self) -> None:
        """Send nothing more, and see that what was sent is acknowledged."""
        self._halt.set()
        self.join()
        self._producer.flush()

    def all_answered(self) -> bool:
        """Read what the topic has new, after the shift, and tell whether every command has been answered."""
        self._read()
        return not self.unanswered()

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing that she means to do."""
        return not self._plan

    def unanswered(self) -> list[str]:
        """Return the commands that nothing has answered yet."""
        return sorted(self.sent.keys() - self.answers.keys())

    def _read(self) -> list[AlertEvent]:
        """Return new events but for answers that say nothing of an alert."""
        found: list[AlertEvent] = []
        for records in self._consumer.poll(timeout_ms=min(POLL_MS, 50)).values():
            for record in records:
                event = self._tail.fresh(record.value)
                if event is None:
                    continue
                if event.command_id is not None:
                    self.answers[event.command_id] = event.transition
                if event.transition == "raised":
                    self._raised[event.alert_id] = _seconds(event.occurred_at)
                if event.transition not in {"rejected", "marked"}:
                    found.append(event)
        return found

    def _think(self, event: AlertEvent, now: float) -> None:
        """Plan what is done about an alert that is seen to be open, or to have ended, at `now`."""
        draw, is_sepsis = self._draw, event.kind == "sepsis_risk"
        if event.state != "ended":
            treats = is_sepsis and self._is_right(event, now) and draw.random() < _TREATS
            self._remember(event, now, _SEES_AFTER_MINUTES, _TREATED if treats else _chosen(draw, _FIRST))
        elif is_sepsis:
            verdict = "true" if self._is_right(event, _seconds(event.occurred_at)) else "false"
            self._remember(event, now, _MARKS_AFTER_MINUTES, {"type": "mark", "verdict": verdict})
            if draw.random() < _AGAIN:
                self._remember(event, now, _MARKS_AFTER_MINUTES, {"type": "acknowledge"})

    def _is_right(self, event: AlertEvent, until: float) -> bool:
        """Tell whether an alert was open at some time of its patient's window, up to `until`."""
        begin, end = self._windows.get(event.patient_id, (float("inf"), 0.0))
        return self._raised.get(event.alert_id, until) < end and until >= begin

    def _remember(self, event: AlertEvent, now: float, after: tuple[float, float], what: dict[str, Any]) -> None:
        minutes = self._draw.uniform(*after)
        number = next(self._numbers)
        said = {
            "command_id": f"nurse-{number}",
            "patient_id": event.patient_id,
            "alert_id": event.alert_id,
            "time": datetime.fromtimestamp(now + 60 * minutes, UTC).isoformat(),
            "by": "nurse",
            **what,
        }
        heapq.heappush(self._plan, (time.monotonic() + 60 * minutes / self._speed, number, said))

    def _send(self, said: dict[str, Any]) -> None:
        self.sent[said["command_id"]] = said["type"]
        value = json.dumps(said).encode()
        self._producer.send(self._topics.alert_commands, key=said["patient_id"].encode(), value=value)


def _chosen(draw: random.Random, ways: _Ways) -> dict[str, Any]:
    return draw.choices([what for _, what in ways], [weight for weight, _ in ways])[0]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
