"""A worker that goes lame: its consumer stops fetching once a file is there, or its recovery never comes to an end.

Or it is only slow, at making states anew: longer over it than a broker may be silent, or a partition may stand still;
and the broker is away when it begins.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import KafkaConnectionError

from agents import log_ends, recent_log, transport, worker
from agents.outcome import LogRecord
from agents.table import StateTable
from agents.warm_up import WarmUp
from agents.watchdog import StallDetector
from monitor.cli import main
from tests.chaos.wrapping import wrap


def _deafen(deaf: Path) -> None:
    wrap(TopicPartitionState, "paused", property(lambda state: state._paused or deaf.exists()))
    wrap(transport, "StallDetector", partial(StallDetector, 3.0))
    wrap(log_ends, "_ASK_SECONDS", 1.0)


def _hold_up() -> None:
    async def settle(*_: object) -> None:
        await asyncio.Event().wait()

    wrap(StateTable, "_settle", settle)
    wrap(worker, "_NOT_READY_SECONDS", 4.0)


def _slow_down() -> None:
    feed = WarmUp.feed

    def slow(warm_up: WarmUp, records: Sequence[LogRecord]) -> None:
        time.sleep(1.0)
        feed(warm_up, records)

    real, left = recent_log._feed, [None, None]

    async def feed_later(*given: Any) -> int:
        if left:
            left.pop()
            raise KafkaConnectionError
        return await real(*given)

    wrap(WarmUp, "feed", slow)
    wrap(recent_log, "_feed", feed_later)
    wrap(recent_log, "_BATCH", 2)
    wrap(recent_log, "SILENT_SECONDS", 8.0)
    wrap(transport, "StallDetector", partial(StallDetector, 8.0))


if __name__ == "__main__":
    if "DEAF_ONCE" in os.environ:
        _deafen(Path(os.environ["DEAF_ONCE"]))
    elif "SLOW" in os.environ:
        _slow_down()
    else:
        _hold_up()
    main()
