"""Trying again for as long as a cluster cannot be used, later and later, and saying each time why."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from monitor.errors import Unavailable

__all__ = ["until_available"]

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_TICK_SECONDS = 1.0
_Result = TypeVar("_Result")

_log = structlog.get_logger(__name__)


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
