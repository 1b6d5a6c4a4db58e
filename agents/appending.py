"""Admissions and commands, which stand on topics of their own: checked, and made ready for the patients' logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agents import publishing
from agents.checking import Limits
from agents.control import CommandFaulty, CommandSaid
from agents.decoding import StayChange, decode_admission, decode_command
from agents.rejection import WRONG_PARTITION, Rejection
from agents.sending import Outgoing

__all__ = ["Decode", "checked", "decode_admission", "decode_command"]

Decode = Callable[..., StayChange | CommandSaid | CommandFaulty | Rejection]


def checked(
    decode: Decode, records: Sequence[Any], partition: int, limits: Limits, right_partition: Callable[[bytes], int]
) -> tuple[list[Outgoing], list[tuple[int, Rejection]]]:
    """Return what to append to the logs of a partition, in order, and what to refuse, by its place."""
    appended: list[Outgoing] = []
    rejected: list[tuple[int, Rejection]] = []
    for i, record in enumerate(records):
        if record.value is None:
            continue  # a tombstone purges the topic; it says nothing of a patient
        said = decode(record.key, record.value, record.headers, record.timestamp, limits)
        if isinstance(said, Rejection):
            rejected.append((i, said))
        elif right_partition(record.key) != partition:
            rejected.append((i, WRONG_PARTITION))
        else:
            appended.append(publishing.appended_record(record, said))
    return appended, rejected
