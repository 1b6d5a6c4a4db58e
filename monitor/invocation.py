"""What every command gets from the options that stand before its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from monitor.logs import configure_logging
from monitor.settings import Loaded, Settings, load

__all__ = ["Invocation", "pass_invocation"]


@dataclass(frozen=True)
class Invocation:
    """The configuration file and the flags that were given to the program itself."""

    config_file: Path | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)

    def load(self, overrides: Mapping[str, object] | None = None) -> Loaded:
        """Read the configuration, with the command's own flags (by `section.key`) on top, and set the logs up by it."""
        loaded = load(self.config_file, {**self.overrides, **(overrides or {})})
        configure_logging(loaded.settings.log)
        return loaded

    def settings(self, overrides: Mapping[str, object] | None = None) -> Settings:
        """Do as `load`, for commands that do not care where a key comes from."""
        return self.load(overrides).settings


pass_invocation = click.make_pass_decorator(Invocation)
