"""A chunk: the records of one partition that one fetch brought, committed as one; pieces are worked off as one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

__all__ = ["LARGEST_CHUNK", "MOST_PATIENTS", "Chunk", "Piece", "cheap_piece", "next_piece"]

LARGEST_CHUNK = 4_000  # records
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
        self.begun = False  # somebody works on it, or has
        self.progress = 0  # records worked off and stored
        self.done = False  # only then may its offset be committed; Faust's own acks also cover failures

    def finish(self) -> None:
        """All its effects are acknowledged by the broker: the offset may be committed.

        The records are let go of at once: Faust's events and messages refer to each other, and it may be long before
        the collector looks for such circles.
        """
        self.records, self.size, self.done = (), 0, True


@dataclass(frozen=True)
class Piece:
    """Records of a partition that are worked off as one: a part of a chunk, or all of several that have waited."""

    records: Sequence[Any]
    patients: int
    reached: tuple[int, ...]  # of each chunk, oldest first, how many records are done with it


def next_piece(chunks: Iterable[Chunk], most_records: int, most_patients: int) -> Piece:
    """Return what comes next of chunks that follow one another: at most so many records, of at most so many patients.

    Small chunks go together: what belongs to a piece, and to a patient in it, is done once.
    """
    records: list[Any] = []
    seen: set[bytes | None] = set()
    reached: list[int] = []
    for chunk in chunks:
        at = chunk.progress
        for record in islice(chunk.records, at, at + most_records - len(records)):
            if record.key not in seen:
                if len(seen) == most_patients:
                    break
                seen.add(record.key)
            records.append(record)
            at += 1
        reached.append(at)
        if at < len(chunk.records):
            break
    return Piece(records, len(seen), tuple(reached))


def cheap_piece(chunks: Sequence[Chunk], most_records: int, *, few_held: bool) -> Piece:
    """Return what comes next of chunks that follow one another: of more patients than usual where that is cheaper.

    That is where a worker holds few patients, and the larger piece has several records of many of them: each is read,
    sealed and told of once.
    """
    if few_held:
        larger = next_piece(chunks, most_records, 3 * MOST_PATIENTS)
        if larger.patients <= MOST_PATIENTS or 4 * len(larger.records) >= 5 * larger.patients:
            return larger
    return next_piece(chunks, most_records, MOST_PATIENTS)
