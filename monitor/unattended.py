"""The sepsis alerts of many stays whom nobody answers, hour by hour: the stream's own decision, latching and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.episodes import risk_turn

__all__ = ["Hour", "UnattendedAlerts"]

_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Hour:
    """What is known of N stays at an hour; `observed` says of which something came, and only then is it decided on."""

    risk: NDArray[np.float64]
    assessable: _Mask
    observed: _Mask
    clock_ms: NDArray[np.int64]  # event time of the observation


class UnattendedAlerts:
    """The alerts of N stays, from before their first hours on.

    With latching an alert whose risk has fallen is kept: until the risk is over the raise threshold again, when it is
    the same alert as before, or until an observation `latch_hours` or more after the fall.
    """

    def __init__(self, stays: int) -> None:
        """Begin without an alert."""
        self._on, self._latched = (np.zeros(stays, dtype=np.bool_) for _ in range(2))
        self._since_ms, self._ended_ms, self._fell_ms = (np.zeros(stays, dtype=np.int64) for _ in range(3))
        self._held_ms = np.zeros(stays, dtype=np.int64)  # nobody marks one as already treated

    @property
    def open(self) -> _Mask:
        """Whose alert is open (N)."""
        return self._on | self._latched

    def admit(self, stay: int) -> None:
        """Put a new stay in the place of another."""
        self._on[stay] = self._latched[stay] = False
        self._since_ms[stay] = self._ended_ms[stay] = self._fell_ms[stay] = 0

    def turn(self, terms: Any, hour: Hour) -> tuple[_Mask, _Mask]:
        """Decide on the first stays, as many as `hour` is of; return whose alert was raised and whose has ended.

        `terms` are a policy's (`agents.rules.terms_of`).
        """
        here = slice(len(hour.risk))
        on, latched, ended_ms = self._on[here], self._latched[here], self._ended_ms[here]
        turned = risk_turn(
            terms,
            on=on,
            since_ms=self._since_ms[here],
            risk=hour.risk,
            assessable=hour.assessable & hour.observed,
            ended_ms=ended_ms,
            held_ms=self._held_ms[here],
            clock_ms=hour.clock_ms,
        )
        raised, ended, since_ms = turned.began, turned.ended, turned.since_ms
        if terms["latch_ms"] > 0:
            raised = turned.began & ~latched
            kept = hour.clock_ms - self._fell_ms[here] < terms["latch_ms"]
            ended = latched & ~turned.began & hour.observed & ~kept
            self._fell_ms[here] = np.where(turned.ended, hour.clock_ms, self._fell_ms[here])
            self._latched[here] = (latched | turned.ended) & ~turned.began & ~ended
            since_ms = np.where(ended, 0, since_ms)
        self._on[here], self._since_ms[here] = turned.on(on), since_ms
        self._ended_ms[here] = np.where(ended, hour.clock_ms, ended_ms)
        return raised, ended
