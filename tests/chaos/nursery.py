"""Starts workers as forks of a process that has everything imported: a start costs a second of imports otherwise.

Run as a program it is that process: requests come as lines of JSON on its standard input, starts and ends go out on
its standard output. It ends, and with it every worker, when its input ends. The workers run the same entry points as
others (`monitor`, `tests.chaos.worker_main`), with an environment and a log of their own.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import queue
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["Child", "Nursery", "nursery"]

_PRELOADED = ("monitor.cli", "monitor.commands.serve", "tests.chaos.crash_points", "tests.chaos.mutants")
_PR_SET_PDEATHSIG = 1
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.02


class Child:
    """One worker: what of `subprocess.Popen` the suite needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def ended(self, code: int) -> None:
        """Note its end."""
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        """Return its exit code (minus the signal that ended it), or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL, if it runs."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that forks, seen from the suite."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._children: dict[int, Child] = {}
        self._started: queue.SimpleQueue[Child] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def start(self, module: str, environment: Mapping[str, str], log: Path) -> Child:
        """Start `serve` of a module with this environment and no other; it appends to the log."""
        assert self._process.stdin is not None
        request = {"module": module, "environment": dict(environment), "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._started.get(timeout=_START_SECONDS)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "started" in said:
                child = self._children[said["started"]] = Child(said["started"])
                self._started.put(child)
            else:
                self._children.pop(said["ended"]).ended(said["code"])


@lru_cache(maxsize=1)
def nursery() -> Nursery:
    """Return the one of this process, started at the first call."""
    return Nursery()


# -- within the process that forks


def _serve() -> None:
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # the collector of a child need not touch, and copy, what all have in common
    unread = b""
    while True:
        ready, _, _ = select.select([sys.stdin.fileno()], [], [], _LOOK_SECONDS)
        _tell_of_ends()
        if not ready:
            continue
        data = os.read(sys.stdin.fileno(), 1 << 20)
        if not data:
            return
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            _fork(json.loads(line))


def _tell(**what: int) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _tell_of_ends() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _fork(request: Mapping[str, Any]) -> None:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(request, parent)
    _tell(started=pid)


def _become(request: Mapping[str, Any], parent: int) -> NoReturn:
    """Become a worker: its environment, its log, its module; never returns."""
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        _redirect(request["log"])
        sys.argv = [request["module"], "serve"]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (as the interpreter does at the end of a program)
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _redirect(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, descriptor), (2, descriptor)):
        os.dup2(source, target)
    os.close(descriptor)
    os.close(nothing)


if __name__ == "__main__":
    _serve()
