"""How the C library keeps a process's memory."""

from __future__ import annotations

import re
import subprocess
import sys

_PROGRAM = """
import ctypes, threading
from monitor.memory import few_arenas
few_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
gate = threading.Barrier(9)
def work():
    libc.malloc(1000)
    gate.wait()
for _ in range(8):
    threading.Thread(target=work).start()
gate.wait()
libc.malloc_stats()
"""


def test_threads_share_two_heaps() -> None:
    told = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stderr
    assert 1 <= len(re.findall(r"^Arena \d+:", told, re.MULTILINE)) <= 2
