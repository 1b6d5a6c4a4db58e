"""A worker that goes lame: its consumer stops fetching once a file is there, or its recovery never comes to an end."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from aiokafka.consumer.subscription_state import TopicPartitionState

from agents import transport, worker
from agents.table import StateTable
from agents.watchdog import StallDetector
from monitor.cli import main
from tests.chaos.wrapping import wrap


def _deafen(deaf: Path) -> None:
    wrap(TopicPartitionState, "paused", property(lambda state: state._paused or deaf.exists()))
    wrap(transport, "StallDetector", partial(StallDetector, 3.0))
    wrap(transport, "_ASK_ENDS_SECONDS", 1.0)


def _hold_up() -> None:
    async def settle(*_: object) -> None:
        await asyncio.Event().wait()

    wrap(StateTable, "_settle", settle)
    wrap(worker, "_NOT_READY_SECONDS", 4.0)


if __name__ == "__main__":
    if "DEAF_ONCE" in os.environ:
        _deafen(Path(os.environ["DEAF_ONCE"]))
    else:
        _hold_up()
    main()
