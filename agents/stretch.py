"""The work on a stretch of a partition's log: the records of one chunk that the same rules decide on.

It is worked off in rounds: in each, a run of every patient (see `agents.runs`), until nothing is left. All patients of
a round go through the model together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from agents import clock, open_step, stays
from agents.alerts import Alerts
from agents.columns import Columns
from agents.control import ClockSaid, CommandFaulty, CommandSaid
from agents.decoding import LONGEST_WAIT_MS, Entry, Limits, StayChange
from agents.messages import ClosedStep, SourcePosition
from agents.moves import SEPSIS, Moved
from agents.observing import Observed, Observing
from agents.outcome import LogRecord, Outcome
from agents.outputs import Outputs, explained
from agents.reasons import tell
from agents.record import RecordLayout, Rows
from agents.rejection import Rejection
from agents.rules import RowRules, Rules
from agents.runs import Pending, first_runs, heads_of
from agents.steps import Steps
from models.stay_model import StayModel

__all__ = ["Stretch"]

_HOUR_MS = 3_600_000
_STEPS_A_SCORE = 1_000
_SILENT = "the stay ended: nothing was measured for too long"
_Index = NDArray[np.intp]


class Stretch:
    """The work on the records of one chunk that the same rules decide on."""

    def __init__(
        self,
        *,
        model: StayModel,
        rules: Rules,
        limits: Limits,
        layout: RecordLayout,
        partition: int,
        records: Sequence[LogRecord],
        outcome: Outcome,
        explains: bool = True,
    ) -> None:
        self.model, self.limits, self.layout = model, limits, layout
        self.partition, self.records, self.out = partition, records, outcome
        self.in_force, self.explains = rules, explains
        self.steps = Steps(model)
        self.closed: list[list[ClosedStep]] = []
        self.unexplained: list[tuple[int, int]] = []  # alerts whose reasons are still to be told, and their rows
        self.alerts: Alerts
        self.observing: Observing
        self.outputs: Outputs
        self.rows: Rows
        self.rules: RowRules

    def run(self, columns: Columns, known: dict[bytes, bytes | None], tell_of: Collection[bytes] = ()) -> None:
        """Work off checked entries; `known` has the patients' stored records.

        Of those in `tell_of` a score is told in any case.
        """
        self.columns = columns
        keys = list(dict.fromkeys(columns.key))
        loaded = self.layout.load(keys, [known[key] for key in keys])
        self.out.state_resets.update(loaded.resets)
        self._begin(loaded.rows)
        if tell_of:
            self.observing.changed |= np.array([key in tell_of for key in keys], dtype=np.bool_)
        left = self._pending({key: row for row, key in enumerate(keys)})
        touched = np.unique(left.row)
        while len(left.row):
            taken, alone = first_runs(self.rows, left, self.limits)
            self._round(left.part(taken), alone[taken])
            left = left.part(~taken)
        self._finish(keys, touched)
        del self.alerts, self.observing  # they call back: in a circle, all records would wait for the collector

    def _begin(self, rows: Rows) -> None:
        self.rows = rows
        self.rules = RowRules(self.in_force, rows)
        self.outputs = Outputs(self.model, self.rules)
        self.alerts = Alerts(rows, self.rules, self._moved)
        self.observing = Observing(rows, self.steps, self.alerts, self.out, self._explain)
        self.closed = [[] for _ in range(len(rows))]

    def _pending(self, row_of: dict[bytes, int]) -> Pending:
        """Return what the states do not hold already, by patient and in log order."""
        columns = self.columns
        row = np.array([row_of[key] for key in columns.key], dtype=np.intp)
        self.offset = np.array([self.records[i].offset for i in columns.place], dtype=np.int64)
        fresh = np.flatnonzero(self.offset > self.rows["offset"][row])
        self.out.replayed += len(row) - len(fresh)
        plain = np.ones(len(row), dtype=np.bool_)
        plain[list(columns.others)] = False
        entry = fresh[np.argsort(row[fresh], kind="stable")]
        return Pending(entry, row[entry], columns.time_ms[entry], plain[entry])

    def _round(self, run: Pending, alone: NDArray[np.bool_]) -> None:
        """Work off a run of each patient, or the one entry that stands alone."""
        observed = run.plain.copy()
        gone = run.row[self.layout.is_gone(self.rows)[run.row]]
        if len(gone):
            self.layout.begin_anew(self.rows, gone)
        for at in np.flatnonzero(alone).tolist():
            observed[at] = self._take(int(run.entry[at]), int(run.row[at]), int(run.time_ms[at]))
        self._explain()
        if observed.any():
            self._observe(run.part(observed))
        last = np.append(heads_of(run.row)[1:], True)
        self.rows["offset"][run.row[last]] = self.offset[run.entry[last]]

    def _take(self, number: int, row: int, time_ms: int) -> bool:
        """Take an entry that stands alone; return whether it is an observation that a stay is open for."""
        entry: Entry | None = self.columns.others.get(number)
        i = self.columns.place[number]
        if entry is None:
            return self._find_stay(i, row, time_ms)
        if isinstance(entry, StayChange):
            self._change_stay(i, row, entry)
        elif isinstance(entry, CommandSaid | CommandFaulty):
            held = self.alerts.obey(i, row, entry, self.records[i].timestamp)
            self.observing.changed[row] |= held  # the score says so
        elif isinstance(entry, ClockSaid):
            self.alerts.clock(i, row, entry)
            self._forget(i, row, entry)
            if clock.LET_GO in entry.due:
                self.layout.let_go(self.rows, row, entry.log_begins)
                self.rules.renew(row)
        return False

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
            begins = not record["watched"]
            if begins:
                self._start_stay(row, start_ms)
            self._apply_details(row, change)
            if begins:
                arrived = np.array([self.records[i].timestamp], dtype=np.int64)
                self.alerts.arrived(np.array([row]), arrived, np.array([change.time_ms], dtype=np.int64))
            record["announced"] = 1
        elif kind in {"updated", "transferred"}:
            self._apply_details(row, change)
        else:
            self._end_stay(i, row, change.time_ms, f"the stay ended: {kind}")

    def _forget(self, i: int, row: int, said: ClockSaid) -> None:
        """Keep only a stub of a patient who is to be erased, or whose last stay ended long ago, if that is true."""
        if clock.ERASE in said.due:
            if self.rows["watched"][row]:
                self._end_stay(i, row, int(self.rows["clock_ms"][row]), "the patient was erased")
            self.out.erased[said.patient_id] = self.records[i].offset
        else:
            late_ms = self.limits.late_hours * _HOUR_MS
            terms = self.rules.terms(np.array([row]))
            past = clock.is_past(self.rows[row : row + 1], said.time_ms, terms, late_ms)[0]
            if "forget" not in said.due or not past:
                return
        self.layout.forget(self.rows, row)
        self.rules.renew(row)
        self.out.forgotten.append(bytes(self.rows["key"][row]))

    def _start_stay(self, row: int, start_ms: int) -> None:
        """Begin a stay; until something says so it is in no unit."""
        stays.start(self.rows, row, self.model, start_ms)
        self.rules.renew(row)

    def _apply_details(self, row: int, change: StayChange) -> None:
        """Take over details; they change the risk too, though an alert moves only with the next observation."""
        stays.apply_details(self.rows, row, change)
        self.rules.renew(row)
        if self.rows["last_ms"][row].any():
            index = np.array([row])
            self.observing.take_over(index, self.steps.provisional(self.rows, index), np.zeros(1, dtype=np.intp))
        self.observing.changed[row] = True

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
        self.observing.changed[row] = False

    def _find_stay(self, i: int, row: int, time_ms: int) -> bool:
        """Make sure that the observation has an open stay to go to; refuse it if it belongs to the past."""
        record, limits = self.rows[row], self.limits
        clock, late_ms = int(record["clock_ms"]), limits.late_hours * _HOUR_MS
        own = record["watched"] and time_ms >= record["start_ms"]
        if record["stay_number"] and time_ms <= record["ended_ms"] and not own:
            self.out.rejected.append((i, Rejection("stay_ended", "time lies in a stay that has ended")))
            return False
        if record["watched"] and time_ms - clock > self._longest_silence(row):
            self._end_stay(i, row, clock, _SILENT)
        if not record["watched"]:
            self._start_stay(row, time_ms)
        elif time_ms < clock - late_ms:
            detail = f"time lies more than {limits.late_hours:g} h before the patient's newest observation"
            self.out.rejected.append((i, Rejection("too_late", detail)))
            return False
        return True

    def _longest_silence(self, row: int) -> float:
        """Return the milliseconds without a measurement after which the row's stay is over."""
        measured = bool(self.rows["last_ms"][row].any())
        return self.limits.gap_hours * _HOUR_MS if measured else LONGEST_WAIT_MS

    # -- observations

    def _observe(self, run: Pending) -> None:
        """Work off observations, once the steps before them are closed."""
        columns, row, entry = self.columns, run.row, run.entry
        first = np.flatnonzero(heads_of(row))
        index = row[first]
        step = ((run.time_ms[first] - self.rows["start_ms"][index]) // open_step.STEP_MS).astype(np.int32)
        self._close(index, step)
        place = np.array(columns.place, dtype=np.int64)[entry]
        wall_ms = np.array([self.records[i].timestamp for i in place.tolist()], dtype=np.int64)
        self.observing.work_off(Observed(row, place, wall_ms, run.time_ms, columns.values[entry]))
        if columns.partly:
            taken = set(entry.tolist())
            self.out.rejected += [(columns.place[at], one) for at, one in columns.partly.items() if at in taken]

    def _close(self, index: _Index, steps: NDArray[np.int32]) -> None:
        for done in self.steps.close_until(self.rows, index, steps):
            self.closed[done.row].append(ClosedStep(done.step, done.risk))
            self.out.steps_closed += 1

    # -- outputs

    def _moved(self, moved: Moved) -> None:
        source = SourcePosition(self.partition, self.records[moved.place].offset)
        if self.explains and moved.kind == SEPSIS and moved.transition in {"raised", "escalated", "updated"}:
            self.unexplained.append((len(self.out.alerts), moved.row))
        self.out.alerts.append((moved.place, self.outputs.alert(self.rows, moved, source)))

    def _explain(self) -> None:
        """Give alerts their reasons, all together, while the risks that moved them are still those of the rows."""
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
        moved = touched[rows["watched"][touched].astype(np.bool_) & self.observing.changed[touched]]
        risk = rows["risk"][moved]
        unknown = np.flatnonzero(np.isnan(risk))  # admitted, nothing measured yet: published, but no part of the state
        if len(unknown):
            risk[unknown] = self.steps.provisional(rows, moved[unknown]).risk
        if len(moved):
            self._score(moved, risk, ended=False)
        gone = self.layout.is_gone(rows[touched]).tolist()
        for row, record, nothing in zip(touched.tolist(), self.layout.dump(rows[touched]), gone, strict=True):
            self.out.states[keys[row]] = None if nothing else record
        self.out.model_seconds += self.steps.model_seconds
        self.out.intake.add(self.steps.intake)
