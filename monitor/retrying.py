"""Trying again for as long as a cluster cannot be used, later and later, and saying why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from kafka.errors import KafkaError

from monitor.errors import Unavailable
from monitor.refusals import why
from monitor.settings import Settings

__all__ = ["Setbacks", "connected", "until_available"]

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_TICK_SECONDS = 1.0
_Result = TypeVar("_Result")

_log = structlog.get_logger(__name__)


class Setbacks:
    """How long a loop that goes on for ever waits after a failure, and what it tells of it: each change, once."""

    def __init__(self, event: str) -> None:
        """Name the log's events: `event` for a failure, `event`_over for the end of it."""
        self._event, self._pause, self._told = event, _FIRST_PAUSE_SECONDS, ""

    @property
    def standing(self) -> bool:
        """Whether what was tried last failed."""
        return bool(self._told)

    def failed(self, meaning: str) -> float:
        """Note a failure, told where its meaning is new; return the seconds to wait, from 1 s doubling to 30 s."""
        if meaning != self._told:
            _log.warning(self._event, meaning=meaning)
        self._told = meaning
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return pause

    def over(self) -> None:
        """Note that it works, told where it did not before."""
        if self._told:
            _log.info(f"{self._event}_over", meaning="it works again")
        self._told, self._pause = "", _FIRST_PAUSE_SECONDS


def until_available(
    attempt: Callable[[], _Result],
    alive: Callable[[], object],
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> _Result:
    """Return what `attempt` returns once it does not raise Unavailable any more; any other exception ends it.

    Each refusal is one warning with its reason. The pause after it doubles, from 1 s to 30 s, and `alive` is called
    every second of it.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        alive()
        try:
            return attempt()
        except Unavailable as failure:
            _log.warning("cluster_unavailable", meaning=str(failure), next_try_seconds=pause)
        waited = 0.0
        while waited < pause:
            sleep(_TICK_SECONDS)
            alive()
            waited += _TICK_SECONDS
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def connected(
    settings: Settings, role: str, connect: Callable[[], _Result], stop: threading.Event, *, once: bool = False
) -> _Result:
    """Return what `connect` returns, asked again for as long as the cluster of the configuration cannot be used.

    A program that ends by itself (`once`) does not wait, nor does one on a local broker, which is there or never: they
    fail with the reason. What the client library raises becomes Unavailable, in the words for `role` of
    `monitor.access`. `stop` ends the program with exit code 0.
    """

    def attempt() -> _Result:
        try:
            return connect()
        except KafkaError as error:
            raise Unavailable(why(error, role, "Read or Write")) from error

    def leave_if_told() -> None:
        if stop.is_set():
            raise SystemExit(0)

    if once or settings.kafka.bootstrap_servers is None:
        return attempt()
    return until_available(attempt, leave_if_told, sleep=stop.wait)
