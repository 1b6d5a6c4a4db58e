"""What policies and models would have done, side by side: over scored stays, or over a recorded log.

The alerts come from the service's own decisions. Pure: records in, figures out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from agents.canary import is_canary
from agents.core import Core, LogRecord
from agents.decoding import Headers, Limits
from agents.messages import SETTINGS_TYPE, THRESHOLD_TYPE, AlertEvent, Settings
from agents.policy import Policy
from agents.worker_config import partition_of
from models.alarm_figures import AlertCourse, alarm_figures
from models.cohort import Cohort
from models.resampling import Resamples
from models.scoring import score_cohort
from models.stay_model import StayModel
from monitor.alert_course import alert_course
from monitor.tuning import false_a_day

__all__ = ["Episode", "LogSide", "Side", "differences", "simulate_cohort", "stays_alerted_only"]

_HOURS_A_DAY = 24
_LABELLED = ("septic_alerted", "other_ever_alerted", "ppv_episode", "ppv_stay", "lead_hours_median")
_SETTINGS = SETTINGS_TYPE.encode()
_RULES = {_SETTINGS, THRESHOLD_TYPE.encode()}
_settings_decoder = msgspec.json.Decoder(Settings)


@dataclass(frozen=True)
class _Record:
    """A record of the log as a simulation sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, order=True)
class Episode:
    """A sepsis alert of a stay, from its beginning to its end, both within it: hours of the stay, or epoch ms."""

    stay: str
    begin: int
    end: float  # infinite while it is open


@dataclass(frozen=True)
class Side:
    """What one policy and model did: its alerts, and what they cost."""

    stays: int
    patient_days: float
    episodes: tuple[Episode, ...]
    figures: dict[str, float] = field(default_factory=dict)  # only where the stays have labels

    def as_json(self) -> dict[str, Any]:
        """Return the counts and rates."""
        alerted = len({each.stay for each in self.episodes})
        return {
            "stays": self.stays,
            "patient_days": round(self.patient_days, 3),
            "alerts": len(self.episodes),
            "stays_alerted": alerted,
            "alerts_per_patient_day": len(self.episodes) / self.patient_days if self.patient_days else None,
            **self.figures,
        }


def differences(before: Sequence[Episode], after: Sequence[Episode]) -> dict[str, list[Episode]]:
    """Return the alerts of each side during which the other side had none open in that stay."""
    return {"only_before": _without(before, after), "only_after": _without(after, before)}


def stays_alerted_only(before: Sequence[Episode], after: Sequence[Episode]) -> dict[str, list[str]]:
    """Return the stays that one side alerted at some time and the other never, sorted."""
    one, other = ({each.stay for each in side} for side in (before, after))
    return {"stays_only_before": sorted(one - other), "stays_only_after": sorted(other - one)}


def _without(some: Sequence[Episode], others: Sequence[Episode]) -> list[Episode]:
    by_stay: dict[str, list[Episode]] = defaultdict(list)
    for each in others:
        by_stay[each.stay].append(each)
    return [
        each
        for each in sorted(some)
        if not any(other.begin <= each.end and each.begin <= other.end for other in by_stay[each.stay])
    ]


def simulate_cohort(model: StayModel, policy: Policy, cohort: Cohort) -> Side:
    """Return what a policy would have done over the stays of a file; with figures of what is found where labelled."""
    course = alert_course(cohort, score_cohort(model, cohort), policy)
    figures: dict[str, float] = {}
    if cohort.labels is not None:
        found = alarm_figures(cohort, course, Resamples.draw(cohort.n_stays, 0, 0))
        figures = {name: found[name].value for name in _LABELLED}
        figures["false_episodes_per_patient_day"] = false_a_day(found)
    days = cohort.n_rows / _HOURS_A_DAY
    return Side(cohort.n_stays, days, tuple(_episodes(cohort, course)), figures)


def _episodes(cohort: Cohort, course: AlertCourse) -> Iterable[Episode]:
    stay = cohort.stay_of_row
    for row in np.flatnonzero(course.raised).tolist():
        last, end = row, int(cohort.offsets[stay[row] + 1])
        while last + 1 < end and course.is_open[last + 1] and not course.raised[last + 1]:
            last += 1
        yield Episode(cohort.patient_ids[stay[row]], int(cohort.steps[row]), float(cohort.steps[last]))


class LogSide:
    """One side over a recorded log: takes its records, partition by partition in order, and keeps the alerts.

    Canaries, which are no patients, are left out.
    """

    def __init__(
        self,
        model: StayModel,
        policy: Policy,
        limits: Limits,
        partitions: int,
        units: Mapping[str, Policy] | None = None,
        *,
        as_named: bool,
        instead: Mapping[str, Policy] | None = None,
    ) -> None:
        """Decide by `policy`, and by those of `units`: where the log has named none (`as_named`), or whatever it says.

        What it says of units' thresholds counts, or does not, in the same way. In units of `instead` its policy decides
        in any case, and thresholds that followed another mean nothing there.
        """
        self._instead = dict(instead or {})
        self._core = Core(
            model,
            policy,
            limits,
            units={**(units or {}), **self._instead},
            right_partition=lambda key: partition_of(key, partitions),
            explains=False,
        )
        self._as_named = as_named
        self._states: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._stays: set[str] = set()
        self._steps = 0
        self.events: list[AlertEvent] = []  # of each patient in order, without reasons

    def take(self, partition: int, records: Sequence[LogRecord]) -> None:
        """Work off the next records of a partition."""
        states = self._states[partition]
        counting = [self._as_tried(each) for each in records if self._counts(each)]
        outcome = self._core.process(partition, counting, states.get)
        outcome.store_in(states)
        self._steps += outcome.steps_closed
        self._stays.update(_stay(score.patient_id, score.stay_id) for score in outcome.scores)
        self.events += [alert for _, alert in outcome.alerts]

    def _counts(self, record: LogRecord) -> bool:
        if not self._as_named and any(name == "ce_type" and value in _RULES for name, value in record.headers):
            return False
        return record.key is None or not is_canary(record.key.decode(errors="replace"))

    def _as_tried(self, record: LogRecord) -> LogRecord:
        """Return a record with the policies that are tried in the places of those that it names."""
        if not self._instead or ("ce_type", _SETTINGS) not in record.headers:
            return record
        try:
            named = _settings_decoder.decode(record.value or b"")
        except msgspec.DecodeError:
            return record
        tried = msgspec.structs.replace(named, units={**named.units, **self._instead})
        return _Record(record.offset, record.timestamp, record.key, msgspec.json.encode(tried), record.headers)

    def side(self) -> Side:
        """Return what came of what was taken."""
        begun: dict[str, Episode] = {}
        for event in self.events:
            if event.kind != "sepsis_risk":
                continue
            at = round(datetime.fromisoformat(event.occurred_at).timestamp() * 1000)
            if event.transition == "raised":
                begun[event.alert_id] = Episode(_stay(event.patient_id, event.stay_id), at, float("inf"))
            elif event.state == "ended" and event.transition in {"resolved", "expired"}:
                known = begun.get(event.alert_id)
                if known is not None:
                    begun[event.alert_id] = Episode(known.stay, known.begin, float(at))
        return Side(len(self._stays), self._steps / _HOURS_A_DAY, tuple(begun.values()))


def _stay(patient_id: str, stay_id: str) -> str:
    return f"{patient_id}/{stay_id}"
