"""What alerts cost the units of a cluster, by event time: patient-days, and alerts that nobody called right.

Pure: fed with the records of topics, in any order among patients and as often as they come; a record that comes twice
changes nothing. Times are epoch milliseconds. Canaries are left out.

A stay is known by its newest score alone (its step says when it began), so that nothing is missing after a restart,
when the compacted topic has only that one left. Where a patient is says the topic of admissions.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from agents.canary import is_canary
from agents.messages import Admission, AlertEvent, RiskScore
from monitor.budget.law import Measured
from monitor.shift import RIGHT, verdict_of
from monitor.ward_now import when

__all__ = ["Burden", "UnitBurden", "milliseconds_of"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def milliseconds_of(text: str) -> int:
    """Return a time of a message as epoch milliseconds."""
    return round(when(text).timestamp() * 1000)


@dataclass
class _Alert:
    unit: str = ""  # in which it ended
    ended_ms: int | None = None
    verdict: str | None = None
    verdict_of: int = 0  # the sequence that gave it
    newest_ms: int = 0


@dataclass
class UnitBurden:
    """One unit's stretches of patients' time, [begin, end), and its alerts that have ended: when, and whether right."""

    present: list[tuple[int, int]] = field(default_factory=list)
    ended: list[tuple[int, bool]] = field(default_factory=list)
    policies: dict[str, int] = field(default_factory=dict)  # by digest: when an alert last moved under it

    @property
    def clock_ms(self) -> int:
        """The newest event time of the unit's patients; 0 without any."""
        return max((end for _, end in self.present), default=0)

    @property
    def first_ms(self) -> int:
        """Since when patients of the unit are known; 0 without any."""
        return min((begin for begin, _ in self.present), default=0)

    def measured(self, begin_ms: int, end_ms: int) -> Measured:
        """Count what was in [begin, end)."""
        milliseconds = sum(max(0, min(end, end_ms) - max(begin, begin_ms)) for begin, end in self.present)
        wrong = sum(begin_ms <= at < end_ms and not right for at, right in self.ended)
        return Measured(wrong, milliseconds / _DAY_MS)

    @property
    def policy_at_work(self) -> str | None:
        """The digest of the policy under which an alert of the unit moved last; None where none has."""
        return max(self.policies, key=lambda digest: self.policies[digest], default=None)

    def last_under_another_ms(self, digest: str) -> int:
        """Return when an alert last moved under another policy than that of the digest; 0 for never."""
        return max((at for name, at in self.policies.items() if name != digest), default=0)


class Burden:
    """Takes admissions, scores and alert events; `by_unit` is what they come to."""

    def __init__(self) -> None:
        self._stays: dict[tuple[str, str], list[list[int]]] = {}  # begin and end of each stay that had that id
        self._places: dict[str, list[tuple[int, str]]] = {}  # since when a patient is in which unit
        self._alerts: dict[str, _Alert] = {}
        self._policies: dict[tuple[str, str], int] = {}

    def take_admission(self, said: Admission) -> None:
        """Note where a patient is from then on."""
        if is_canary(said.patient_id):
            return
        leaves = said.type in {"discharged", "merged"}
        if said.unit is None and not leaves:
            return
        began = said.admitted if said.type == "admitted" else None
        place = (milliseconds_of(began or said.time), "" if leaves else said.unit or "")
        places = self._places.setdefault(said.patient_id, [])
        if place not in places:
            insort(places, place, key=lambda each: each[0])

    def take_score(self, score: RiskScore) -> None:
        """Note for how long a stay has gone on."""
        if score.test:
            return
        seen = milliseconds_of(score.time)
        begin = seen - score.step * _HOUR_MS
        stays = self._stays.setdefault((score.patient_id, score.stay_id), [])
        for stay in stays:  # an id may be given again, long after; where a stay began is known to the hour
            if begin - _HOUR_MS <= stay[1] and seen + _HOUR_MS >= stay[0]:
                stay[0], stay[1] = min(stay[0], begin), max(stay[1], seen)
                return
        stays.append([begin, seen])

    def take_event(self, event: AlertEvent) -> None:
        """Note the end of a sepsis alert, a mark, and under which policy alerts are raised."""
        if event.test or event.kind != "sepsis_risk" or event.transition == "rejected":
            return
        at, unit = milliseconds_of(event.occurred_at), event.unit or ""
        name = (unit, event.policy.digest)
        self._policies[name] = max(at, self._policies.get(name, 0))
        ends, verdict = event.transition in {"resolved", "expired"}, verdict_of(event)
        if not ends and verdict is None:
            return
        alert = self._alerts.setdefault(event.alert_id, _Alert())
        alert.newest_ms = max(alert.newest_ms, at)
        if ends:
            alert.ended_ms, alert.unit = at, unit
        if verdict is not None and event.sequence >= alert.verdict_of:
            alert.verdict, alert.verdict_of = verdict, event.sequence

    def forget_before(self, at_ms: int) -> None:
        """Let go of what ended before, and of the places of patients of whom nothing else is known."""
        self._stays = {
            name: kept for name, stays in self._stays.items() if (kept := [stay for stay in stays if stay[1] >= at_ms])
        }
        self._alerts = {name: alert for name, alert in self._alerts.items() if alert.newest_ms >= at_ms}
        known = {patient for patient, _ in self._stays}
        self._places = {
            patient: places for patient, places in self._places.items() if patient in known or places[-1][0] >= at_ms
        }

    @property
    def clock_ms(self) -> int:
        """The newest event time of all; 0 without any."""
        return max((stay[1] for stays in self._stays.values() for stay in stays), default=0)

    def patient_days(self, begin_ms: int, end_ms: int, unit: str | None = None) -> float:
        """Return for how many days patients were in a unit within [begin, end), None: in any or in no unit."""
        every = self.by_unit()
        units = every.values() if unit is None else [every.get(unit, UnitBurden())]
        return sum(each.measured(begin_ms, end_ms).patient_days for each in units)

    def by_unit(self) -> dict[str, UnitBurden]:
        """Return what each unit bears; the empty name has the patients of whom no unit is known."""
        found: dict[str, UnitBurden] = defaultdict(UnitBurden)
        for (patient, _), stays in self._stays.items():
            for begin, end in stays:
                for unit, since, until in _in_units(self._places.get(patient, []), begin, end):
                    found[unit].present.append((since, until))
        for alert in self._alerts.values():
            if alert.ended_ms is not None:
                found[alert.unit].ended.append((alert.ended_ms, alert.verdict in RIGHT))
        for (unit, digest), at in self._policies.items():
            if unit in found:
                found[unit].policies[digest] = at
        return dict(found)


def _in_units(places: list[tuple[int, str]], begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Cut a stay where the patient came to another unit. What comes before the first place is that place's."""
    if not places:
        yield "", begin, end
        return
    bounds = [since for since, _ in places[1:]]
    for (_, unit), since, until in zip(places, [begin, *bounds], [*bounds, end], strict=True):
        first, last = max(since, begin), min(until, end)
        if first < last:
            yield unit, first, last
