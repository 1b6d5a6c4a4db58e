"""A TCP proxy between workers and one broker that understands just enough of Kafka's protocol to make it a bad one.

It can hold requests back (a slow broker), answer them with an error of its own (a broker in trouble), or stop moving
bytes altogether. A held request does not stop those behind it, as if another broker had them; answers keep the
requests' order, as the protocol wants. What is still held when the client goes has never reached the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Self

from confluent_kafka.admin import AdminClient

from tests.chaos.refusals import Asked, refusal

__all__ = ["HEARTBEAT", "OFFSET_COMMIT", "PRODUCE", "Proxy", "broker_addresses", "proxy_hides"]

PRODUCE, OFFSET_COMMIT, HEARTBEAT = 0, 8, 12
_ANSWER_SECONDS = 30.0
_HEADER = struct.Struct(">hhi")


@dataclass
class _Client:
    """One connection of a worker: whom it waits for, in order, and the answers that have come."""

    due: deque[int] = field(default_factory=deque)
    answers: dict[int, bytes] = field(default_factory=dict)


def broker_addresses(bootstrap: str) -> set[str]:
    """Return where the brokers of a cluster say that they listen, HOST:PORT each."""
    found = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=_ANSWER_SECONDS)
    return {f"{broker.host}:{broker.port}" for broker in found.brokers.values()}


def proxy_hides(bootstrap: str, brokers: Collection[str]) -> str | None:
    """Return why one proxy cannot stand between workers and these brokers; None where it can.

    Workers are led to it by the port of the one seed server, which must be the port that the one broker names, too.
    """
    if "," in bootstrap:
        return "needs a single seed server: its proxy stands before one broker"
    if len(brokers) != 1:
        return f"needs a single broker: its proxy stands before one, the cluster has {len(brokers)}"
    port, named = (address.rpartition(":")[2] for address in (bootstrap, *brokers))
    if port != named:
        return f"needs a broker that names the seed server's port {port}, not {named}: its proxy would be passed by"
    return None


class Proxy:
    """Listens on a loopback port of its own for one broker; rules may be changed at any time."""

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = host, int(port)
        self.port = 0
        self.hold: Callable[[Asked], float] = lambda asked: 0.0  # seconds
        self.refuse: Callable[[Asked], int] = lambda asked: 0  # a Kafka error code
        self.held = self.refused = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.close()
            return
        client = _Client()
        tasks = {
            asyncio.create_task(self._requests(client, reader, writer, up_writer)),
            asyncio.create_task(self._responses(client, up_reader, writer)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
            up_writer.close()

    async def _requests(
        self,
        client: _Client,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        late: set[asyncio.Task[None]] = set()
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    frame = await _frame(reader)
                    key, version, correlation = _HEADER.unpack_from(frame)
                    asked = Asked(key, version, correlation, frame)
                    client.due.append(correlation)
                    code = self.refuse(asked)
                    if code:
                        self.refused += 1
                        client.answers[correlation] = refusal(asked, code)
                        self._answer(client, writer)
                        continue
                    seconds = self.hold(asked)
                    if seconds > 0:
                        self.held += 1
                        late.add(asyncio.create_task(_send_later(up_writer, frame, seconds)))
                    else:
                        _send(up_writer, frame)
        finally:
            for task in late:
                task.cancel()

    async def _responses(self, client: _Client, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                frame = await _frame(up_reader)
                client.answers[struct.unpack_from(">i", frame)[0]] = frame
                self._answer(client, writer)

    @staticmethod
    def _answer(client: _Client, writer: asyncio.StreamWriter) -> None:
        while client.due and client.due[0] in client.answers:
            _send(writer, client.answers.pop(client.due.popleft()))


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)


async def _send_later(writer: asyncio.StreamWriter, frame: bytes, seconds: float) -> None:
    await asyncio.sleep(seconds)
    _send(writer, frame)
