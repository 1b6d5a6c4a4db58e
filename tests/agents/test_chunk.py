"""How what waits is cut into pieces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.chunk import Chunk, next_piece

_KEYS = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", None]), min_size=1, max_size=12)


def _chunks(waiting: list[list[bytes | None]], done: int) -> list[Chunk]:
    offsets = iter(range(1_000))
    chunks = [Chunk([SimpleNamespace(key=key, value=b"", offset=next(offsets)) for key in keys]) for keys in waiting]
    chunks[0].progress = min(done, len(waiting[0]) - 1)
    return chunks


@given(st.lists(_KEYS, min_size=1, max_size=5), st.integers(0, 12), st.integers(1, 20), st.integers(1, 6))
def test_a_piece_is_as_long_as_records_and_patients_allow(
    waiting: list[list[bytes | None]], done: int, most_records: int, most_patients: int
) -> None:
    chunks = _chunks(waiting, done)
    left: list[Any] = [record for chunk in chunks for record in chunk.records[chunk.progress :]]
    piece = next_piece(chunks, most_records, most_patients)
    cut = list(piece.records)
    assert cut
    assert cut == left[: len(cut)]
    assert len(cut) <= most_records
    assert piece.patients == len({record.key for record in cut}) <= most_patients
    if len(cut) < min(len(left), most_records):
        assert len({record.key for record in left[: len(cut) + 1]}) == most_patients + 1


@given(st.lists(_KEYS, min_size=1, max_size=5), st.integers(1, 20), st.integers(1, 6))
def test_pieces_one_after_the_other_are_all_of_the_chunks(
    waiting: list[list[bytes | None]], most_records: int, most_patients: int
) -> None:
    chunks = _chunks(waiting, 0)
    every = [record for chunk in chunks for record in chunk.records]
    seen: list[Any] = []
    while chunks:
        piece = next_piece(chunks, most_records, most_patients)
        seen += piece.records
        for chunk, reached in zip(chunks, piece.reached, strict=False):
            chunk.progress = reached
        assert all(chunk.progress == len(chunk.records) for chunk in chunks[: len(piece.reached) - 1])
        chunks = [chunk for chunk in chunks if chunk.progress < len(chunk.records)]
    assert seen == every
