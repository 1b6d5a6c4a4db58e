"""Telling other topics what records came to: messages, and what was refused; done when all is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError

from agents.publishing import rejected_record, rejected_stub
from agents.rejection import Rejection
from agents.sending import Outgoing, send
from agents.topics import Topics

__all__ = ["tell"]


async def tell(
    app: Any,
    topics: Topics,
    partition: int,
    messages: Mapping[str, list[Outgoing]],
    refused: Sequence[tuple[Any, Rejection]],
) -> None:
    """Send messages by topic, and refused records with their reasons; return when all are acknowledged."""
    await asyncio.gather(
        *(send(app, topic, partition, some) for topic, some in messages.items() if some),
        _keep_refused(app, topics.rejected, partition, refused),
    )


async def _keep_refused(app: Any, topic: str, partition: int, refused: Sequence[tuple[Any, Rejection]]) -> None:
    """Keep refused records on their topic.

    Whatever the topic cannot take is stood for by its digest, and never stops the log.
    """
    try:
        await send(app, topic, partition, [rejected_record(*pair) for pair in refused])
    except MessageSizeTooLargeError:
        for pair in refused:
            try:
                await send(app, topic, partition, [rejected_record(*pair)])
            except MessageSizeTooLargeError:
                await send(app, topic, partition, [rejected_stub(*pair)])
