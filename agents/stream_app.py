"""The Faust application that delivers some topics in chunks (see `agents.transport`)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import faust
from faust.tables.manager import TableManager

from agents.gate import Gate
from agents.transport import TRANSPORT_SCHEME

__all__ = ["StreamApp"]


class _Tables(TableManager):
    """Faust's tables, all of which are declared before the app starts: it need not wait a second for more of them."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class StreamApp(faust.App):
    """A Faust app whose chunked topics arrive as one event for the fetched records of a partition.

    `bootstrap_servers` as in Kafka's own settings: host:port, several separated by commas.
    """

    def __init__(self, name: str, *, bootstrap_servers: str, **settings: Any) -> None:
        self.chunked_topics: set[str] = set()
        self.gate = Gate()
        self.moves_beside: Callable[[], Hashable] = lambda: None  # progress that no position in a log tells of
        broker = [f"{TRANSPORT_SCHEME}://{server.strip()}" for server in bootstrap_servers.split(",")]
        super().__init__(name, broker=broker, TableManager=_Tables, **settings)

    def chunked_topic(self, name: str, partitions: int) -> Any:
        """Declare a topic that is delivered in chunks, keys and values as raw bytes."""
        self.chunked_topics.add(name)
        return self.topic(name, partitions=partitions, value_serializer="raw", key_serializer="raw")
