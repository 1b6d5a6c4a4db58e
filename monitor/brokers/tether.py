"""Becomes another program that gets SIGTERM when the process that asked for it dies, however it dies.

Run as a script of its own (`python -I -S tether.py PARENT_PID PROGRAM ARGUMENT...`): the alternative, code between
fork and exec, is not safe in a process that has threads. Where the kernel offers no such tie (all but Linux) the
program runs untied.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, program: list[str]) -> None:
    """Tie this process to `parent` and become `program`; exits at once where the parent is already gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - the program is named by our own code, no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
