"""The moves that an alert can make, each told as one transition: what each does to the row of state, not why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from agents.messages import NamedCommand
from agents.rules import RowRules

__all__ = ["BLIND", "HIGH", "LOST", "OPEN", "PRIORITIES", "SEPSIS", "Moved", "Moves", "Phase", "Seen", "Transition"]

SEPSIS, LOST, BLIND = range(3)  # the numbers of episodes.KINDS
PRIORITIES: Final = ("low", "medium", "high")
HIGH = PRIORITIES.index("high")
Transition = Literal[
    "raised", "updated", "escalated", "acknowledged", "snoozed", "marked", "resolved", "expired", "rejected"
]


class Phase(IntEnum):
    """Where an alert stands."""

    NONE = 0
    ACTIVE = 1
    ACKNOWLEDGED = 2
    SNOOZED = 3
    LATCHED = 4
    DISMISSED = 5


OPEN = (Phase.ACTIVE, Phase.ACKNOWLEDGED, Phase.SNOOZED, Phase.LATCHED)


@dataclass(frozen=True, slots=True)
class Moved:
    """One transition, as the row stands when it is told."""

    place: int  # of the record that decided, in its chunk
    row: int
    kind: int
    transition: Transition
    at_ms: int
    cause: str
    command: NamedCommand | None = None  # a `Command` where it was obeyed
    refusal: str | None = None  # the code of a rejection


@dataclass(frozen=True, slots=True)
class Seen:
    """What one observation says of a row, beside what is in it."""

    place: int
    row: int
    wall_ms: int
    risk: float
    assessable: bool


class Moves:
    """Moves alerts of rows of state records, each by its own rule; `tell` gets each transition at once."""

    def __init__(self, rows: NDArray[Any], rules: RowRules, tell: Callable[[Moved], None]) -> None:
        self.rows = rows
        self.rules = rules
        self.answer = tell  # without counting: for what does not move an alert

    def tell(self, told: Moved) -> None:
        """Count the transition and pass it on."""
        self.rows["sequence"][told.row, told.kind] += 1
        self.answer(told)

    def move(self, seen: Seen, transition: Transition, cause: str) -> None:
        """Tell a move of a sepsis alert that an observation made."""
        at_ms = int(self.rows["clock_ms"][seen.row])
        self.rows["told_ms"][seen.row, SEPSIS] = at_ms
        self.rows["told_risk"][seen.row] = seen.risk
        self.tell(Moved(seen.place, seen.row, SEPSIS, transition, at_ms, cause))

    def start(self, seen: Seen, kind: int, at_ms: int, cause: str) -> None:
        """Raise the alert of a new episode."""
        rows, row, policy = self.rows, seen.row, self.rules.policy(seen.row)
        priority = (policy.priority, policy.monitoring_lost_priority, policy.cannot_assess_priority)[kind]
        if kind == SEPSIS and seen.risk >= (policy.escalate_threshold or np.inf):
            priority = "high"
        rows["episode"][row, kind] += 1
        rows["sequence"][row, kind] = 0
        rows["priority"][row, kind] = PRIORITIES.index(priority)
        rows["raised_ms"][row, kind] = at_ms
        rows["waiting_ms"][row, kind] = seen.wall_ms
        self.put(row, kind, Phase.ACTIVE, on=1)
        if kind == SEPSIS:
            self.move(seen, "raised", cause)
        else:
            self.tell(Moved(seen.place, row, kind, "raised", at_ms, cause))

    def escalate(self, seen: Seen, priority: int, cause: str) -> None:
        """Raise the priority; an acknowledgement or a snooze was of the lower one."""
        self.rows["priority"][seen.row, SEPSIS] = priority
        self.rows["waiting_ms"][seen.row, SEPSIS] = seen.wall_ms
        self.put(seen.row, SEPSIS, Phase.ACTIVE)
        self.move(seen, "escalated", cause)

    def wake(self, place: int, row: int, kind: int, at_ms: int, wall_ms: int) -> None:
        """End a snooze that has run out."""
        self.put(row, kind, Phase.ACTIVE)
        self.rows["waiting_ms"][row, kind] = wall_ms
        self.tell(Moved(place, row, kind, "updated", at_ms, "the snooze is over"))

    def end(self, told: Moved) -> None:
        """End the episode, and tell it where its alert had not ended before."""
        row, kind = told.row, told.kind
        is_open = self.rows["phase"][row, kind] in OPEN
        self.over(row, kind, told.at_ms if is_open else int(self.rows["over_ms"][row, kind]))
        if is_open:
            self.tell(told)

    def over(self, row: int, kind: int, at_ms: int, *, on: int = 0) -> None:
        """Take the alert away; with `on` its condition still holds."""
        self.put(row, kind, Phase.DISMISSED if on else Phase.NONE, on=on)
        self.rows["turning_ms"][row, kind] = 0
        self.rows["over_ms"][row, kind] = at_ms

    def put(self, row: int, kind: int, phase: Phase, *, on: int | None = None) -> None:
        """Set where the alert stands, and whether its condition holds."""
        self.rows["phase"][row, kind] = phase
        if on is not None:
            self.rows["on"][row, kind] = on
