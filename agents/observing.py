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


def _waves(row: _Index, chosen: _Mask) -> Iterator[_Index]:
    """Yield which of the chosen observations come first in their runs, which second, and so on."""
    of = np.flatnonzero(chosen)
    ranks = ranks_of(row[of])
    of = of[np.argsort(ranks, kind="stable")]
    begin = 0
    for end in np.cumsum(np.bincount(ranks)).tolist():
        yield of[begin:end]
        begin = end


def _up_to_the_first(row: _Index, marked: _Mask) -> tuple[_Mask, _Mask]:
    """Tell which entries (N), grouped by row, stand before the first marked one of their row, and which are that."""
    begin = np.flatnonzero(heads_of(row))
    upto: _Index = np.cumsum(marked)
    count = upto - np.repeat(upto[begin] - marked[begin], np.diff(np.append(begin, len(row))))
    return count == 0, marked & (count == 1)


@dataclass
class _Kept:
    """What observations (N) came to in their open steps."""

    changed: _Mask  # it told something new
    late: _Mask  # its step had closed
    clock_ms: NDArray[np.int64]  # the patient's newest time by then
    glimpse: open_step.Glimpse  # what stood in the open step after it
    overtaken: int = 0  # late values that a newer measurement had overtaken


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
        rows = self.rows
        several = np.bincount(seen.row, minlength=len(rows)) > 1
        before = rows[several]
        kept = self._keep(seen, np.arange(len(seen.row)))
        self.out.accepted += len(seen.row)
        self.out.superseded += kept.overtaken
        self.out.repeated += int((~kept.changed & ~kept.late).sum())
        decided = np.flatnonzero(kept.changed)
        if not len(decided):
            return
        now = self.steps.provisional(rows, seen.row[decided], kept.glimpse.part(decided))
        self.out.risks += len(decided)
        self.changed[seen.row[decided]] = True
        calm = self.alerts.calm(seen.row[decided], kept.clock_ms[decided], risk=now.risk, assessable=now.assessable)
        restless = np.bincount(seen.row[decided], weights=~calm, minlength=len(rows)) > 0
        at = np.flatnonzero(~restless[seen.row[decided]])
        self._pass_calmly(seen, kept, decided[at], now, at)
        if restless.any():
            rows[several & restless] = before[restless[several]]
            self._decide(seen, kept, now, restless, several)

    def _keep(self, seen: Observed, at: _Index) -> _Kept:
        """Put observations, by their numbers, into the open steps; return what that changed, and what stood there.

        They are grouped by row; of rows that say nothing out of order all are put in at once, of others one by one.
        """
        n, rows, row, times = len(at), self.rows, seen.row[at], seen.time_ms[at]
        late = (times - rows["start_ms"][row]) // open_step.STEP_MS < rows["open_step"][row]
        kept = _Kept(np.ones(n, dtype=np.bool_), late, np.zeros(n, dtype=np.int64), open_step.Glimpse.room_for(n))
        several = np.bincount(row, minlength=len(rows)) > 1
        ordered = (several & open_step.in_order(rows, row, times))[row]
        if ordered.any():
            some = np.flatnonzero(ordered)
            index, values = row[some], seen.values[at[some]]
            kept.glimpse.put(some, open_step.keep_in_order(rows, index, times[some], values))
            kept.clock_ms[some] = np.maximum(rows["clock_ms"][index], times[some])
            last = np.append(heads_of(index)[1:], True)
            rows["clock_ms"][index[last]] = kept.clock_ms[some[last]]
        for wave in _waves(row, ~ordered):
            index = row[wave]
            kept.changed[wave], overtaken = self._merge(index, times[wave], seen.values[at[wave]], late[wave])
            kept.overtaken += overtaken
            kept.clock_ms[wave] = rows["clock_ms"][index]
            kept.glimpse.put(wave, open_step.glimpse(rows, index))
        return kept

    def _merge(
        self, index: _Index, times: NDArray[np.int64], values: NDArray[np.float32], late: _Mask
    ) -> tuple[_Mask, int]:
        """Put an observation into each of these (distinct) rows; return what changed, and values overtaken."""
        rows, overtaken = self.rows, 0
        if not late.any():
            changed = open_step.keep_measured(rows, index, times, values)
        else:
            changed = np.zeros(len(index), dtype=np.bool_)
            changed[~late] = open_step.keep_measured(rows, index[~late], times[~late], values[~late])
            changed[late], older = open_step.keep_late(rows, index[late], times[late], values[late])
            overtaken = int(older.sum())
        rows["clock_ms"][index] = np.maximum(rows["clock_ms"][index], times)
        return changed, overtaken

    def _pass_calmly(self, seen: Observed, kept: _Kept, events: _Index, now: Provisional, at: _Index) -> None:
        """Take rows to the last of these observations at once, for no alert can move at any of them.

        `events` (N) are numbers of observations, grouped by row, `at` (N) their places among the provisional risks.
        """
        if not len(events):
            return
        row = seen.row[events]
        first = np.flatnonzero(heads_of(row))
        last = np.append(first[1:], len(events)) - 1
        self.take_over(row[last], now, at[last])
        self.alerts.arrived(row[last], np.maximum.reduceat(seen.wall_ms[events], first), kept.clock_ms[events[last]])

    def _decide(self, seen: Observed, kept: _Kept, now: Provisional, restless: _Mask, several: _Mask) -> None:
        """Take restless rows through their runs, from one observation at which an alert may move to the next."""
        number = np.cumsum(kept.changed) - 1  # of its provisional risk
        left = np.flatnonzero(restless[seen.row])
        while len(left):
            row, risky = seen.row[left], kept.changed[left]
            calm = np.ones(len(left), dtype=np.bool_)
            at = number[left[risky]]
            calm[risky] = self.alerts.calm(
                row[risky], kept.clock_ms[left[risky]], risk=now.risk[at], assessable=now.assessable[at]
            )
            calmly, stop = _up_to_the_first(row, ~calm)
            again = (calmly | stop) & several[row]  # the other rows stand where they should
            if again.any():
                self._keep(seen, left[again])
            passed = left[calmly & risky]
            self._pass_calmly(seen, kept, passed, now, number[passed])
            if stop.any():
                self._observe(seen, left[stop], now, number[left[stop]])
            left = left[~(calmly | stop)]

    def _observe(self, seen: Observed, events: _Index, now: Provisional, at: _Index) -> None:
        """Let the alerts of (distinct) rows move at these observations."""
        index = seen.row[events]
        self.take_over(index, now, at)
        self.alerts.arrived(index, seen.wall_ms[events], self.rows["clock_ms"][index])
        self.alerts.observe(
            index, seen.place[events].tolist(), seen.wall_ms[events], risk=now.risk[at], assessable=now.assessable[at]
        )
        self._explain()

    def take_over(self, index: _Index, now: Provisional, at: _Index) -> None:
        """Note risk and doubt in rows, from their places among the provisional ones."""
        rows, doubt = self.rows, now.doubt
        rows["risk"][index] = now.risk[at]
        rows["assessable"][index] = now.assessable[at]
        rows["doubt"][index], rows["doubt_sign"][index] = doubt.reason[at], doubt.sign[at]
