"""A data set as the event stream that a ward would have sent: admissions, hourly observations, discharges.

Nothing here touches Kafka or the clock: the same cohort, options and end give the same bytes. Every stay is put
somewhere in the past, so that no worker refuses an event for coming from the future. Values go out exactly as they
are recorded, implausible ones too: what to do with those is the worker's to decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.messages import Admission
from models.cohort import Cohort
from models.vital_signs import NAMES

__all__ = ["Message", "ReplayOptions", "ReplayStream", "format_time", "shortest_decimals"]

_HOUR = 3600
_WHOLE_ROW = -1  # in `ReplayStream.vital`: all vital signs of the row in one message
_RESEND_WITHIN = (
    2 * _HOUR
)  # a repeated message comes again within two hours of event time: before and after its step closes
_UNIT_NAMES = {0: "ICU", 1: "MICU", 2: "SICU"}
_UNIT_TYPES: dict[int, Literal["unknown", "medical", "surgical"]] = {0: "unknown", 1: "medical", 2: "surgical"}


@dataclass(frozen=True)
class ReplayOptions:
    """What to take of a data set, and how to spoil the stream on purpose. Shares are probabilities from 0 to 1."""

    stays: int | None = None  # this many, drawn by the seed; None: all
    seed: int = 0
    duplicates: float = 0.0  # share of the observations that are sent a second time
    drop: float = 0.0  # share of the observations that are never sent
    shuffle: bool = False  # messages of one hour of a stay change places; shows with split
    split: bool = False  # each vital sign as a message of its own, at its own time within the hour
    spread_hours: float = 24.0  # the stays start at random within this many hours


class Message(NamedTuple):
    """One record to publish."""

    topic: Literal["admissions", "observations"]
    key: bytes  # patient id
    value: bytes  # JSON
    time: int  # event time, seconds since 1970


def shortest_decimals(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the float64 that prints as the shortest decimal of each float32 (36.11, not 36.11000061035156).

    Any shape, kept. Narrowed to float32 again, each equals the value it came from; NaN stays NaN.
    """
    unique, inverse = np.unique(values, return_inverse=True)
    decimals = np.array([float(str(value)) for value in unique], dtype=np.float64)
    exact = unique.astype(np.float64)
    with np.errstate(over="ignore"):
        same = decimals.astype(np.float32) == unique
    return np.where(same, decimals, exact)[inverse].reshape(values.shape)


def format_time(seconds: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, with fractions only where there are any."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(seconds * 1e6))
    return moment.isoformat().replace("+00:00", "Z")


class ReplayStream:
    """The stream of one replay: who is admitted when, and the observations in the order they are sent.

    Arrays over stays (S): `start`, `end` (seconds since 1970; `end` is the end of the last row's hour), `first` and
    `last` (the observations before position `last` are all that the stay has; none stands before `first`).
    Arrays over messages (M), in sending order: `due` (event time at which a message is sent: its own time but for
    repeats and shuffles), `time`, `row`, `vital`, `stay`, and `repeat` (sent before).
    """

    def __init__(self, cohort: Cohort, options: ReplayOptions, end: datetime) -> None:
        """Plan the replay of `cohort` so that everything lies before `end`."""
        draw = np.random.default_rng(options.seed)
        self.cohort = _draw_stays(cohort, options.stays, draw)
        self.offsets = np.asarray(self.cohort.offsets, dtype=np.int64)
        self._place_stays(options.spread_hours, int(end.timestamp()), draw)
        self._lay_out_messages(options, draw)
        self.first = np.searchsorted(self.due, self.start)
        self.last = np.searchsorted(self.due, self.end)
        np.maximum.at(self.last, self.stay, np.arange(1, self.n_observations + 1))
        self._units = _units(self.cohort)
        self._decimals = shortest_decimals(self.cohort.values)  # (R,7) float64

    @property
    def n_stays(self) -> int:
        """How many stays are replayed."""
        return self.cohort.n_stays

    @property
    def n_observations(self) -> int:
        """How many messages the observations are, repeats included."""
        return len(self.due)

    @property
    def patient_hours(self) -> int:
        """How many hours the stays have, empty ones included."""
        return self.cohort.n_rows

    def place(self, stay: int) -> tuple[str, str]:
        """Return the made-up unit and bed of a stay."""
        return self._units[stay]

    def admission(self, stay: int) -> Message:
        """Return the `admitted` event of a stay."""
        cohort, start = self.cohort, int(self.start[stay])
        unit, bed = self.place(stay)
        age = float(shortest_decimals(cohort.age_years[stay : stay + 1])[0])
        hospital_hours = float(shortest_decimals(cohort.hospital_hours[stay : stay + 1])[0])
        event = Admission(
            patient_id=cohort.patient_ids[stay],
            type="admitted",
            time=format_time(start),
            event_id=f"{cohort.patient_ids[stay]}:admitted",
            admitted=format_time(start),
            age=age if np.isfinite(age) else None,
            sex=_sex(float(cohort.sex[stay])),
            unit=unit,
            bed=bed,
            unit_type=_UNIT_TYPES[int(cohort.unit_type[stay])],
            hospital_admitted=format_time(start - hospital_hours * _HOUR) if np.isfinite(hospital_hours) else None,
        )
        return Message("admissions", event.patient_id.encode(), msgspec.json.encode(event), start)

    def discharge(self, stay: int) -> Message:
        """Return the `discharged` event of a stay, at the end of its last row's hour."""
        end = int(self.end[stay])
        patient = self.cohort.patient_ids[stay]
        event = Admission(
            patient_id=patient, type="discharged", time=format_time(end), event_id=f"{patient}:discharged"
        )
        return Message("admissions", patient.encode(), msgspec.json.encode(event), end)

    def observations(self, begin: int = 0, end: int | None = None) -> Iterator[Message]:
        """Yield the observations at positions `begin` to `end` (not included), in sending order, made lazily."""
        for position in range(begin, self.n_observations if end is None else end):
            yield self._observation(position)

    def messages(self) -> Iterator[Message]:
        """Yield everything in one order of event time: the order that every patient's log must have."""
        events = [(int(self.first[stay]), self.admission(stay)) for stay in range(self.n_stays)]
        events += [(int(self.last[stay]), self.discharge(stay)) for stay in range(self.n_stays)]
        events.sort(key=lambda event: (event[0], event[1].time), reverse=True)
        for position, observation in enumerate(self.observations()):
            while events and events[-1][0] <= position:
                yield events.pop()[1]
            yield observation
        while events:
            yield events.pop()[1]

    def _observation(self, position: int) -> Message:
        row, vital, stay = int(self.row[position]), int(self.vital[position]), int(self.stay[position])
        patient, step = self.cohort.patient_ids[stay], int(self.cohort.steps[row])
        time = int(self.time[position])
        event: dict[str, object] = {"event_id": f"{patient}:{step}", "patient_id": patient, "time": format_time(time)}
        if vital == _WHOLE_ROW:
            values = self._decimals[row].tolist()
            event.update((name, values[i]) for i, name in enumerate(NAMES) if self._present[row, i])
        else:
            event["event_id"] = f"{patient}:{step}:{NAMES[vital]}"
            event[NAMES[vital]] = float(self._decimals[row, vital])
        return Message("observations", patient.encode(), msgspec.json.encode(event), time)

    def _place_stays(self, spread_hours: float, end: int, draw: np.random.Generator) -> None:
        """Set start, end and the minute of each stay's hourly reading; the last stay ends a minute before `end`."""
        n = self.n_stays
        last_steps = self.cohort.steps[self.offsets[1:] - 1].astype(np.int64)
        starts = draw.integers(0, max(1, int(spread_hours * 60)), size=n, endpoint=False) * 60
        self._minute = draw.integers(0, 60, size=n) * 60
        ends = starts + (last_steps + 1) * _HOUR
        shift = (end // 60 - 1) * 60 - (int(ends.max()) if n else 0)
        self.start = starts + shift  # (S) int64
        self.end = ends + shift  # (S) int64

    def _lay_out_messages(self, options: ReplayOptions, draw: np.random.Generator) -> None:
        """Set the arrays over messages and the counts of what was dropped and repeated."""
        cohort = self.cohort
        self._present = np.isfinite(cohort.values)  # (R,7); JSON has no infinity, so one counts as nothing recorded
        stay_of_row = cohort.stay_of_row  # (R)
        hour = self.start[stay_of_row] + cohort.steps.astype(np.int64) * _HOUR  # (R) start of each row's hour
        if options.split:
            row, vital = np.nonzero(self._present)
            time = hour[row] + draw.integers(0, _HOUR, size=len(row))
        else:
            row = np.flatnonzero(self._present.any(axis=1))
            vital = np.full(len(row), _WHOLE_ROW)
            time = hour[row] + self._minute[stay_of_row[row]]
        kept = draw.random(len(row)) >= options.drop
        self.n_dropped = int(len(row) - kept.sum())
        row, vital, time = row[kept], vital[kept], time[kept]
        due = _shuffled_within_rows(row, time, draw) if options.shuffle else time
        again = np.flatnonzero(draw.random(len(row)) < options.duplicates)
        due = np.concatenate([due, due[again] + draw.integers(0, _RESEND_WITHIN, size=len(again))])
        order = np.argsort(due, kind="stable")
        self.repeat = order >= len(row)
        chosen = np.concatenate([np.arange(len(row)), again])[order]
        self.due = due[order]
        self.row, self.vital, self.time = row[chosen], vital[chosen], time[chosen]
        self.stay = stay_of_row[self.row]


def _draw_stays(cohort: Cohort, stays: int | None, draw: np.random.Generator) -> Cohort:
    """Return `stays` of the cohort's stays, drawn at random, in their own order; all if there are no more."""
    if stays is None or stays >= cohort.n_stays:
        return cohort
    keep = np.zeros(cohort.n_stays, dtype=np.bool_)
    keep[draw.choice(cohort.n_stays, size=stays, replace=False)] = True
    return cohort.select(keep)


def _shuffled_within_rows(
    row: NDArray[np.int64], time: NDArray[np.int64], draw: np.random.Generator
) -> NDArray[np.int64]:
    """Return the times, changed about at random among the messages of the same row (one hour of one stay)."""
    by_time = np.lexsort((time, row))
    by_chance = np.lexsort((draw.random(len(row)), row))
    due = np.empty_like(time)
    due[by_chance] = time[by_time]
    return due


def _units(cohort: Cohort) -> list[tuple[str, str]]:
    """Return a made-up unit and bed for each stay: the hospital's letter, the unit's type, and a number."""
    beds: dict[str, int] = {}
    places = []
    for hospital, unit_type in zip(cohort.hospitals, cohort.unit_type.tolist(), strict=True):
        unit = f"{hospital}-{_UNIT_NAMES[unit_type]}" if hospital else _UNIT_NAMES[unit_type]
        beds[unit] = beds.get(unit, 0) + 1
        places.append((unit, f"{beds[unit]:02d}"))
    return places


def _sex(code: float) -> Literal["female", "male", "unknown"]:
    if np.isnan(code):
        return "unknown"
    return "male" if code == 1 else "female"
