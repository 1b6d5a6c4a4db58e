"""The version of this program."""

from __future__ import annotations

import importlib.metadata

__all__ = ["VERSION"]


def _installed() -> str:
    try:
        return importlib.metadata.version("sepsis-monitor")
    except importlib.metadata.PackageNotFoundError:
        return "0+uninstalled"  # run from a source tree: no release, and not to be taken for one


VERSION = _installed()
