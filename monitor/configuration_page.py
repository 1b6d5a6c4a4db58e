"""The page of all settings, written from their classes: `python -m monitor.configuration_page` prints it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from monitor.settings import ENV_PREFIX, Settings

__all__ = ["page"]

_INTRODUCTION = f"""\
# Configuration

Written from the classes in [`monitor/sections.py`](../monitor/sections.py) by `python -m monitor.configuration_page`; a
test holds the two together. A flag wins over an environment variable, that over the TOML file (`--config FILE`), that
over the default. Where `--config` is not given, `{ENV_PREFIX}CONFIG` names the file, if it is set; the image and the
units of [`deploy/`](../deploy/README.md) set it. `{ENV_PREFIX}KAFKA__BOOTSTRAP_SERVERS` is `bootstrap_servers` in
`[kafka]`, and so for every key. An unknown key is an error wherever it stands. `sepsis-monitor config` prints what is
in force and where it comes from, secrets masked. A file to start from is
[`deploy/sepsis-monitor.toml`](../deploy/sepsis-monitor.toml).
"""
_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}", "max_length": "up to {} long"}


def page() -> str:
    """Return the page as Markdown."""
    return _INTRODUCTION + "".join(_section(name, field) for name, field in Settings.model_fields.items())


def _section(name: str, field: FieldInfo) -> str:
    model = cast("type[BaseModel]", field.annotation)
    schema = model.model_json_schema()["properties"]
    rows = "\n".join(_row(key, one, schema[key]) for key, one in model.model_fields.items())
    meaning = " ".join((model.__doc__ or "").split())
    return f"\n## [{name}]\n\n{meaning}\n\n| key | kind | default | meaning |\n|---|---|---|---|\n{rows}\n"


def _row(key: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    return f"| `{key}` | {_kind(schema, field)} | {_default(field)} | {field.description or ''} |"


def _kind(schema: dict[str, Any], field: FieldInfo) -> str:
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    one = options[0]
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    kind = {"password": "secret", "path": "path"}.get(one.get("format", ""), one.get("type", "value"))
    kind = kind.replace("object", "table")
    bounds = [
        words.format(getattr(said, name))
        for said in field.metadata
        for name, words in _BOUNDS.items()
        if getattr(said, name, None) is not None
    ]
    return ", ".join([kind, *bounds])


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        value: object = field.default_factory()  # type: ignore[call-arg]
    else:
        value = field.default
    if value is None or value is PydanticUndefined:
        return "not set"
    if isinstance(value, Path):
        return f"`{_of_any_user(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else "empty"


def _of_any_user(path: Path) -> str:
    """Return a path below the user's data folder without who the user is: the page is the same for everybody."""
    return re.sub(r"^.*(?=/sepsis-monitor/)", "$XDG_DATA_HOME", str(path))


if __name__ == "__main__":
    sys.stdout.write(page())
