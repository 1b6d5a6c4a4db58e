"""Values as TOML writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["toml_value"]


def toml_value(value: Any) -> str:
    """Return a text, number, truth value or list as TOML, or a table of such as one in a line.

    JSON's are TOML's too, but TOML knows no pairs of surrogates, and its tables are written otherwise.
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_value(str(key))} = {toml_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
