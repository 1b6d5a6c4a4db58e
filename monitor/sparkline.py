"""A risk's course in one short word of block characters."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, width: int, top: float) -> str:
    """Draw the last `width` values, each as a block between 0 and `top`; what is at or over `top` is full.

    The scale is the caller's, not the values' own: a flat low risk stays low beside a high one.
    """
    if width <= 0 or top <= 0:
        return ""
    highest = len(_BLOCKS) - 1
    levels = (int(min(1.0, max(0.0, value / top)) * highest + 0.5) for value in values[-width:])
    return "".join(_BLOCKS[level] for level in levels)
