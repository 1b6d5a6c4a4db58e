"""How commands on one machine find one local broker: a lock that its process holds, and a file that says where it is.

The lock is inherited by the broker's own process, so that it is free exactly when no broker runs on that data, even
where the command that started it was killed. The file is only a hint: it is believed when the lock is held and the
address answers.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from monitor.brokers.probe import answers
from monitor.errors import Failure

__all__ = ["DataLock", "Running", "find_running", "forget"]

_RUN_FILE = "broker.json"
_LOCK_FILE = "broker.lock"
_TRIES = 10
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Running:
    """A local broker that runs."""

    engine: str
    pid: int
    bootstrap_servers: str

    def write(self, data_dir: Path) -> None:
        """Say in `data_dir` that this broker runs; appears whole or not at all."""
        part = data_dir / f"{_RUN_FILE}.{os.getpid()}.part"
        part.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        part.replace(data_dir / _RUN_FILE)


def forget(data_dir: Path) -> None:
    """Remove what the last broker left behind about itself."""
    (data_dir / _RUN_FILE).unlink(missing_ok=True)


def find_running(data_dir: Path) -> Running | None:
    """Return the broker that runs on `data_dir` and answers now, or None; a stale run file counts as none."""
    try:
        content = json.loads((data_dir / _RUN_FILE).read_text(encoding="utf-8"))
        running = Running(str(content["engine"]), int(content["pid"]), str(content["bootstrap_servers"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not DataLock.held_by_anyone(data_dir):
        return None  # the address may answer all the same: somebody else's broker has the port now
    return running if answers(running.bootstrap_servers) else None


class DataLock:
    """The right to run a broker on a data folder; only one process tree has it at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _LOCK_FILE
        self.descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; return whether it was free. Raises Failure where the folder cannot be used.

        Tries for a fraction of a second, because whoever merely looks holds it for a moment.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            msg = f"cannot use {self._path.parent} for the broker's data: {error.strerror}; set broker.data_dir"
            raise Failure(msg) from error
        for _ in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
            else:
                self.descriptor = descriptor
                return True
        os.close(descriptor)
        return False

    def release(self) -> None:
        """Give up this process's part of the lock; a broker that still runs keeps its own."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    @staticmethod
    def held_by_anyone(data_dir: Path) -> bool:
        """Return whether a broker runs, starts or stops on `data_dir`."""
        try:
            descriptor = os.open(data_dir / _LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False
