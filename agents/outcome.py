"""What a chunk of a partition's log is made of, and what comes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from agents.checking import Headers
from agents.intake import Intake
from agents.messages import AlertEvent, RiskScore
from agents.rejection import Rejection

__all__ = ["LogRecord", "Outcome"]


class LogRecord(Protocol):
    """A record of the observations topic, as aiokafka's ConsumerRecord has it; timestamp in epoch milliseconds."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


@dataclass
class Outcome:
    """All that one chunk gives. Indices are positions in the chunk's records."""

    states: dict[bytes, bytes | None] = field(default_factory=dict)  # None: nothing is kept any more
    scores: list[RiskScore] = field(default_factory=list)
    alerts: list[tuple[int, AlertEvent]] = field(default_factory=list)  # with the record that decided
    forgotten: list[bytes] = field(default_factory=list)  # keys of patients who are gone for good
    erased: dict[str, int] = field(default_factory=dict)  # patients who were to be erased, and the offset that said so
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)
    accepted: int = 0
    replayed: int = 0  # records that a state held already
    repeated: int = 0
    superseded: int = 0
    steps_closed: int = 0
    risks: int = 0
    state_resets: Counter[str] = field(default_factory=Counter)
    intake: Intake = field(default_factory=Intake)
    model_seconds: float = 0.0

    def store_in(self, states: dict[bytes, bytes]) -> None:
        """Put the states among others in memory, as a worker's table does."""
        for key, state in self.states.items():
            if state is None:
                states.pop(key, None)
            else:
                states[key] = state
