"""Sending records in whole batches and waiting until the broker has acknowledged every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Outgoing", "TopicGoneError", "send"]

_LOOK_SECONDS, _LOOKS = 1.0, 5  # a broker that has just started may know of no topic for a moment

Headers = Sequence[tuple[str, bytes | None]]
Outgoing = tuple[bytes | None, bytes | None, Headers]  # key, value, headers


class TopicGoneError(Exception):
    """A topic that is written to is not there any more, or not for this user."""


async def send(app: Any, topic: str, partition: int, records: Iterable[Outgoing]) -> list[int]:
    """Send records to one partition in order; return the last offset of each batch once all are acknowledged.

    Raises what aiokafka raises when the broker refuses a batch or does not answer in time, and TopicGoneError where the
    topic cannot be seen any more.
    """
    producer = app.producer._ensure_producer()  # noqa: SLF001 (Faust offers no way to its aiokafka producer)
    batch = producer.create_batch()
    sent: list[tuple[Any, int]] = []
    for key, value, headers in records:
        if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
            sent.append((await producer.send_batch(batch, topic, partition=partition), batch.record_count()))
            batch = producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                msg = f"a record of {len(value or b'')} bytes does not fit into a batch"
                raise ValueError(msg)
    if batch.record_count():
        sent.append((await producer.send_batch(batch, topic, partition=partition), batch.record_count()))
    return [(await _acknowledged(future, producer, topic)).offset + count - 1 for future, count in sent]


async def _acknowledged(future: Any, producer: Any, topic: str) -> Any:
    """Return what the broker says to a batch.

    aiokafka keeps a batch whose topic is in no metadata for as long as a request may take, which is 20 minutes in
    Faust: the topic was deleted, or its user may no longer see it. Raises TopicGoneError after some seconds of that.
    """
    missed = 0
    while not (await asyncio.wait({future}, timeout=_LOOK_SECONDS))[0]:
        missed = 0 if producer.client.cluster.partitions_for_topic(topic) else missed + 1
        if missed >= _LOOKS:
            msg = f"{topic} can no longer be seen: it was deleted, or this worker's user may no longer write to it"
            raise TopicGoneError(msg)
    return await future
