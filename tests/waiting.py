"""Waiting for a condition with a deadline, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until"]

_Value = TypeVar("_Value")


def until(condition: Callable[[], _Value], *, seconds: float = 30.0, what: str = "the condition") -> _Value:
    """Return the first true value of `condition`, asked again and again; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:.0f} s"
        time.sleep(0.05)
    return value
