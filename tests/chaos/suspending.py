"""Processes that stand still: connections stay open, and nobody answers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["stands_still", "suspended_process"]


def stands_still(pid: int) -> bool:
    """Tell whether a process is stopped by a signal."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return stat.rpartition(") ")[2].startswith("T")  # the name before it may have brackets of its own


@contextmanager
def suspended_process(pid: int) -> Iterator[None]:
    """Let a process stand still, and go on afterwards in any case."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
