"""How what waits is cut into pieces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.chunk import LARGEST_CHUNK, MOST_PATIENTS, Chunk, cheap_piece, next_piece

_KEYS = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", None]), min_size=1, max_size=12)


def _chunks(waiting: list[list[bytes | None]], done: int) -> list[Chunk]:
    offsets = iter(range(100_000))
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


@pytest.mark.parametrize(
    ("patients", "records_each", "few_held", "taken"),
    [
        (1_250, 4, True, 1_250),  # several records of each, at once
        (2_000, 4, True, 2_000),
        (1_250, 4, False, 1_000),  # many are held: memory comes first
        (5_000, 4, True, 1_000),  # of 3,000 patients there would be one record each
        (800, 5, True, 800),
        (800, 5, False, 800),
    ],
)
def test_a_piece_is_of_more_patients_where_that_is_cheaper(
    patients: int, records_each: int, few_held: bool, taken: int
) -> None:
    keys: list[bytes | None] = [b"%d" % number for _ in range(records_each) for number in range(patients)]
    piece = cheap_piece(_chunks([keys], 0), LARGEST_CHUNK, few_held=few_held)
    assert piece.patients == taken
    assert len(piece.records) <= LARGEST_CHUNK
    assert taken <= 3 * MOST_PATIENTS
