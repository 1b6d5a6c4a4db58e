"""Which of several controllers on one machine acts: the one that holds a lock beside the local broker's data.

The embedded broker never gives up a dead member of a group, so that after a kill -9 the group would wait for it for
ever. A lock of the system's goes with its process, however that ends, and whoever stands by has it a moment later.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from monitor.errors import Failure
from monitor.follow import POLL_MS

__all__ = ["LocalCharge"]


class LocalCharge:
    """Whether this process holds the lock; it is tried at each `poll`, and kept until `close` or the process's end."""

    joined = True  # nobody has to answer

    def __init__(self, file: Path) -> None:
        """Open the lock's file, made where missing, and try for it; raises Failure where that cannot be done."""
        self.held = False
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            msg = f"cannot use {file.parent} for the live budget's lock: {error.strerror or error}; set broker.data_dir"
            raise Failure(msg) from error
        self._try()

    def _try(self) -> None:
        if not self.held:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self.held = True

    def poll(self) -> None:
        """Wait a moment, and try for the lock where another process had it."""
        time.sleep(POLL_MS / 1000)
        self._try()

    def confirmed(self) -> bool:
        """Tell whether this controller is in charge; nothing can have taken the lock away."""
        return self.held

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
        self.held = False
