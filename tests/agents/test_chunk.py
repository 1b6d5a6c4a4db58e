"""How a chunk is cut by patients."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from agents.chunk import of_patients

_KEYS = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", None]), max_size=20)


@given(_KEYS, st.integers(1, 6))
def test_a_cut_has_as_many_records_as_there_may_be_patients_and_no_more(keys: list[bytes | None], most: int) -> None:
    records = [SimpleNamespace(key=key) for key in keys]
    some, patients = of_patients(records, most)
    cut = list(some)
    assert cut == records[: len(cut)]
    assert patients == len({record.key for record in cut}) <= most
    if len(cut) < len(records):
        assert cut
        assert len(set(keys[: len(cut) + 1])) == most + 1
