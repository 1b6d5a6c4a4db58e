"""Changing the product's classes from outside, in the processes that the suite starts."""

from __future__ import annotations

from typing import Any

__all__ = ["wrap"]


def wrap(owner: Any, name: str, replacement: Any) -> None:
    """Put `replacement` in the place of what a class or module has under `name`, which must be there."""
    assert hasattr(owner, name), f"{owner} has no {name} any more: the fault would never hit"
    setattr(owner, name, replacement)
