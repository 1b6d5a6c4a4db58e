"""The observations of a chunk: they go into the open steps one after the other, and are judged all together.

Each observation has a risk of its own, on which the alerts decide. All of a run start from the same closed state, so
the model sees them in one batch. Most patients are calm before and after; only those whose alerts may move are taken
through their run once more, observation by observation, with the risks that are known by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import open_step
from agents.alerts import Alerts
from agents.outcome import Outcome
from agents.runs import heads_of, ranks_of
from agents.steps import Provisional, Steps

__all__ = ["Observed", "Observing"]

_Index = NDArray[np.intp]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Observed:
    """Observations of one run for each patient, (N) each: by patient, and in log order."""

    row: _Index
    place: NDArray[np.int64]  # in the chunk
    wall_ms: NDArray[np.int64]  # when they came into the log
    time_ms: NDArray[np.int64]  # of measurement
    values: NDArray[np.float32]  # (N, 7) NaN = not measured


@dataclass(frozen=True)
class _Waves:
    """Which observations come first in their runs, which second, and so on."""

    of: _Index  # numbers of observations, the first ones first
    ends: list[int]

    @classmethod
    def of_runs(cls, row: _Index) -> _Waves:
        ranks = ranks_of(row)
        return cls(np.argsort(ranks, kind="stable"), np.cumsum(np.bincount(ranks)).tolist())

    def __iter__(self) -> Iterator[_Index]:
        begin = 0
        for end in self.ends:
            yield self.of[begin:end]
            begin = end


@dataclass(frozen=True)
class _Kept:
    """What the observations (N) came to in their open steps."""

    changed: _Mask  # it told something new
    late: _Mask  # its step had closed
    clock_ms: NDArray[np.int64]  # the patient's newest time by then


class Observing:
    """Works off observations of rows of state; `explain` is called after every move that an alert may have made."""

    def __init__(
        self,
        rows: NDArray[Any],
        steps: Steps,
        alerts: Alerts,
        outcome: Outcome,
        explain: Callable[[], None],
    ) -> None:
        self.rows, self.steps, self.alerts, self.out = rows, steps, alerts, outcome
        self._explain = explain
        self.changed = np.zeros(len(rows), dtype=np.bool_)  # the row has a new risk

    def work_off(self, seen: Observed) -> None:
        """Work off one run of each patient, whose steps before it are closed."""
        rows, waves = self.rows, _Waves.of_runs(seen.row)
        size = np.bincount(seen.row, minlength=len(rows))
        several = np.flatnonzero(size > 1)
        before = rows[several]
        kept, glimpse = self._keep(seen, waves)
        self.out.accepted += len(seen.row)
        self.out.repeated += int((~kept.changed & ~kept.late).sum())
        decided = np.flatnonzero(kept.changed)
        if not len(decided):
            return
        now = self.steps.provisional(rows, seen.row[decided], glimpse.part(decided))
        self.out.risks += len(decided)
        self.changed[seen.row[decided]] = True
        calm = self.alerts.calm(seen.row[decided], now.risk, now.assessable)
        restless = np.bincount(seen.row[decided], weights=~calm, minlength=len(rows)) > 0
        self._pass_calmly(seen, kept, decided, now, ~restless)
        if restless.any():
            again = restless[several]
            rows[several[again]] = before[again]
            self._decide(seen, waves, decided, now, restless, size > 1)

    def _keep(self, seen: Observed, waves: _Waves) -> tuple[_Kept, open_step.Glimpse]:
        """Put the observations into the open steps; return what that changed, and what stood there after each."""
        n = len(seen.row)
        kept = _Kept(np.zeros(n, dtype=np.bool_), self._is_late(seen), np.zeros(n, dtype=np.int64))
        parts: list[open_step.Glimpse] = []
        for wave in waves:
            kept.changed[wave], overtaken = self._merge(seen, wave, kept.late[wave])
            self.out.superseded += overtaken
            index = seen.row[wave]
            kept.clock_ms[wave] = self.rows["clock_ms"][index]
            parts.append(open_step.glimpse(self.rows, index))
        glimpse = open_step.Glimpse.joined(parts)
        if len(parts) > 1:
            back = np.empty(n, dtype=np.intp)
            back[waves.of] = np.arange(n)
            glimpse = glimpse.part(back)
        return kept, glimpse

    def _is_late(self, seen: Observed) -> _Mask:
        step = (seen.time_ms - self.rows["start_ms"][seen.row]) // open_step.STEP_MS
        late: _Mask = step < self.rows["open_step"][seen.row]
        return late

    def _merge(self, seen: Observed, wave: _Index, late: _Mask) -> tuple[_Mask, int]:
        """Put an observation of each of these (distinct) rows into it; return what changed, and values overtaken."""
        rows, index, times, values = self.rows, seen.row[wave], seen.time_ms[wave], seen.values[wave]
        overtaken = 0
        if not late.any():
            changed = open_step.keep_measured(rows, index, times, values)
        else:
            changed = np.zeros(len(index), dtype=np.bool_)
            changed[~late] = open_step.keep_measured(rows, index[~late], times[~late], values[~late])
            changed[late], older = open_step.keep_late(rows, index[late], times[late], values[late])
            overtaken = int(older.sum())
        rows["clock_ms"][index] = np.maximum(rows["clock_ms"][index], times)
        return changed, overtaken

    def _pass_calmly(self, seen: Observed, kept: _Kept, decided: _Index, now: Provisional, calm: _Mask) -> None:
        """Take the rows to the end of their runs at once where no alert can have moved on the way."""
        chosen = np.flatnonzero(calm[seen.row[decided]])
        if not len(chosen):
            return
        mine = decided[chosen]
        first = np.flatnonzero(heads_of(seen.row[mine]))
        last = np.append(first[1:], len(mine)) - 1
        index = seen.row[mine[last]]
        self.take_over(index, now, chosen[last])
        self.alerts.arrived(index, np.maximum.reduceat(seen.wall_ms[mine], first), kept.clock_ms[mine[last]])

    def _decide(  # noqa: PLR0917 (what was found out of the runs)
        self, seen: Observed, waves: _Waves, decided: _Index, now: Provisional, restless: _Mask, several: _Mask
    ) -> None:
        """Take restless rows through their runs, and let their alerts move."""
        rows = self.rows
        number = np.full(len(seen.row), -1, dtype=np.intp)
        number[decided] = np.arange(len(decided))
        late = self._is_late(seen)
        for wave in waves:
            mine = wave[restless[seen.row[wave]]]
            again = mine[several[seen.row[mine]]]  # the other rows stand where they should
            if len(again):
                self._merge(seen, again, late[again])
            mine = mine[number[mine] >= 0]
            if not len(mine):
                continue
            index, at = seen.row[mine], number[mine]
            self.take_over(index, now, at)
            self.alerts.arrived(index, seen.wall_ms[mine], rows["clock_ms"][index])
            self.alerts.observe(
                index, seen.place[mine].tolist(), seen.wall_ms[mine], risk=now.risk[at], assessable=now.assessable[at]
            )
            self._explain()

    def take_over(self, index: _Index, now: Provisional, at: _Index) -> None:
        """Note risk and doubt in rows, from their places among the provisional ones."""
        rows, doubt = self.rows, now.doubt
        rows["risk"][index] = now.risk[at]
        rows["assessable"][index] = now.assessable[at]
        rows["doubt"][index], rows["doubt_sign"][index] = doubt.reason[at], doubt.sign[at]
