"""Which observations of a chunk can be worked off together: a run is what a patient's log says within one step.

Everything in a run is judged from the same closed state, so one pass through the model serves it, however often the
patient repeats. A run ends where a step closes, and before whatever needs to be looked at by itself: the beginning or
the end of a stay, a command, the wall clock, a measurement that may be too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.decoding import LONGEST_WAIT_MS, Limits
from agents.open_step import STEP_MS

__all__ = ["Pending", "first_runs", "heads_of", "ranks_of"]

_HOUR_MS = 3_600_000
_Index = NDArray[np.intp]


@dataclass(frozen=True)
class Pending:
    """What is left of a chunk, (E) each: by patient, and for each patient in log order."""

    entry: _Index  # number among the chunk's entries
    row: _Index
    time_ms: NDArray[np.int64]
    plain: NDArray[np.bool_]  # an observation

    def part(self, chosen: NDArray[np.bool_]) -> Pending:
        """Return the chosen ones."""
        return Pending(self.entry[chosen], self.row[chosen], self.time_ms[chosen], self.plain[chosen])


def heads_of(row: _Index) -> NDArray[np.bool_]:
    """Tell which of the entries (E), grouped by row, is the first one of its row."""
    heads = np.ones(len(row), dtype=np.bool_)
    heads[1:] = row[1:] != row[:-1]
    return heads


def ranks_of(row: _Index) -> _Index:
    """Return how many entries of the same row stand before each of the entries (E), grouped by row."""
    begin = np.flatnonzero(heads_of(row))
    return np.arange(len(row)) - np.repeat(begin, np.diff(np.append(begin, len(row))))


def first_runs(rows: NDArray[Any], left: Pending, limits: Limits) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which of the entries (E) make the next run of their patient, and which of those stand alone.

    One that stands alone is its patient's next and needs to be looked at by itself. Doubtful cases stand alone.
    """
    row, time_ms = left.row, left.time_ms
    begin = np.flatnonzero(heads_of(row))
    size = np.diff(np.append(begin, len(row)))
    mine = row[begin]  # one for each patient from here on
    start, clock = rows["start_ms"][mine], rows["clock_ms"][mine]
    until = np.maximum(rows["open_step"][mine].astype(np.int64), (time_ms[begin] - start) // STEP_MS)
    end = start + (until + 1) * STEP_MS  # the run's measurements lie before
    oldest = np.maximum(clock, end) - np.int64(limits.late_hours * _HOUR_MS)
    newest = clock + np.int64(min(limits.gap_hours * _HOUR_MS, LONGEST_WAIT_MS))
    oldest = np.where(rows["watched"][mine] > 0, np.maximum(oldest, start), np.iinfo(np.int64).max)
    careful = ~left.plain | (time_ms < np.repeat(oldest, size)) | (time_ms > np.repeat(newest, size))
    stops = careful | (time_ms >= np.repeat(end, size))
    stopped = np.cumsum(stops)
    before: NDArray[np.int64] = stopped[begin] - stops[begin]
    taken = stopped == np.repeat(before, size)
    alone = np.zeros(len(row), dtype=np.bool_)
    alone[begin] = ~taken[begin]
    return taken | alone, alone
