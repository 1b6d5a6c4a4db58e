"""The last question before a request leaves: whether what it tells is still this worker's to tell.

Between a piece's decision and the socket its messages wait for the event loop, for metadata, for the request before
them. A worker that is suspended there, and whose session is over when it wakes, would tell of alerts what its successor
has overtaken, and the compacted topic of alerts would hold that as the last word. So the group is asked here, once the
connection stands, where nothing but the making of the request comes after it.

Private part of aiokafka 0.14 in use: `Sender._send_produce_req`, which all requests with records pass, also repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

__all__ = ["Gate"]

Ask = Callable[[], Awaitable[None]]


class Gate:
    """Stands between a producer and the brokers."""

    def __init__(self) -> None:
        self._asks: dict[tuple[str, int], Ask] = {}  # by topic and partition
        self._send: Callable[[Any, Any], Awaitable[None]]
        self._connect: Callable[[Any], Awaitable[bool]]

    def stand_before(self, producer: Any) -> None:
        """Let the requests of an `AIOKafkaProducer` pass here."""
        sender = producer._sender  # noqa: SLF001
        self._connect = producer.client.ready
        self._send = sender._send_produce_req  # noqa: SLF001
        sender._send_produce_req = self.send  # noqa: SLF001

    def expect(self, topics: Iterable[str], partition: int, ask: Ask) -> None:
        """Let `ask` be awaited before each request for a partition of these topics; it ends the process, or returns."""
        self._asks.update({(topic, partition): ask for topic in topics})

    async def send(self, node_id: Any, batches: Any) -> None:
        """Send batches, by topic and partition, to a node, once all that were expected are confirmed."""
        with suppress(KafkaError, OSError, TimeoutError):  # then the request fails below, and is made again
            await self._connect(node_id)
        for ask in {self._asks.get((tp.topic, tp.partition)) for tp in batches}:
            if ask is not None:
                await ask()
        await self._send(node_id, batches)
