"""A chunk: the records of one partition that one fetch brought, worked off and committed as one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

__all__ = ["Chunk"]


class Chunk:
    """Records of one partition in offset order; never empty."""

    __slots__ = ("done", "progress", "records", "seconds", "started")

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = records
        self.started = time.monotonic()
        self.seconds = 0.0  # from delivery to the end of the work
        self.progress = 0  # records worked off and stored
        self.done = False  # only then may its offset be committed; Faust's own acks also cover failures

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return int(self.records[0].offset)

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return int(self.records[-1].offset)

    def finish(self) -> None:
        """All its effects are acknowledged by the broker: the offset may be committed."""
        self.seconds = time.monotonic() - self.started
        self.done = True
