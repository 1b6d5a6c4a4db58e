"""Lost state, read again: the recent part of a partition's log makes the states of some of its patients anew.

Pure. What the patients' alerts, scores and refusals come to on the way is thrown away: it was published long ago, under
the same ids. A damaged record, or another patient's, tells nothing: that patient begins at nothing and lives through
the log once more. Of another model's record, or one whose hidden state is no number, stay and alert are sound: only the
hidden state is made again, over the closed steps of the stay that the record names.

What is read of a patient depends on the log and on the stored record alone, not on the chunk in which the loss was met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from agents import open_step, stays
from agents.core import Core
from agents.in_force import settings_keys
from agents.messages import Rebuilt
from agents.outcome import LogRecord
from agents.record import HEAD, RecordLayout, Rows
from agents.steps import Steps

__all__ = ["MOST_RECORDS", "WINDOW_HOURS", "Lost", "WarmUp", "find_lost", "lost_in"]

WINDOW_HOURS = 168.0  # of a patient's log
MOST_RECORDS = 250_000  # of the partition's log, before the patient's first record that is not read again
_HOUR_MS = 3_600_000
_SLICE = 2_000
_DETAILS = ("age_years", "sex", "hospital_hours", "unit_type")
_Cause = Literal["damaged", "foreign_key", "model_changed", "not_finite"]


@dataclass(frozen=True)
class Lost:
    """A patient whose stored record cannot be used as it is, and the part of the log that makes it good."""

    key: bytes
    stored: bytes
    cause: _Cause
    until: int  # log offset; what stands before it is read again
    from_ms: int  # Kafka's timestamp; what is older is not
    reaches_start: bool = False  # so far back lies the start of the stay, as far as the record tells

    @property
    def first(self) -> int:
        """Offset before which nothing is read."""
        return max(0, self.until - MOST_RECORDS)

    @property
    def hidden_only(self) -> bool:
        """Tell whether stay and alert are sound."""
        return self.cause in {"model_changed", "not_finite"}


def lost_in(
    layout: RecordLayout, records: Iterable[LogRecord], stored: Callable[[bytes], bytes | None], ahead_ms: int
) -> list[Lost]:
    """Return the patients of a chunk whose stored records cannot be used as they are.

    `ahead_ms` is how far a time of measurement may lie after Kafka's timestamp. Raises UnknownSchemaError for a record
    of a newer version.
    """
    first: dict[bytes, LogRecord] = {}
    for record in records:
        if record.key is not None:
            first.setdefault(record.key, record)
    found = (find_lost(layout, key, stored(key), ahead_ms, record) for key, record in first.items())
    return [lost for lost in found if lost is not None]


def find_lost(
    layout: RecordLayout, key: bytes, stored: bytes | None, ahead_ms: int, met: LogRecord | None = None
) -> Lost | None:
    """Return what is lost of a stored record, None where nothing is or nothing can be made good.

    `met` is the first record of the patient that goes on; without it only hidden states are looked at.
    """
    cause = None if stored is None else cast("_Cause | None", layout.problem(key, stored))
    if stored is None or cause is None:
        return None
    if cause in {"model_changed", "not_finite"}:
        head = np.frombuffer(stored, HEAD, 1)[0]
        if not head["watched"]:
            return None  # the next stay begins with a new hidden state anyway
        start_ms, until = int(head["start_ms"]), int(head["offset"]) + 1
        from_ms = max(start_ms, int(head["clock_ms"]) - round(WINDOW_HOURS * _HOUR_MS))
        return Lost(key, stored, cause, until, from_ms - ahead_ms, reaches_start=from_ms == start_ms)
    if met is None:
        return None
    return Lost(key, stored, cause, met.offset, met.timestamp - round(WINDOW_HOURS * _HOUR_MS))


class WarmUp:
    """Lives through a part of a partition's log again for some of its patients.

    `stored` gives the partition's settings. `reaches_back` tells that the log has still more than what is fed, or had
    never more.
    """

    def __init__(
        self,
        core: Core,
        partition: int,
        lost: Sequence[Lost],
        stored: Callable[[bytes], bytes | None],
        *,
        reaches_back: bool,
    ) -> None:
        self._core, self._partition, self._reaches_back = core, partition, reaches_back
        self._lost = {one.key: one for one in lost}
        settings = {key: stored(key) for key in settings_keys(partition)}
        self._states = {key: record for key, record in settings.items() if record is not None}
        self._begun: set[bytes] = set()
        self._oldest: LogRecord | None = None
        self._newest_ms = 0
        self._passed = sorted(lost, key=lambda one: -one.first)
        self._cut: set[bytes] = set()  # MOST_RECORDS cut off a part of the window

    def feed(self, records: Sequence[LogRecord]) -> None:
        """Take over the next records of the partition, in their order; those of other patients are passed over."""
        if not records:
            return
        self._oldest = self._oldest or records[0]
        self._note_cuts(records)
        mine: list[LogRecord] = []
        for record in records:
            one = None if record.key is None else self._lost.get(record.key)
            if one is not None and one.first <= record.offset < one.until and record.timestamp >= one.from_ms:
                mine.append(record)
        for start in range(0, len(mine), _SLICE):
            some = mine[start : start + _SLICE]
            self._begin({record.key for record in some if record.key is not None} - self._begun)
            self._core.process(self._partition, some, self._states.get).store_in(self._states)

    def _note_cuts(self, records: Sequence[LogRecord]) -> None:
        """Note for which patients something of their time stands before the first record that is read of them."""
        while self._passed and self._passed[-1].first <= records[-1].offset:
            one = self._passed.pop()
            before = max((r.timestamp for r in records if r.offset < one.first), default=0)
            if max(before, self._newest_ms) >= one.from_ms:
                self._cut.add(one.key)
        self._newest_ms = max(self._newest_ms, *(record.timestamp for record in records))

    def finish(self) -> dict[bytes, tuple[bytes, Rebuilt]]:
        """Return of each patient the record to go on with, and what it is; a patient without any log is left out."""
        return {key: made for key, one in self._lost.items() if (made := self._made(one)) is not None}

    def _made(self, one: Lost) -> tuple[bytes, Rebuilt] | None:
        record = self._states.get(one.key)
        if record is None:
            return None
        rows = self._core.layout.load([one.key], [record]).rows
        if one.hidden_only:
            return self._with_hidden(one, rows)
        hours = (int(rows["clock_ms"][0]) - int(rows["start_ms"][0])) / _HOUR_MS
        log_begins = self._oldest is not None and self._oldest.offset == 0 and self._oldest.timestamp >= one.from_ms
        whole = bool(rows["announced"][0]) or (log_begins and one.key not in self._cut)
        return record, Rebuilt(one.cause, round(max(hours, 0.0), 2), whole)

    # -- hidden states alone

    def _begin(self, keys: set[bytes]) -> None:
        self._begun |= keys
        for key in keys:
            one = self._lost[key]
            if one.hidden_only:
                self._states[key] = self._core.layout.dump(self._start_of_stay(one))[0]

    def _start_of_stay(self, one: Lost) -> Rows:
        """Return the stay that the record names at its start, or where the window begins."""
        layout = self._core.layout
        known = layout.load([one.key], [one.stored]).rows
        rows = known.copy()
        stays.start(rows, 0, self._core.model, int(known["start_ms"][0]))
        rows["offset"] = -1
        if self._is_whole(one):
            rows["admissions_offset"], rows["seen"] = -1, 0
            return rows
        for name in (*_DETAILS, "announced", "named", "stay_id"):
            rows[name] = known[name]
        window_ms = max(one.from_ms - int(known["start_ms"][0]), 0)
        rows["open_step"] = min(window_ms // open_step.STEP_MS, int(known["open_step"][0]))
        rows["clock_ms"] = known["start_ms"] + rows["open_step"].astype(np.int64) * open_step.STEP_MS
        return rows

    def _with_hidden(self, one: Lost, rows: Rows) -> tuple[bytes, Rebuilt] | None:
        """Give the stored stay the hidden state that the log came to."""
        layout = self._core.layout
        known = layout.load([one.key], [one.stored]).rows.copy()
        if not rows["watched"][0] or rows["start_ms"][0] != known["start_ms"][0]:
            return None
        rows = rows.copy()
        Steps(self._core.model).close_until(rows, np.array([0]), known["open_step"])
        if rows["open_step"][0] != known["open_step"][0]:
            return None
        known["state"] = rows["state"]
        since_ms = max(int(known["start_ms"][0]), one.from_ms)
        hours = round(max(int(known["clock_ms"][0]) - since_ms, 0) / _HOUR_MS, 2)
        return layout.dump(known)[0], Rebuilt(one.cause, hours, self._is_whole(one))

    def _is_whole(self, one: Lost) -> bool:
        older = self._oldest is not None and self._oldest.timestamp < one.from_ms
        return one.reaches_start and one.key not in self._cut and (self._reaches_back or older)
