"""A slab is a dictionary, whatever is kept and dropped, of whatever size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.slab import Slab

SIZE = 40
KEYS = st.integers(0, 600).map(lambda number: b"patient-%d" % number)
RECORDS = st.one_of(st.binary(min_size=SIZE, max_size=SIZE), st.binary(max_size=3 * SIZE), st.none())


@given(st.lists(st.tuples(KEYS, RECORDS), max_size=900))
def test_it_keeps_what_a_dictionary_would(done: list[tuple[bytes, bytes | None]]) -> None:
    slab, kept = Slab(SIZE), dict[bytes, bytes]()
    for key, record in done:
        if record is None:
            slab.drop(key)
            kept.pop(key, None)
        else:
            slab.keep(key, record)
            kept[key] = record
        assert slab.get(key) == kept.get(key)
    assert dict(slab.items()) == kept
    assert sorted(slab) == sorted(kept)
    assert len(slab) == len(kept)
    assert slab.get(b"nobody") is None


def test_many_patients_fill_several_pieces_and_places_are_used_again() -> None:
    slab = Slab(SIZE)
    record = {b"patient-%d" % number: number.to_bytes(SIZE, "little") for number in range(1_000)}
    for _ in range(3):
        for key, one in record.items():
            slab.keep(key, one)
        assert dict(slab.items()) == record
        for key in record:
            slab.drop(key)
        assert len(slab) == 0
    assert len(slab._pieces) == 4  # of 256 each


def test_what_was_read_stays_as_it_was() -> None:
    slab = Slab(SIZE)
    slab.keep(b"p", b"a" * SIZE)
    read = slab.get(b"p")
    slab.keep(b"p", b"b" * SIZE)
    slab.drop(b"p")
    slab.keep(b"q", b"c" * SIZE)
    assert (read, slab.get(b"p"), slab.get(b"q")) == (b"a" * SIZE, None, b"c" * SIZE)
