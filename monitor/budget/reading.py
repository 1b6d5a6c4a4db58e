"""Reads what a live budget goes by: admissions and scores from their beginning, alerts as far back as they count.

No place is kept and nothing is added up on disk: after a restart the same topics are read again and come to the same
counts, so that nothing is counted twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from agents.messages import Admission, AlertEvent, RiskScore, UnitThreshold
from agents.topics import Topics
from monitor.budget.burden import Burden
from monitor.budget.thresholds import Thresholds
from monitor.follow import Follower, assign, partitions_of

__all__ = ["BudgetReader"]

_HOUR_MS = 3_600_000
# A mark may stand before the end of its alert, and an alert be open for long: so much further back events are read.
_FURTHER_MS = 7 * 24 * _HOUR_MS


class BudgetReader:
    """Keeps burden and thresholds up with the topics, through a consumer that stays the caller's to close."""

    def __init__(self, consumer: Any, topics: Topics, *, window_hours: float, kept_hours: float) -> None:
        """Read for windows up to `window_hours`; scores of a stay are kept for `kept_hours` after its end.

        Raises Failure when a topic does not exist.
        """
        self.burden, self.thresholds = Burden(), Thresholds()
        self.unreadable = 0
        self.complete_from_ms = 0  # stays that ended before may be missing
        self._consumer, self._topics = consumer, topics
        self._window_ms, self._kept_ms = round(window_hours * _HOUR_MS), round(kept_hours * _HOUR_MS)
        self._follower: Follower | None = None
        decode_admission, decode_score = msgspec.json.Decoder(Admission).decode, msgspec.json.Decoder(RiskScore).decode
        decode_event, decode_threshold = (
            msgspec.json.Decoder(AlertEvent).decode,
            msgspec.json.Decoder(UnitThreshold).decode,
        )
        self._takes: dict[str, Callable[[bytes], None]] = {
            topics.admissions: lambda value: self.burden.take_admission(decode_admission(value)),
            topics.scores: lambda value: self.burden.take_score(decode_score(value)),
            topics.alert_events: lambda value: self.burden.take_event(decode_event(value)),
            topics.budgets: lambda value: self.thresholds.take(decode_threshold(value)),
        }

    def catch_up(self, stop: threading.Event) -> None:
        """Read all that the topics have by now, or up to where `stop` is set; raises KafkaError."""
        if self._follower is None:
            self._follow(stop)
        if self._follower is not None:
            self._read(self._follower, stop)
            self.burden.forget_before(self.burden.clock_ms - self._window_ms - _FURTHER_MS)

    def _follow(self, stop: threading.Event) -> None:
        """Find out from the scores how far back alerts are wanted, and follow all topics from there."""
        first = [self._topics.admissions, self._topics.scores, self._topics.budgets]
        follower = Follower(self._consumer, assign(self._consumer, first))
        self._read(follower, stop)
        if stop.is_set():
            return
        clock_ms = self.burden.clock_ms
        self.complete_from_ms = clock_ms - self._kept_ms
        places = partitions_of(self._consumer, self._topics.alert_events)
        since = (clock_ms or round(time.time() * 1000)) - self._window_ms - _FURTHER_MS
        starts = self._consumer.offsets_for_times(dict.fromkeys(places, max(0, since)))
        positions = dict(follower.positions)
        self._consumer.assign([*positions, *places])
        for place, offset in positions.items():
            self._consumer.seek(place, offset)
        for place in places:
            # Where nothing is that young, or the client does not know: all of it. It is forgotten again.
            if starts[place] is None:
                self._consumer.seek_to_beginning(place)
            else:
                self._consumer.seek(place, starts[place].offset)
            positions[place] = self._consumer.position(place)
        self._follower = Follower(self._consumer, positions)

    def _read(self, follower: Follower, stop: threading.Event) -> None:
        for records in follower.batches(stop, follower.ends()):
            for record in records:
                self._take(record)
                follower.done(record)

    def _take(self, record: Any) -> None:
        if record.value is None:
            return  # a patient who is gone bore what he bore
        try:
            self._takes[record.topic](record.value)
        except (msgspec.DecodeError, ValueError):
            self.unreadable += 1
