"""Lets a process keep the memory that it frees, where it would give it back only to ask for it again at once.

A chunk is worked off in arrays of megabytes that live for a millisecond. The C library maps each of them anew from the
kernel, which has to clear every page: up to half of the time of a chunk. Kept, the memory of the largest chunk stays
with the process.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names in glibc's malloc.h
_KEPT_BYTES = 256 * 1024 * 1024
_MAPPED_FROM_BYTES = 32 * 1024 * 1024  # the most that glibc takes


def keep_freed_memory() -> bool:
    """Tell the C library to keep up to 256 MB of freed memory; return whether it did. Other than glibc: nothing."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
