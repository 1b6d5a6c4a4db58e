"""A worker whose consumer stops fetching once a file is there, as if a bug had it forget its partitions."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from aiokafka.consumer.subscription_state import TopicPartitionState

from agents import transport
from agents.watchdog import StallDetector
from monitor.cli import main
from tests.chaos.wrapping import wrap


def _deafen() -> None:
    deaf = Path(os.environ["DEAF_ONCE"])
    wrap(TopicPartitionState, "paused", property(lambda state: state._paused or deaf.exists()))
    wrap(transport, "StallDetector", partial(StallDetector, 3.0))
    wrap(transport, "_ASK_ENDS_SECONDS", 1.0)


if __name__ == "__main__":
    _deafen()
    main()
