"""Reading a part of a partition's log once more, beside the stream: a consumer of its own that is in no group.

It lives in the thread that calls, with an event loop of its own, so that the stream's assignment, positions and loop
are not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from agents.worker_config import WorkerConfig

__all__ = ["SILENT_SECONDS", "BrokerAwayError", "LogPart", "read_again"]

SILENT_SECONDS = 20.0  # without a record; well below what the watchdog calls a stall
_REQUEST_MS = 10_000
_POLL_MS = 500
_STOP_SECONDS = 5.0
_BATCH = 1_000  # records between two signs of progress
_OF_THE_LOG = (CorruptRecordException, OffsetOutOfRangeError)  # no waiting helps
Feed = Callable[[Sequence[Any]], None]


class BrokerAwayError(ConnectionError):
    """The log could not be read again because the cluster did not answer: nothing is known of the log itself."""


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
    comes to. Raises BrokerAwayError where the cluster does not answer, TimeoutError where the partition's leader does
    and still gives nothing for SILENT_SECONDS, and what `begin` and its feed raise.
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
        return await _feed(consumer, tp, part, begin)
    except TimeoutError as error:
        if await _answers(consumer, tp):
            raise
        msg = "the cluster stopped answering while a log was read again"
        raise BrokerAwayError(msg) from error
    except _OF_THE_LOG:
        raise
    except (OSError, KafkaError) as error:
        msg = f"a log could not be read again: {type(error).__name__}"
        raise BrokerAwayError(msg) from error
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(consumer.stop(), _STOP_SECONDS)


async def _answers(consumer: AIOKafkaConsumer, tp: TopicPartition) -> bool:
    """Tell whether the partition's leader answers, though it gives no records."""
    try:
        async with asyncio.timeout(_REQUEST_MS / 1000):
            await consumer.end_offsets([tp])
    except (OSError, KafkaError):
        return False
    return True


async def _feed(consumer: AIOKafkaConsumer, tp: TopicPartition, part: LogPart, begin: Callable[[bool], Feed]) -> int:
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
