"""Values as TOML: what is written is read back."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from monitor.toml_values import toml_value

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_PLAIN = st.one_of(_TEXT, st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False))


@given(st.one_of(_PLAIN, st.lists(_TEXT, max_size=4), st.dictionaries(_TEXT, _PLAIN, max_size=4)))
def test_what_is_written_is_read_back(value: object) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}\n") == {"key": value}
