"""Whoever sends is asked at the last moment, and only for what was expected."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError
from faust.types.tuples import TP

from agents.gate import Gate


class _Sender:
    def __init__(self, happened: list[Any]) -> None:
        self._happened = happened

    async def _send_produce_req(self, node_id: int, batches: Any) -> None:
        self._happened.append((node_id, sorted(batches)))


class _Client:
    def __init__(self, happened: list[Any]) -> None:
        self._happened = happened

    async def ready(self, node_id: int) -> bool:
        """Say when one connects; node 8 cannot be reached."""
        self._happened.append(f"connects to {node_id}")
        if node_id == 8:
            raise KafkaConnectionError(node_id)
        return True


def test_a_request_waits_for_what_was_expected_of_its_partitions() -> None:
    happened: list[Any] = []
    sender = _Sender(happened)
    gate = Gate()
    gate.stand_before(SimpleNamespace(_sender=sender, client=_Client(happened)))

    async def run() -> None:
        def ask(name: str) -> Any:
            async def asked() -> None:
                await asyncio.sleep(0)
                happened.append(name)

            return asked

        gate.expect(("alerts", "scores"), 0, ask("first"))
        gate.expect(("alerts", "scores"), 0, ask("now"))
        gate.expect(("alerts",), 1, ask("another"))
        await sender._send_produce_req(7, {TP("alerts", 0): "batch", TP("scores", 0): "batch"})
        await sender._send_produce_req(8, {TP("changelog", 0): "batch", TP("scores", 1): "batch"})
        await sender._send_produce_req(9, {TP("alerts", 1): "batch"})

    asyncio.run(run())
    assert happened == [
        "connects to 7",
        "now",
        (7, [TP("alerts", 0), TP("scores", 0)]),
        "connects to 8",
        (8, [TP("changelog", 0), TP("scores", 1)]),
        "connects to 9",
        "another",
        (9, [TP("alerts", 1)]),
    ]


def test_nothing_is_sent_where_the_answer_is_no() -> None:
    happened: list[Any] = []
    sender = _Sender(happened)
    gate = Gate()
    gate.stand_before(SimpleNamespace(_sender=sender, client=_Client(happened)))

    async def refused() -> None:
        raise SystemExit(1)

    async def run() -> None:
        gate.expect(("alerts",), 0, refused)
        try:
            await sender._send_produce_req(7, {TP("alerts", 0): "batch"})
        except SystemExit:
            happened.append("ended")

    asyncio.run(run())
    assert happened == ["connects to 7", "ended"]
