"""Reading a part of a partition's log once more, beside the stream: a consumer of its own that is in no group.

It lives in the thread that calls, with an event loop of its own, so that the stream's assignment, positions and loop
are not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from agents.worker_config import WorkerConfig

__all__ = ["SILENT_SECONDS", "LogPart", "read_again"]

SILENT_SECONDS = 20.0  # without a record; well below what the watchdog calls a stall
_REQUEST_MS = 10_000
_POLL_MS = 500
_STOP_SECONDS = 5.0
_BATCH = 1_000  # records between two signs of progress
Feed = Callable[[Sequence[Any]], None]


@dataclass(frozen=True)
class LogPart:
    """Records of a partition from a Kafka timestamp and an offset on, up to but without another offset."""

    from_ms: int
    first: int
    until: int


def read_again(config: WorkerConfig, partition: int, part: LogPart, begin: Callable[[bool], Feed]) -> int:
    """Feed the records of a part of the observations' partition in order; return how many were read.

    `begin` is called once, before the first, with whether the log reaches back to the part's beginning (or has never
    had more), and returns what takes the records. However long that takes: a slow machine must not decide what a state
    comes to. Raises TimeoutError where the broker gives nothing for SILENT_SECONDS, and what aiokafka raises.
    """
    return asyncio.run(_read(config, TopicPartition(config.topics.observations, partition), part, begin))


async def _read(config: WorkerConfig, tp: TopicPartition, part: LogPart, begin: Callable[[bool], Feed]) -> int:
    credentials = config.security.app_settings().get("broker_credentials")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap_servers,
        enable_auto_commit=False,
        request_timeout_ms=_REQUEST_MS,
        **(credentials_to_aiokafka_auth(credentials) if credentials else {"security_protocol": "PLAINTEXT"}),
    )
    try:
        async with asyncio.timeout(SILENT_SECONDS) as patience:
            await consumer.start()
            consumer.assign([tp])
            beginning = (await consumer.beginning_offsets([tp]))[tp]
            found = (await consumer.offsets_for_times({tp: max(part.from_ms, 0)}))[tp]
            start = max(beginning, part.first, part.until if found is None else found.offset)
            take = begin(beginning == 0 or start > beginning)
            consumer.seek(tp, start)
            count = 0
            while await consumer.position(tp) < part.until:
                batch = (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_BATCH)).get(tp, [])
                if batch:
                    count += len(batch)
                    take(batch)
                    patience.reschedule(asyncio.get_running_loop().time() + SILENT_SECONDS)
            return count
    finally:
        await asyncio.wait_for(consumer.stop(), _STOP_SECONDS)
