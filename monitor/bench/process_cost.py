"""What processes have taken of a Linux machine: CPU seconds and memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from monitor.errors import Failure

__all__ = ["cpu_seconds", "peak_bytes", "resident_bytes"]

_USER_AND_SYSTEM = slice(11, 13)  # of the fields of /proc/PID/stat after the command's name (proc(5))


def cpu_seconds(process_ids: Iterable[int]) -> float:
    """Return the CPU seconds that processes have taken, all their threads included."""
    ticks = 0
    for pid in process_ids:
        fields = _read(pid, "stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[_USER_AND_SYSTEM]))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has held."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", _read(pid, "status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        msg = f"cannot read what process {pid} takes ({error.strerror}); bench needs Linux, and its workers alive"
        raise Failure(msg) from error
