"""`config`: print the configuration in force."""

from __future__ import annotations

import json
from pathlib import Path

import click
from pydantic import SecretStr

from monitor.invocation import Invocation, pass_invocation
from monitor.settings import Loaded
from monitor.toml_values import toml_value

__all__ = ["command"]

_MASK = "********"


@click.command(name="config")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: each key with its value and source.")
@pass_invocation
def command(invocation: Invocation, *, as_json: bool) -> None:
    """Print what is in force and where each key was set, with secrets masked.

    The output is TOML that `--config` reads; a key that is not set stands there as a comment.

    Example: sepsis-monitor --config site.toml config
    """
    loaded = invocation.load()
    click.echo(_as_json(loaded) if as_json else _as_toml(loaded), nl=False)


def _values(loaded: Loaded) -> dict[str, dict[str, object]]:
    """Return plain values by section and key: strings, numbers, booleans, None; secrets masked."""
    return {
        section: {key: _plain(getattr(part, key)) for key in type(part).model_fields}
        for section, part in ((name, getattr(loaded.settings, name)) for name in type(loaded.settings).model_fields)
    }


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value


def _as_json(loaded: Loaded) -> str:
    tree = {
        section: {key: {"value": value, "source": loaded.sources[f"{section}.{key}"]} for key, value in values.items()}
        for section, values in _values(loaded).items()
    }
    return json.dumps(tree, indent=2) + "\n"


def _as_toml(loaded: Loaded) -> str:
    lines = []
    for section, values in _values(loaded).items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            setting = f"# {key} is not set" if value is None else f"{key} = {toml_value(value)}"
            lines.append(f"{setting}  # {loaded.sources[f'{section}.{key}']}" if value is not None else setting)
        lines.append("")
    return "\n".join(lines)
