"""A chunk: the records of one partition that one fetch brought, worked off and committed as one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

__all__ = ["LARGEST_CHUNK", "MOST_PATIENTS", "Chunk", "of_patients"]

LARGEST_CHUNK = 4_000  # records: what belongs to a patient is done once a chunk
MOST_PATIENTS = 1_000  # at a time: the states of those in work are held several times over

_RECORD_BYTES = 500  # a record without its value, as Python holds it


class Chunk:
    """Records of one partition in offset order; never empty until it is done."""

    __slots__ = ("begun", "done", "first", "last", "progress", "records", "size", "started")

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = records
        self.first, self.last = int(records[0].offset), int(records[-1].offset)
        self.size = sum(_RECORD_BYTES + len(record.value or b"") for record in records)  # bytes held, about
        self.started = time.monotonic()
        self.begun = False  # somebody works on it
        self.progress = 0  # records worked off and stored
        self.done = False  # only then may its offset be committed; Faust's own acks also cover failures

    def finish(self) -> None:
        """All its effects are acknowledged by the broker: the offset may be committed.

        The records are let go of at once: Faust's events and messages refer to each other, and it may be long before
        the collector looks for such circles.
        """
        self.records, self.size, self.done = (), 0, True


def of_patients(records: Sequence[Any], most: int) -> tuple[Sequence[Any], int]:
    """Return the records from the first on that are of at most so many patients, and of how many they are."""
    seen: set[bytes | None] = set()
    for at, record in enumerate(records):
        if record.key not in seen:
            if len(seen) == most:
                return records[:at], most
            seen.add(record.key)
    return records, len(seen)
