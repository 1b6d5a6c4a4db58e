"""Reads a ward from its topics: admissions, scores and alerts as they stand, and the thresholds of its units."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.messages import Admission, AlertEvent, RiskScore, UnitThreshold
from agents.topics import Topics
from monitor.budget.burden import Burden
from monitor.ward_now import WardNow
from monitor.ward_rules import WardRules

__all__ = ["WardReader"]


class WardReader:
    """Hands records of a ward's compacted topics to the ward; what cannot be read is counted and left out.

    A `burden` takes from the same records for how long patients were where.
    """

    def __init__(self, ward: WardNow, rules: WardRules, topics: Topics, burden: Burden | None = None) -> None:
        self.topics = [topics.admissions, topics.scores, topics.alert_state]
        if rules.may_move:
            self.topics.append(topics.budgets)
        self.unreadable = 0
        self._ward, self._rules, self._names, self._burden = ward, rules, topics, burden
        self._threshold = msgspec.json.Decoder(UnitThreshold).decode
        self._admission = msgspec.json.Decoder(Admission).decode
        self._score = msgspec.json.Decoder(RiskScore).decode
        self._alert = msgspec.json.Decoder(AlertEvent).decode

    def take(self, record: Any) -> None:
        """Take a record in; within one topic and partition in order."""
        key, value = (record.key or b"").decode(errors="replace"), record.value
        try:
            if record.topic == self._names.admissions:
                if value is not None:
                    self._take_admission(self._admission(value))
            elif record.topic == self._names.scores:
                self._take_score(key, None if value is None else self._score(value))
            elif record.topic == self._names.budgets:
                if value is not None:
                    self._rules.take(self._threshold(value))
            else:
                self._ward.take_alert(key, None if value is None else self._alert(value))
        except (msgspec.DecodeError, ValueError):
            self.unreadable += 1

    def _take_admission(self, said: Admission) -> None:
        self._ward.take_admission(said)
        if self._burden is not None:
            self._burden.take_admission(said)

    def _take_score(self, key: str, score: RiskScore | None) -> None:
        self._ward.take_score(key, score)
        if score is not None and self._burden is not None:
            self._burden.take_score(score)  # a patient who is forgotten was there all the same
