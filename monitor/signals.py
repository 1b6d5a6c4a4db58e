"""SIGTERM and SIGINT as a request that a loop looks at, or as a clean way out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["exit_on_signals", "stop_requested"]


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; the handlers before are back afterwards.

    For the main thread. A second signal does what it did before: whoever is impatient may interrupt the clean end.
    """
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(_number: int, _frame: FrameType | None) -> None:
        restore()
        stop.set()

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """End the program with exit code 0, by way of all `finally` clauses, on SIGTERM or SIGINT within this block.

    For the start of what handles these signals itself later: until then there is nothing to finish, and no gap in
    which a signal would be lost. For the main thread; the handlers before are back afterwards.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
