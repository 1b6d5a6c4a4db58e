"""Sending records in whole batches and waiting until the broker has acknowledged every one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Outgoing", "send"]

Headers = Sequence[tuple[str, bytes | None]]
Outgoing = tuple[bytes | None, bytes | None, Headers]  # key, value, headers


async def send(app: Any, topic: str, partition: int, records: Iterable[Outgoing]) -> list[int]:
    """Send records to one partition in order; return the last offset of each batch once all are acknowledged.

    Raises what aiokafka raises when the broker refuses a batch or does not answer in time.
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
    return [(await future).offset + count - 1 for future, count in sent]
