"""Where the logs end by the brokers' own word: nothing else tells of a partition that is not fetched.

A log that ends before what was read of it has lost records: the next ones that are appended would stand at offsets that
are taken for known, and be passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from faust.types.tuples import TP

__all__ = ["LogEnds"]

_ASK_SECONDS = 20.0
_SURE_AFTER = 5  # questions, a second apart: the first word of a new leader may be too low


class LogEnds:
    """Pure: told what brokers say, knows when to ask them again."""

    def __init__(self) -> None:
        self._ends: dict[TP, int] = {}
        self._asked = -math.inf  # monotonic seconds
        self._found_short = 0  # how often in a row a log ended before what was read of it

    def clear(self) -> None:
        """Forget the ends: the partitions are sought anew."""
        self._ends.clear()

    def end(self, tp: TP) -> int:
        """Return the offset after the last record of a partition, as far as it is known."""
        return self._ends.get(tp, 0)

    def due(self, now: float) -> bool:
        """Tell whether brokers should be asked at `now` (seconds), and take it that they are."""
        if now - self._asked < (1.0 if self._found_short else _ASK_SECONDS):
            return False
        self._asked = now
        return True

    def take(self, found: Mapping[TP, int | None], read: Mapping[TP, int]) -> TP | None:
        """Note the ends that were found; return a partition that ends, for sure, before what was `read` of it.

        `read` has the offset after the last record that was read before brokers were asked, and is still read.
        """
        self._ends = {tp: end for tp, end in found.items() if end is not None}
        short = [tp for tp, end in self._ends.items() if end < read.get(tp, 0)]
        self._found_short = self._found_short + 1 if short else 0
        return short[0] if self._found_short >= _SURE_AFTER else None
