"""SIGTERM and SIGINT as a request that a loop looks at."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["stop_requested"]


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
