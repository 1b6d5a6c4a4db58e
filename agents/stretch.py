"""The work on a stretch of a partition's log: the records of one chunk that one policy decides on.

It is worked off in waves: the first record of each patient, then the second of each, and so on. All patients of a wave
go through the model together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents import clock, open_step, stays
from agents.alerts import Alerts
from agents.control import ClockSaid, CommandSaid
from agents.decoding import LONGEST_WAIT_MS, Entry, Limits, Measured, StayChange, values_array
from agents.messages import ClosedStep, SourcePosition
from agents.moves import SEPSIS, Moved
from agents.outcome import LogRecord, Outcome
from agents.outputs import Outputs, explained
from agents.policy import Policy
from agents.reasons import tell
from agents.record import RecordLayout, Rows
from agents.rejection import Rejection
from agents.steps import Provisional, Steps
from models.stay_model import StayModel

__all__ = ["Stretch"]

_HOUR_MS = 3_600_000
_STEPS_A_SCORE = 1_000
_SILENT = "the stay ended: nothing was measured for too long"
_Index = NDArray[np.intp]


class Stretch:
    """The work on the records of one chunk that one policy decides on."""

    def __init__(
        self,
        *,
        model: StayModel,
        policy: Policy,
        limits: Limits,
        layout: RecordLayout,
        partition: int,
        records: Sequence[LogRecord],
        outcome: Outcome,
        explains: bool = True,
    ) -> None:
        self.model, self.limits, self.layout = model, limits, layout
        self.partition, self.records, self.out = partition, records, outcome
        self.outputs, self.explains = Outputs(model, policy), explains
        self.policy = policy
        self.steps = Steps(model)
        self.closed: list[list[ClosedStep]] = []
        self.unexplained: list[tuple[int, int]] = []  # the wave's alerts whose reasons are still to be told, and rows
        self.alerts: Alerts
        self.rows: Rows
        self.changed: NDArray[np.bool_]

    def run(self, entries: Sequence[tuple[int, Entry]], known: dict[bytes, bytes | None]) -> None:
        """Work off checked entries, each with its place in the chunk; `known` has the patients' stored records."""
        keys = list(dict.fromkeys(entry.patient_id.encode() for _, entry in entries))
        loaded = self.layout.load(keys, [known[key] for key in keys])
        self.out.state_resets.update(loaded.resets)
        self._begin(loaded.rows)
        place = {key: row for row, key in enumerate(keys)}
        waves: list[list[tuple[int, int, Entry]]] = []
        depth = [0] * len(keys)
        for i, entry in entries:
            row = place[entry.patient_id.encode()]
            if self.records[i].offset <= self.rows["offset"][row]:
                self.out.replayed += 1
                continue
            if depth[row] == len(waves):
                waves.append([])
            waves[depth[row]].append((i, row, entry))
            depth[row] += 1
        for wave in waves:
            self._wave(wave)
        self._finish(keys, np.flatnonzero(np.array(depth) > 0))
        del self.alerts  # they call back: in a circle, all records of the chunk would wait for the collector

    def _begin(self, rows: Rows) -> None:
        self.rows = rows
        self.alerts = Alerts(rows, self.policy, self._moved)
        self.closed = [[] for _ in range(len(rows))]
        self.changed = np.zeros(len(rows), dtype=np.bool_)

    def _wave(self, wave: Sequence[tuple[int, int, Entry]]) -> None:
        measured: list[tuple[int, int, Measured]] = []
        for i, row, entry in wave:
            if isinstance(entry, StayChange):
                self._change_stay(i, row, entry)
            elif isinstance(entry, CommandSaid):
                held = self.alerts.obey(i, row, entry, self.records[i].timestamp)
                self.changed[row] |= held  # the score says so
            elif isinstance(entry, ClockSaid):
                self.alerts.clock(i, row, entry)
                self._forget(row, entry)
            elif self._find_stay(i, row, entry):
                measured.append((i, row, entry))
        if measured:
            self._observe(measured)
        self._explain()
        for i, row, _ in wave:
            self.rows["offset"][row] = self.records[i].offset

    # -- stays

    def _change_stay(self, i: int, row: int, change: StayChange) -> None:
        record, kind = self.rows[row], change.admission.type
        if stays.repeats(self.rows, row, change):
            return
        problem = stays.objection(self.rows, row, change)
        if problem:
            self.out.rejected.append((i, Rejection("admission_invalid", problem)))
            return
        stays.remember(self.rows, row, change)
        if kind == "admitted":
            start_ms = stays.start_of(change)
            if record["watched"] and stays.names_another(self.rows, row, change):
                self._end_stay(i, row, start_ms, "another stay was admitted")
            elif record["watched"] and start_ms - int(record["clock_ms"]) > self._longest_silence(row):
                self._end_stay(i, row, int(record["clock_ms"]), _SILENT)
            if not record["watched"]:
                stays.start(self.rows, row, self.model, start_ms)
                self._note_arrival([i], np.array([row]), np.array([change.time_ms], dtype=np.int64))
            self._apply_details(row, change)
            record["announced"] = 1
        elif kind in {"updated", "transferred"}:
            self._apply_details(row, change)
        else:
            self._end_stay(i, row, change.time_ms, f"the stay ended: {kind}")

    def _forget(self, row: int, said: ClockSaid) -> None:
        """Keep only a stub of a patient whose last stay ended long ago, where the clock says so and it is true."""
        late_ms = self.limits.late_hours * _HOUR_MS
        if "forget" in said.due and clock.is_past(self.rows[row : row + 1], said.time_ms, self.policy, late_ms)[0]:
            self.layout.forget(self.rows, row)
            self.out.forgotten.append(bytes(self.rows["key"][row]))

    def _apply_details(self, row: int, change: StayChange) -> None:
        """Take over details; they change the risk too, though an alert moves only with the next observation."""
        stays.apply_details(self.rows, row, change)
        if self.rows["last_ms"][row].any():
            index = np.array([row])
            self._keep(index, self.steps.provisional(self.rows, index))
        self.changed[row] = True

    def _end_stay(self, i: int, row: int, ended_ms: int, cause: str) -> None:
        """Close the steps up to the stay's end, end its alerts, publish its last score."""
        rows, index = self.rows, np.array([row])
        rows["offset"][row] = self.records[i].offset
        ended_ms = max(ended_ms, int(rows["clock_ms"][row]))
        whole = (ended_ms - int(rows["start_ms"][row])) // open_step.STEP_MS
        unseen = int(rows["clock_ms"][row]) + int(self.limits.gap_hours * _HOUR_MS) < ended_ms
        until = int(rows["open_step"][row]) + int(open_step.holds_data(rows, index)[0])
        if not unseen:
            until = max(until, whole)
        self._close(index, np.array([until], dtype=np.int32))
        risk = float(rows["risk"][row])
        rows["clock_ms"][row] = ended_ms
        self.alerts.end_stay(i, row, ended_ms, cause)
        stays.end(rows, row)
        if np.isnan(risk):  # nothing was measured: the score says so, and that the stay is over
            risk = float(self.steps.provisional(rows, index).risk[0])
        rows["open_step"][row] = max(int(rows["open_step"][row]) - 1, 0)  # the score names the last, closed step
        last = self.closed[row][-1].risk if self.closed[row] else risk
        self._score(index, np.array([last]), ended=True)
        self.changed[row] = False

    def _find_stay(self, i: int, row: int, entry: Measured) -> bool:
        """Make sure that the observation has an open stay to go to; refuse it if it belongs to the past."""
        record, limits = self.rows[row], self.limits
        clock, late_ms = int(record["clock_ms"]), limits.late_hours * _HOUR_MS
        own = record["watched"] and entry.time_ms >= record["start_ms"]
        if record["stay_number"] and entry.time_ms <= record["ended_ms"] and not own:
            self.out.rejected.append((i, Rejection("stay_ended", "time lies in a stay that has ended")))
            return False
        if record["watched"] and entry.time_ms - clock > self._longest_silence(row):
            self._end_stay(i, row, clock, _SILENT)
        if not record["watched"]:
            stays.start(self.rows, row, self.model, entry.time_ms)
        elif entry.time_ms < clock - late_ms:
            detail = f"time lies more than {limits.late_hours:g} h before the patient's newest observation"
            self.out.rejected.append((i, Rejection("too_late", detail)))
            return False
        return True

    def _longest_silence(self, row: int) -> float:
        """Return the milliseconds without a measurement after which the row's stay is over."""
        measured = bool(self.rows["last_ms"][row].any())
        return self.limits.gap_hours * _HOUR_MS if measured else LONGEST_WAIT_MS

    # -- observations

    def _observe(self, measured: Sequence[tuple[int, int, Measured]]) -> None:
        rows = self.rows
        index = np.array([row for _, row, _ in measured])
        times = np.array([entry.time_ms for _, _, entry in measured], dtype=np.int64)
        values = values_array([entry for _, _, entry in measured])
        step = (times - rows["start_ms"][index]) // open_step.STEP_MS
        ahead = step > rows["open_step"][index]
        self._close(index[ahead], step[ahead].astype(np.int32))
        late = step < rows["open_step"][index]
        changed = np.zeros(len(index), dtype=np.bool_)
        changed[~late] = open_step.keep_measured(rows, index[~late], times[~late], values[~late])
        if late.any():
            changed[late], overtaken = open_step.keep_late(rows, index[late], times[late], values[late])
            self.out.superseded += int(overtaken.sum())
        rows["clock_ms"][index] = np.maximum(rows["clock_ms"][index], times)
        self.out.accepted += len(index)
        self.out.repeated += int((~changed & ~late).sum())
        self.out.rejected += [(i, entry.partly) for i, _, entry in measured if entry.partly]
        if changed.any():
            self._decide(index[changed], [i for (i, _, _), new in zip(measured, changed, strict=True) if new])

    def _close(self, index: _Index, steps: NDArray[np.int32]) -> None:
        for done in self.steps.close_until(self.rows, index, steps):
            self.closed[done.row].append(ClosedStep(done.step, done.risk))
            self.out.steps_closed += 1

    def _decide(self, index: _Index, sources: Sequence[int]) -> None:
        """Compute the provisional risks of these rows and let their alerts move."""
        rows = self.rows
        now = self.steps.provisional(rows, index)
        self.out.risks += len(index)
        self.changed[index] = True
        self._keep(index, now)
        wall_ms = self._note_arrival(sources, index, rows["clock_ms"][index])
        self.alerts.observe(index, sources, wall_ms, risk=now.risk, assessable=now.assessable)

    def _keep(self, index: _Index, now: Provisional) -> None:
        rows = self.rows
        rows["risk"][index] = now.risk
        rows["assessable"][index] = now.assessable
        rows["doubt"][index], rows["doubt_sign"][index] = now.doubt.reason, now.doubt.sign

    def _note_arrival(self, sources: Sequence[int], index: _Index, time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Note that something new of these rows came; return when it came into the log."""
        wall_ms = np.array([self.records[i].timestamp for i in sources], dtype=np.int64)
        self.alerts.arrived(index, wall_ms, time_ms)
        return wall_ms

    # -- outputs

    def _moved(self, moved: Moved) -> None:
        source = SourcePosition(self.partition, self.records[moved.place].offset)
        if self.explains and moved.kind == SEPSIS and moved.transition in {"raised", "escalated", "updated"}:
            self.unexplained.append((len(self.out.alerts), moved.row))
        self.out.alerts.append((moved.place, self.outputs.alert(self.rows, moved, source)))

    def _explain(self) -> None:
        """Give the wave's alerts their reasons, all together: the risks that moved them are still those of the rows."""
        if not self.unexplained:
            return
        index = np.unique([row for _, row in self.unexplained])
        told = dict(zip(index.tolist(), map(tell, self.steps.explain(self.rows, index)), strict=True))
        for at, row in self.unexplained:
            place, event = self.out.alerts[at]
            self.out.alerts[at] = (place, explained(event, told[row]))
        self.unexplained.clear()

    def _score(self, index: _Index, risk: NDArray[np.float64], *, ended: bool) -> None:
        more = True
        while more:  # one message holds a bounded number of closed steps
            parts = [self.closed[row][:_STEPS_A_SCORE] for row in index.tolist()]
            for row in index.tolist():
                self.closed[row] = self.closed[row][_STEPS_A_SCORE:]
            self.out.scores += self.outputs.scores(
                self.rows,
                index,
                risk=risk,
                closed=parts,
                partition=self.partition,
                ended=ended,
            )
            unfinished = np.array([bool(self.closed[row]) for row in index.tolist()])
            index, risk, more = index[unfinished], risk[unfinished], bool(unfinished.any())

    def _finish(self, keys: Sequence[bytes], touched: _Index) -> None:
        """Publish one score for each stay that moved, and store every patient that was touched."""
        rows = self.rows
        moved = touched[rows["watched"][touched].astype(np.bool_) & self.changed[touched]]
        risk = rows["risk"][moved]
        unknown = np.flatnonzero(np.isnan(risk))  # admitted, nothing measured yet: published, but no part of the state
        if len(unknown):
            risk[unknown] = self.steps.provisional(rows, moved[unknown]).risk
        if len(moved):
            self._score(moved, risk, ended=False)
        for row, record in zip(touched.tolist(), self.layout.dump(rows[touched]), strict=True):
            self.out.states[keys[row]] = record
        self.out.model_seconds += self.steps.model_seconds
