"""What a manifest says, to be written again with some of it changed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from models.artifact import Description
from models.manifest import Manifest

__all__ = ["description_of"]


def description_of(manifest: Manifest, **changes: Any) -> Description:
    """Return what a manifest says beside what follows from the weights, but for these changes."""
    said = {field.name: getattr(manifest, field.name) for field in fields(Description)}
    return Description(**(said | changes))
