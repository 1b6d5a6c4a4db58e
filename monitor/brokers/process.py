"""A broker as a child process: started, watched until it answers, stopped or killed, started again on the same data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import structlog

from monitor.brokers import tether
from monitor.brokers.probe import answers, free_port
from monitor.brokers.run_file import DataLock, Running, forget
from monitor.errors import Failure

__all__ = ["BrokerProcess"]

_POLL_SECONDS = 0.05
_TAIL_LINES = 5
# The embedded broker's binary names a newer C library as a *weak* need; the loader says so and runs it all the same.
# Lines of a stack trace tell the user nothing that its first line does not.
_NO_NEWS = re.compile(r"weak version `GLIBC_|^\s+at |^\s+\.\.\. \d+ more")

_log = structlog.get_logger(__name__)


class BrokerProcess(ABC):
    """One local broker on one data folder; not to be shared between threads.

    The broker ends with the thread that started it (that is how Linux counts a dead parent): start it from the main
    thread or from one that outlives it.
    """

    engine: str
    start_seconds: float
    stop_seconds: float
    clean_exits: frozenset[int]

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        self.data_dir = data_dir
        self._wanted_port = port
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = DataLock(data_dir)

    @abstractmethod
    def _prepare(self) -> None:
        """Write what the broker needs before it starts; `port` is set."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the program (an absolute path) and its arguments."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """Return the broker's environment."""

    @property
    def bootstrap_servers(self) -> str:
        """Where the broker listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """What the broker itself wrote since its last start."""
        return self.data_dir / "broker.log"

    @property
    def pid(self) -> int | None:
        """The broker's process, or None while none runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def try_lock(self) -> bool:
        """Take the data folder for this broker; return False where another process has it."""
        return self._lock.descriptor is not None or self._lock.acquire()

    def start(self) -> None:
        """Start the broker and return when it answers. A second start after a stop or kill uses the same port.

        Raises Failure when the data folder is in use, the port is taken, or the broker ends or stays silent.
        """
        if self.pid is not None:
            return
        if not self.try_lock():
            msg = f"another process runs a broker on {self.data_dir}; stop it, or set another broker.data_dir"
            raise Failure(msg)
        try:
            forget(self.data_dir)
            self.port = self._choose_port()
            self._prepare()
            self._launch()
            self._await_answer()
        except BaseException:
            self.kill()
            self._lock.release()
            raise
        Running(self.engine, self._running().pid, self.bootstrap_servers).write(self.data_dir)
        _log.info("broker_started", engine=self.engine, bootstrap_servers=self.bootstrap_servers, pid=self.pid)

    def stop(self) -> int | None:
        """Stop the broker so that it keeps its data, and return its exit code (None if none ran)."""
        process, self._process = self._process, None
        code: int | None = None
        if process is not None:
            process.terminate()
            try:
                code = process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                _log.warning("broker_killed", engine=self.engine, after_seconds=self.stop_seconds)
                process.kill()
                code = process.wait()
            _log.info("broker_stopped", engine=self.engine, exit_code=code, clean=code in self.clean_exits)
        if self._lock.descriptor is not None:
            forget(self.data_dir)
            self._lock.release()
        return code

    def kill(self) -> None:
        """End the broker at once, as a power cut would; `start` brings it up again on the same data and port."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def wait(self, seconds: float) -> int | None:
        """Wait so long for the broker to end by itself; return its exit code, or None while it still runs."""
        try:
            return self._running().wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _choose_port(self) -> int:
        wanted = self.port or self._last_port()
        port = free_port(preferred=wanted)
        if self.port and port != self.port:
            msg = f"port {self.port} on 127.0.0.1 is taken; free it, or set another broker.port (0: any)"
            raise Failure(msg)
        return port

    def _last_port(self) -> int:
        """Return the port of the last run on this data, so that clients configured with it find the broker again."""
        try:
            return int((self.data_dir / "port").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def _launch(self) -> None:
        (self.data_dir / "port").write_text(str(self.port), encoding="ascii")
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        command = [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *self._command()]
        lock = self._lock.descriptor
        with self.log_file.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - no shell, and every word is ours or a configured path
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self._environment()),
                cwd=self.data_dir,
                pass_fds=() if lock is None else (lock,),
                start_new_session=True,  # Ctrl-C is for us: clients first, the broker last
            )

    def _await_answer(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not answers(self.bootstrap_servers, timeout=1.0):
            code = self._running().poll()
            if code is not None:
                msg = f"the {self.engine} broker ended with exit code {code} while it started: {self._last_words()}"
                raise Failure(msg)
            if time.monotonic() > deadline:
                msg = f"the {self.engine} broker does not answer after {self.start_seconds:.0f} s: {self._last_words()}"
                raise Failure(msg)
            time.sleep(_POLL_SECONDS)

    def _last_words(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if line.strip() and not _NO_NEWS.search(line)][-_TAIL_LINES:]
        return " | ".join(told) or f"it wrote nothing to {self.log_file}"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            msg = f"the {self.engine} broker is not running"
            raise Failure(msg)
        return self._process
