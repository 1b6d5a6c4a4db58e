"""When an episode begins and ends, as a pure decision over many stays at once, and the ids of alerts.

One alert is one episode: a condition that has held for long enough, until it has not held for long enough. The same
function decides in the stream and over files.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Turn", "Waits", "alert_id", "event_id", "rejection_id", "risk_turn", "turn"]

KINDS: Final = ("sepsis_risk", "monitoring_lost", "cannot_assess")  # their numbers in the state record
_NAMESPACE = uuid.UUID("6f0b8a52-5f0c-5d2e-9a53-0d8a4c0f7e11")
_Mask = NDArray[np.bool_]
_Times = NDArray[np.int64]


@dataclass(frozen=True)
class Waits:
    """How long a condition must have held before its episode begins, and not held before it ends; milliseconds.

    One time for all stays, or one for each.
    """

    on_ms: int | _Times = 0
    off_ms: int | _Times = 0


@dataclass(frozen=True)
class Turn:
    """Whose episode begins and whose ends, (N,), and since when each stay's condition has spoken for the other side.

    `since_ms` is 0 where it does not.
    """

    began: _Mask
    ended: _Mask
    since_ms: _Times

    def on(self, before: _Mask) -> _Mask:
        """Return whose episode is on afterwards."""
        return (before | self.began) & ~self.ended


def turn(
    waits: Waits,
    *,
    on: _Mask,
    since_ms: _Times,
    high: _Mask,
    low: _Mask,
    known: _Mask,
    blocked: _Mask,
    clock_ms: _Times,
) -> Turn:
    """Decide for N stays after an observation each, at its event time `clock_ms`.

    `on` says whose episode is on and `since_ms` what the last turn returned. `high` speaks for an episode, `low`
    against one; with neither nothing changes (hysteresis). Where too little is `known` nothing is decided and no time
    is forgotten. Where `blocked` no episode begins.
    """
    against = known & np.where(on, low, high)
    since = np.where(against, np.where(since_ms > 0, since_ms, clock_ms), np.where(known, 0, since_ms))
    waited = against & (clock_ms - since >= np.where(on, waits.off_ms, waits.on_ms))
    began = waited & ~on & ~blocked
    ended = waited & on
    return Turn(began, ended, np.where(began | ended, 0, since))


def risk_turn(
    terms: Any,
    *,
    on: _Mask,
    since_ms: _Times,
    risk: NDArray[np.float64],
    assessable: _Mask,
    ended_ms: _Times,
    held_ms: _Times,
    clock_ms: _Times,
) -> Turn:
    """Decide on `sepsis_risk`: by hysteresis, minimum duration and refractory time of the policy.

    `terms` are those of one policy, or of each stay's (`agents.rules`). `ended_ms` is when the stay's last episode
    ended, `held_ms` until when none may begin (0 = never).
    """
    return turn(
        Waits(terms["raise_ms"], terms["resolve_ms"]),
        on=on,
        since_ms=since_ms,
        high=risk >= terms["raise_threshold"],
        low=risk < terms["resolve_threshold"],
        known=assessable,
        blocked=(clock_ms < held_ms) | ((ended_ms > 0) & (clock_ms < ended_ms + terms["refractory_ms"])),
        clock_ms=clock_ms,
    )


def alert_id(patient_id: str, stay_id: str, start_ms: int, kind: str, episode: int) -> str:
    """Return the id of an episode: the same after every replay, and another one for everything else.

    A stay is told by patient, id and start: ADT feeds use an id again, for another patient or after a discharge.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{patient_id}|{stay_id}|{start_ms}|{kind}|{episode}"))


def event_id(alert: str, sequence: int) -> str:
    """Return the id of a transition of an alert."""
    return str(uuid.uuid5(uuid.UUID(alert), str(sequence)))


def rejection_id(patient_id: str, command_id: str) -> str:
    """Return the id of the answer to a command that could not be obeyed."""
    return str(uuid.uuid5(_NAMESPACE, f"{patient_id}|rejected|{command_id}"))
