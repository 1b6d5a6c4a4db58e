"""The life of a sepsis alert as a pure decision: one alert is one episode, with hysteresis between two thresholds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy

__all__ = ["Moves", "alert_id", "event_id", "moves"]

_NAMESPACE = uuid.UUID("6f0b8a52-5f0c-5d2e-9a53-0d8a4c0f7e11")
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Moves:
    """Which stays' alerts are raised and which are resolved, (N,) each."""

    raised: _Mask
    resolved: _Mask

    def alerting(self, before: _Mask) -> _Mask:
        """Return which alerts are open afterwards."""
        return (before | self.raised) & ~self.resolved


def moves(policy: Policy, alerting: _Mask, risk: NDArray[np.float64], assessable: _Mask) -> Moves:
    """Decide for N stays after an observation each: `alerting` says whose alert is open.

    No second alert while one is open. Nothing is decided on a risk that rests on too little: missing data neither
    raise an alert nor end one.
    """
    raised = ~alerting & assessable & (risk >= policy.raise_threshold)
    resolved = alerting & assessable & (risk < policy.resolve_threshold)
    return Moves(raised, resolved)


def alert_id(patient_id: str, stay_id: str, start_ms: int, kind: str, episode: int) -> str:
    """Return the id of an episode: the same after every replay, and another one for everything else.

    A stay is told by patient, id and start: ADT feeds use an id again, for another patient or after a discharge.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{patient_id}|{stay_id}|{start_ms}|{kind}|{episode}"))


def event_id(alert: str, sequence: int) -> str:
    """Return the id of a transition of an alert."""
    return str(uuid.uuid5(uuid.UUID(alert), str(sequence)))
