"""Waiting for the acknowledgement of what was sent, and for how long."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agents import sending
from agents.sending import TopicGoneError, send


class Producer:
    """An aiokafka producer as far as `send` needs one: batches are acknowledged when `answer` is called."""

    def __init__(self, known: bool) -> None:
        self.known, self.waiting = known, asyncio.Event()
        self.client = SimpleNamespace(cluster=SimpleNamespace(partitions_for_topic=self._partitions))
        self.looks = 0
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def _partitions(self, _topic: str) -> set[int] | None:
        self.looks += 1
        self.waiting.set()
        return {0} if self.known else None

    def _ensure_producer(self) -> Producer:
        return self

    def create_batch(self) -> Any:
        """Return a batch that takes every record."""
        held: list[Any] = []

        def append(**said: Any) -> Any:
            held.append(said)
            return said

        return SimpleNamespace(append=append, record_count=lambda: len(held))

    async def send_batch(self, _batch: Any, _topic: str, *, partition: int) -> Any:
        """Take a batch."""
        return self._answer

    def answer(self, offset: int) -> None:
        """Acknowledge."""
        self._answer.set_result(SimpleNamespace(offset=offset))


def test_it_waits_for_a_broker_as_long_as_the_topic_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_LOOK_SECONDS", 0.001)

    async def run() -> None:
        producer = Producer(known=True)
        sent = asyncio.create_task(send(SimpleNamespace(producer=producer), "t", 0, [(b"k", b"v", [])] * 2))
        while producer.looks < 3 * sending._LOOKS:
            await producer.waiting.wait()
            producer.waiting.clear()
        producer.answer(7)
        assert await sent == [8]

    asyncio.run(run())


def test_a_topic_that_has_gone_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_LOOK_SECONDS", 0.001)

    async def run() -> None:
        producer = Producer(known=False)
        with pytest.raises(TopicGoneError, match="scores can no longer be seen"):
            await send(SimpleNamespace(producer=producer), "scores", 0, [(b"k", b"v", [])])
        assert producer.looks == sending._LOOKS

    asyncio.run(run())
