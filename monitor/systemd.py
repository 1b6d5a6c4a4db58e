"""Tells systemd what a process is doing: ready, alive, stopping (sd_notify(3), over the socket in NOTIFY_SOCKET).

READY=1 goes out when the process does its work for the first time, not when it has begun. WATCHDOG=1 goes out only
while its heartbeat is fresh, so that systemd ends a process whose event loop hangs, or whose interpreter does. Where
systemd has not started the process, nothing is sent.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from agents.observer import Status

__all__ = ["notifying", "watchdog_seconds"]

_LOOK_SECONDS = 0.5
_log = structlog.get_logger(__name__)


@contextmanager
def notifying(status: Callable[[], Status]) -> Iterator[None]:
    """Keep systemd informed from a thread of its own while the block runs; `status` is asked twice a second."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    notifier = _Notifier(address, status, watchdog_seconds())
    try:
        yield
    finally:
        notifier.stop()


def watchdog_seconds() -> float | None:
    """Return after how long without a sign of life systemd ends this process, or None where it does not watch it."""
    meant_for = os.environ.get("WATCHDOG_PID")
    try:
        seconds = int(os.environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 and meant_for in (None, "", str(os.getpid())) else None


class _Notifier:
    """Sends what has changed, and signs of life while there is life."""

    def __init__(self, address: str, status: Callable[[], Status], watchdog: float | None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: in the abstract name space
        self._status = status
        self._watched = watchdog is not None
        self._pause = min(_LOOK_SECONDS, (watchdog or 4 * _LOOK_SECONDS) / 4)
        self._said_ready = self._said_stopping = False
        self._told = ""
        self._failed = False
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(1.0)
        self._thread = threading.Thread(target=self._run, name="systemd", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say that the process stops, if that is not said yet, and send nothing more."""
        self._over.set()
        self._thread.join()
        if not self._said_stopping:
            self._send("STOPPING=1")
        self._socket.close()

    def _run(self) -> None:
        while not self._over.is_set():
            self._look()
            self._over.wait(self._pause)

    def _look(self) -> None:
        status = self._status()
        lines = []
        if status.ready and not self._said_ready:
            self._said_ready = True
            lines.append("READY=1")
        if "stopping" in status.failing and not self._said_stopping:
            self._said_stopping = True
            lines.append("STOPPING=1")
        words = "ready" if status.ready else ", ".join(status.failing) or "starting"
        if words != self._told:
            self._told = words
            lines.append(f"STATUS={words}")
        if self._watched and status.live:
            lines.append("WATCHDOG=1")
        if lines:
            self._send("\n".join(lines))

    def _send(self, text: str) -> None:
        try:
            self._socket.sendto(text.encode(), self._address)
            self._failed = False
        except OSError as error:
            if not self._failed:
                _log.warning("systemd_not_told", meaning=f"NOTIFY_SOCKET does not take messages: {error.strerror}")
            self._failed = True
