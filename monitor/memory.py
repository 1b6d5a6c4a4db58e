"""How the C library keeps a process's memory."""

from __future__ import annotations

import ctypes

__all__ = ["few_arenas"]

_M_ARENA_MAX = -8  # glibc's malloc.h
_ARENAS = 2


def few_arenas() -> None:
    """Let threads share their heaps, from here on; nothing where the C library is not glibc.

    A thread with a heap of its own keeps for itself what it has freed there. A worker's consumer, its decisions and its
    event loop hand the same records on from thread to thread, so that each heap grows to what its busiest moment needs.
    Call it before there are threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
