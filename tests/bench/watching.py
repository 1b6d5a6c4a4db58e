"""What a process takes: memory and open files, as Linux counts them, and numbers from its /metrics."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

__all__ = ["metric", "open_files", "peak_bytes", "resident_bytes"]


def _status(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found, f"no {name} of process {pid}"
    return int(found[1]) * 1024


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has held."""
    return _status(pid, "VmHWM")


def open_files(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def metric(port: int, name: str) -> float:
    """Return the sum of a metric over its labels, 0 where it does not exist."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lines = re.findall(rf"^sepsis_monitor_{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, lines))
