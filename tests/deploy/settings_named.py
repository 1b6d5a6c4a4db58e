"""Which settings a deployment names, held against those that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from monitor.settings import ENV_PREFIX, Settings, load_settings

__all__ = ["accepted", "unknown"]


def unknown(variables: Iterable[str]) -> list[str]:
    """Return which of our environment variables name no setting."""
    known = {
        f"{ENV_PREFIX}{section}__{key}".upper()
        for section, field in Settings.model_fields.items()
        for key in getattr(field.annotation, "model_fields", {})
    }
    known.add(f"{ENV_PREFIX}CONFIG")  # the option --config
    return [name for name in variables if name.startswith(ENV_PREFIX) and name not in known]


def accepted(variables: Mapping[str, str], file: Path | None = None) -> Settings:
    """Return the settings that a process with these variables and this file would have; raises SettingsError."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return load_settings(file)
