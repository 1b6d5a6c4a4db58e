"""The raise thresholds that units were moved to: the newest record of each unit, as messages and as records of topics.

Of two records of a unit the one that counted further holds, wherever and in whatever order they were read.
"""

from __future__ import annotations

import msgspec

from agents import cloudevents
from agents.messages import THRESHOLD_TYPE, Identity, UnitThreshold
from agents.outputs import utc
from agents.policy import Policy
from agents.sending import Outgoing
from monitor.budget.burden import milliseconds_of
from monitor.budget.law import Measured

__all__ = ["Thresholds", "log_record", "memory_record", "moved_to"]

_encode = msgspec.json.Encoder().encode
_DIGITS = 4  # of patient-days


def moved_to(
    unit: str, policy: Policy, threshold: float, measured: Measured, *, until_ms: int, now_ms: int
) -> UnitThreshold:
    """Return the record that gives a unit a threshold, for what was measured up to an event time."""
    return UnitThreshold(
        unit=unit,
        raise_threshold=threshold,
        counted_until=utc(until_ms),
        episodes=measured.episodes,
        patient_days=round(measured.patient_days, _DIGITS),
        policy=Identity(policy.name, policy.version, policy.digest),
        time=utc(now_ms),
    )


def _headers(record: UnitThreshold) -> list[tuple[str, bytes]]:
    return cloudevents.headers(
        event_id=f"{record.policy.digest}:{record.unit}:{record.counted_until}",
        event_type=THRESHOLD_TYPE,
        source=cloudevents.SOURCE,
        time=record.time,
        subject=record.unit,
    )


def log_record(record: UnitThreshold) -> Outgoing:
    """Return what goes into each partition of the observations topic; it has no key, for it is no patient's."""
    return None, _encode(record), _headers(record)


def memory_record(record: UnitThreshold) -> Outgoing:
    """Return what goes into the topic of thresholds, where the newest of each unit stays."""
    return record.unit.encode(), _encode(record), _headers(record)


class Thresholds:
    """The newest record of each unit; `overtaken` names those over which an older one was written."""

    def __init__(self) -> None:
        self.newest: dict[str, UnitThreshold] = {}
        self.overtaken: set[str] = set()

    def take(self, record: UnitThreshold) -> None:
        """Take a record of the topic of thresholds, in its order."""
        if milliseconds_of(record.counted_until) >= self.counted_until_ms(record.unit):
            self.newest[record.unit] = record
            self.overtaken.discard(record.unit)
        else:
            self.overtaken.add(record.unit)

    def counted_until_ms(self, unit: str) -> int:
        """Return up to when the unit's newest record has counted, epoch milliseconds; 0 without one."""
        record = self.newest.get(unit)
        return 0 if record is None else milliseconds_of(record.counted_until)

    def under(self, policy: Policy, unit: str) -> UnitThreshold | None:
        """Return the unit's record where it follows this policy, within its limits; under another it is void."""
        record, budget = self.newest.get(unit), policy.budget
        if record is None or budget is None or record.policy.digest != policy.digest:
            return None
        within = budget.lowest_threshold <= record.raise_threshold <= budget.highest_threshold
        return record if within else None
