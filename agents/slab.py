"""Records of one partition's patients in a few large pieces of memory, which are given back with the partition.

A patient's record is replaced with every chunk that has something of the patient. As an object each, old and new ones
lie among the short-lived objects of the work in hand, and keep its pages when it is done: a heap of 110 MB took 150.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

__all__ = ["Slab"]

_RECORDS = 256  # in a piece


class Slab:
    """A mapping from keys to records; those of the usual size share memory, others (stubs, settings) do not.

    What is read is a copy: it stays as it is whatever is kept later.
    """

    def __init__(self, record_bytes: int) -> None:
        self._size = record_bytes
        self._places: dict[bytes, int] = {}
        self._free: list[int] = []
        self._pieces: list[mmap.mmap] = []
        self._others: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._places) + len(self._others)

    @property
    def record_bytes(self) -> int:
        """Return the bytes of all that is kept."""
        return len(self._places) * self._size + sum(map(len, self._others.values()))

    def __iter__(self) -> Iterator[bytes]:
        yield from self._places
        yield from self._others

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Go through the keys and what is kept under them."""
        for key in self._places:
            yield key, self._kept(key)
        yield from self._others.items()

    def get(self, key: bytes) -> bytes | None:
        """Return what is kept under a key, None where nothing is."""
        return self._kept(key) if key in self._places else self._others.get(key)

    def _kept(self, key: bytes) -> bytes:
        piece, row = divmod(self._places[key], _RECORDS)
        return self._pieces[piece][row * self._size : (row + 1) * self._size]

    def keep(self, key: bytes, record: bytes) -> None:
        """Keep a record in place of the one before."""
        if len(record) != self._size:
            self.drop(key)
            self._others[key] = record
            return
        place = self._places.get(key)
        if place is None:
            self._others.pop(key, None)
            place = self._places[key] = self._new_place()
        piece, row = divmod(place, _RECORDS)
        self._pieces[piece][row * self._size : (row + 1) * self._size] = record

    def drop(self, key: bytes) -> None:
        """Keep nothing under a key any more."""
        place = self._places.pop(key, None)
        if place is None:
            self._others.pop(key, None)
        else:
            self._free.append(place)

    def _new_place(self) -> int:
        if not self._free:
            first = len(self._pieces) * _RECORDS
            self._pieces.append(mmap.mmap(-1, _RECORDS * self._size))
            self._free = list(range(first + _RECORDS - 1, first - 1, -1))
        return self._free.pop()
