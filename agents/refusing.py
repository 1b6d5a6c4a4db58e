"""Keeping refused records on their topic, whatever they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError

from agents.publishing import rejected_record, rejected_stub
from agents.rejection import Rejection
from agents.sending import send

__all__ = ["keep_rejected"]


async def keep_rejected(app: Any, topic: str, partition: int, rejected: Sequence[tuple[Any, Rejection]]) -> None:
    """Send refused records with their reasons; return when all are acknowledged.

    Whatever the topic cannot take is stood for by its digest, and never stops the log.
    """
    try:
        await send(app, topic, partition, [rejected_record(*pair) for pair in rejected])
    except MessageSizeTooLargeError:
        for pair in rejected:
            try:
                await send(app, topic, partition, [rejected_record(*pair)])
            except MessageSizeTooLargeError:
                await send(app, topic, partition, [rejected_stub(*pair)])
