"""The decisions of a chunk: log records and states in, states, scores, alerts and refusals out.

Pure: no broker, no clock, no I/O. What it returns for a patient is a function of the patient's log alone, however the
log was cut into chunks: records that a state already holds are skipped by their offset, and a stay's numbers do not
depend on which other stays are in the chunk.

A chunk is worked off in waves: the first record of each patient, then the second of each, and so on. All patients of a
wave go through the model together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agents import episodes, open_step, stays
from agents.decoding import (
    LONGEST_WAIT_MS,
    Entry,
    Headers,
    Limits,
    Measured,
    StayChange,
    decode_log_record,
    values_array,
)
from agents.messages import AlertEvent, ClosedStep, RiskScore, SourcePosition
from agents.outputs import Outputs
from agents.policy import Policy
from agents.reasons import NOTHING_TOLD, Told, tell
from agents.record import RecordLayout, Rows
from agents.rejection import Rejection
from agents.steps import Provisional, Steps
from models.stay_model import StayModel

__all__ = ["Core", "LogRecord", "Outcome"]

_HOUR_MS = 3_600_000
_STEPS_A_SCORE = 1_000
_SILENT = "the stay ended: nothing was measured for too long"
_Index = NDArray[np.intp]


class LogRecord(Protocol):
    """A record of the observations topic, as aiokafka's ConsumerRecord has it; timestamp in epoch milliseconds."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


@dataclass
class Outcome:
    """All that one chunk gives. Indices are positions in the chunk's records."""

    states: dict[bytes, bytes] = field(default_factory=dict)
    scores: list[RiskScore] = field(default_factory=list)
    alerts: list[tuple[int, AlertEvent]] = field(default_factory=list)  # with the record that decided
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)
    accepted: int = 0
    replayed: int = 0  # records that a state held already
    repeated: int = 0
    superseded: int = 0
    steps_closed: int = 0
    risks: int = 0
    state_resets: Counter[str] = field(default_factory=Counter)
    model_seconds: float = 0.0


class Core:
    """Processes chunks of one topic by one model, one policy and one set of limits."""

    def __init__(
        self, model: StayModel, policy: Policy, limits: Limits, *, right_partition: Callable[[bytes], int] | None = None
    ) -> None:
        self.model = model
        self.policy = policy
        self.limits = limits
        self.layout = RecordLayout(model)
        self.outputs = Outputs(model, policy)
        self._right_partition = right_partition

    def process(self, partition: int, records: Sequence[LogRecord], stored: Callable[[bytes], bytes | None]) -> Outcome:
        """Work off a chunk in log order; `stored` gives a patient's state record, None for an unknown one.

        Raises UnknownSchemaError when a state was written by a newer version.
        """
        outcome = Outcome()
        entries: list[tuple[int, Entry]] = []
        for i, record in enumerate(records):
            decoded = decode_log_record(record.key, record.value, record.headers, record.timestamp, self.limits)
            if isinstance(decoded, Rejection):
                outcome.rejected.append((i, decoded))
            else:
                entries.append((i, decoded))
        known: dict[bytes, bytes | None] = {}
        kept: list[tuple[int, Entry]] = []
        for i, entry in entries:
            key = entry.patient_id.encode()
            if key not in known:
                known[key] = stored(key)
            if self._right_partition and self._right_partition(key) != partition:
                detail = "the key's murmur2 partition is another: set the producer's partitioner to murmur2"
                outcome.rejected.append((i, Rejection("wrong_partition", detail)))
            else:
                kept.append((i, entry))
        if kept:
            _Chunk(self, partition, records, outcome).run(kept, known)
        outcome.rejected.sort(key=lambda pair: pair[0])
        return outcome


class _Chunk:
    """The work on one chunk."""

    def __init__(self, core: Core, partition: int, records: Sequence[LogRecord], outcome: Outcome) -> None:
        self.core = core
        self.partition = partition
        self.records = records
        self.out = outcome
        self.steps = Steps(core.model)
        self.closed: list[list[ClosedStep]] = []
        self.rows: Rows
        self.changed: NDArray[np.bool_]

    def run(self, entries: Sequence[tuple[int, Entry]], known: dict[bytes, bytes | None]) -> None:
        keys = list(dict.fromkeys(entry.patient_id.encode() for _, entry in entries))
        loaded = self.core.layout.load(keys, [known[key] for key in keys])
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

    def _begin(self, rows: Rows) -> None:
        self.rows = rows
        self.closed = [[] for _ in range(len(rows))]
        self.changed = np.zeros(len(rows), dtype=np.bool_)

    def _wave(self, wave: Sequence[tuple[int, int, Entry]]) -> None:
        measured: list[tuple[int, int, Measured]] = []
        for i, row, entry in wave:
            if isinstance(entry, StayChange):
                self._change_stay(i, row, entry)
            elif self._find_stay(i, row, entry):
                measured.append((i, row, entry))
        if measured:
            self._observe(measured)
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
                stays.start(self.rows, row, self.core.model, start_ms)
            self._apply_details(row, change)
            record["announced"] = 1
        elif kind in {"updated", "transferred"}:
            self._apply_details(row, change)
        else:
            self._end_stay(i, row, change.time_ms, f"the stay ended: {kind}")

    def _apply_details(self, row: int, change: StayChange) -> None:
        """Take over details; they change the risk too, though an alert moves only with the next observation."""
        stays.apply_details(self.rows, row, change)
        if self.rows["last_ms"][row].any():
            index = np.array([row])
            self._keep(index, self.steps.provisional(self.rows, index))
        self.changed[row] = True

    def _end_stay(self, i: int, row: int, ended_ms: int, cause: str) -> None:
        """Close the steps up to the stay's end, resolve its alert, publish its last score."""
        rows, index = self.rows, np.array([row])
        rows["offset"][row] = self.records[i].offset
        ended_ms = max(ended_ms, int(rows["clock_ms"][row]))
        whole = (ended_ms - int(rows["start_ms"][row])) // open_step.STEP_MS
        unseen = int(rows["clock_ms"][row]) + int(self.core.limits.gap_hours * _HOUR_MS) < ended_ms
        until = int(rows["open_step"][row]) + int(open_step.holds_data(rows, index)[0])
        if not unseen:
            until = max(until, whole)
        self._close(index, np.array([until], dtype=np.int32))
        risk = float(rows["risk"][row])
        rows["clock_ms"][row] = ended_ms
        if rows["alerting"][row]:
            self._alert(i, row, "resolved", risk, self.core.policy.resolve_threshold, cause)
        stays.end(rows, row)
        if np.isnan(risk):  # nothing was measured: the score says so, and that the stay is over
            risk = float(self.steps.provisional(rows, index).risk[0])
        rows["open_step"][row] = max(int(rows["open_step"][row]) - 1, 0)  # the score names the last, closed step
        last = self.closed[row][-1].risk if self.closed[row] else risk
        self._score(index, np.array([last]), ended=True)
        self.changed[row] = False

    def _find_stay(self, i: int, row: int, entry: Measured) -> bool:
        """Make sure that the observation has an open stay to go to; refuse it if it belongs to the past."""
        record, limits = self.rows[row], self.core.limits
        clock, late_ms = int(record["clock_ms"]), limits.late_hours * _HOUR_MS
        own = record["watched"] and entry.time_ms >= record["start_ms"]
        if record["stay_number"] and entry.time_ms <= record["ended_ms"] and not own:
            self.out.rejected.append((i, Rejection("stay_ended", "time lies in a stay that has ended")))
            return False
        if record["watched"] and entry.time_ms - clock > self._longest_silence(row):
            self._end_stay(i, row, clock, _SILENT)
        if not record["watched"]:
            stays.start(self.rows, row, self.core.model, entry.time_ms)
        elif entry.time_ms < clock - late_ms:
            detail = f"time lies more than {limits.late_hours:g} h before the patient's newest observation"
            self.out.rejected.append((i, Rejection("too_late", detail)))
            return False
        return True

    def _longest_silence(self, row: int) -> float:
        """Return the milliseconds without a measurement after which the row's stay is over."""
        measured = bool(self.rows["last_ms"][row].any())
        return self.core.limits.gap_hours * _HOUR_MS if measured else LONGEST_WAIT_MS

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
        rows, policy = self.rows, self.core.policy
        now = self.steps.provisional(rows, index)
        self.out.risks += len(index)
        self.changed[index] = True
        self._keep(index, now)
        before = rows["alerting"][index].astype(np.bool_)
        moved = episodes.moves(policy, before, now.risk, now.assessable)
        rows["alerting"][index] = moved.alerting(before)
        raised = index[moved.raised]
        told = dict(zip(raised.tolist(), map(tell, self.steps.explain(rows, raised)), strict=True))
        for at in np.flatnonzero(moved.raised | moved.resolved).tolist():
            row, risk, i = int(index[at]), float(now.risk[at]), sources[at]
            if moved.raised[at]:
                rows["episode"][row] += 1
                rows["sequence"][row] = 0
                cause = f"risk {risk:.1%} reached the raise threshold of {policy.raise_threshold:.1%}"
                self._alert(i, row, "raised", risk, policy.raise_threshold, cause, told[row])
            else:
                cause = f"risk {risk:.1%} fell below the lower threshold of {policy.resolve_threshold:.1%}"
                self._alert(i, row, "resolved", risk, policy.resolve_threshold, cause)

    def _keep(self, index: _Index, now: Provisional) -> None:
        rows = self.rows
        rows["risk"][index] = now.risk
        rows["assessable"][index] = now.assessable
        rows["doubt"][index], rows["doubt_sign"][index] = now.doubt.reason, now.doubt.sign

    # -- outputs

    def _alert(  # noqa: PLR0917 (one line of an alert's story)
        self, i: int, row: int, transition: str, risk: float, threshold: float, cause: str, told: Told = NOTHING_TOLD
    ) -> None:
        self.rows["sequence"][row] += 1
        event = self.core.outputs.alert(
            self.rows,
            row,
            "raised" if transition == "raised" else "resolved",
            risk=round(risk, 6),
            threshold=threshold,
            cause=cause,
            told=told,
            source=SourcePosition(self.partition, self.records[i].offset),
        )
        self.out.alerts.append((i, event))

    def _score(self, index: _Index, risk: NDArray[np.float64], *, ended: bool) -> None:
        more = True
        while more:  # one message holds a bounded number of closed steps
            parts = [self.closed[row][:_STEPS_A_SCORE] for row in index.tolist()]
            for row in index.tolist():
                self.closed[row] = self.closed[row][_STEPS_A_SCORE:]
            self.out.scores += self.core.outputs.scores(
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
        for row, record in zip(touched.tolist(), self.core.layout.dump(rows[touched]), strict=True):
            self.out.states[keys[row]] = record
        self.out.model_seconds = self.steps.model_seconds
