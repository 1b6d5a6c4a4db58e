"""What the wall clock makes due: a patient has fallen silent, nobody has acknowledged, a snooze has run out.

The same conditions are asked twice: by the worker that owns the patient, over the states it holds, again and again; and
where the log has what the worker then appended, at that place of the log. Only the second decides, so that a decision
does not depend on who asked, when and how often, and an observation in between cancels it.

`terms` are those of one policy, or of each patient's (`agents.rules`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents import cloudevents
from agents.messages import CLOCK_TYPE, Clock, Due
from agents.moves import HIGH, LOST, Phase
from agents.outputs import utc
from agents.sending import Outgoing

__all__ = ["DUE", "ERASE", "LET_GO", "clock_record", "due", "is_past", "is_silent", "snoozes_over", "waits_too_long"]

DUE = ("monitoring_lost", "escalate", "snooze_over", "forget")
ERASE = "erase"  # whatever the clock says: somebody wants nothing of the patient to be kept
LET_GO = "let_go"  # the log holds nothing of the patient any more, and what was kept for its sake may go, too
_DAY_MS = 86_400_000
_encode = msgspec.json.Encoder().encode
_Mask = NDArray[np.bool_]


def is_silent(rows: NDArray[Any], now_ms: int, terms: Any) -> _Mask:
    """Return of which patients (N,) nothing new has come for the policy's time, and nobody has been told so.

    Only patients whose data come about when they are taken are watched: nobody waits for a replay.
    """
    patience = terms["lost_ms"]
    watched = (rows["watched"] > 0) & (rows["live"] > 0) & (rows["on"][:, LOST] == 0)
    return np.asarray(watched & (patience > 0) & (now_ms - rows["arrived_ms"] >= patience), dtype=np.bool_)


def waits_too_long(rows: NDArray[Any], now_ms: int, terms: Any) -> _Mask:
    """Return which alerts (N, kinds) nobody has acknowledged for the policy's time, and which can still rise."""
    patience = np.asarray(terms["acknowledge_ms"])[..., None]
    waiting = (rows["watched"] > 0)[:, None] & (rows["phase"] == Phase.ACTIVE) & (rows["priority"] < HIGH)
    return np.asarray(waiting & (patience > 0) & (now_ms - rows["waiting_ms"] >= patience), dtype=np.bool_)


def snoozes_over(rows: NDArray[Any], now_ms: int) -> _Mask:
    """Return which snoozes (N, kinds) have run out by the wall clock; those of the past run by event time alone."""
    snoozed = (rows["watched"] > 0)[:, None] & (rows["phase"] == Phase.SNOOZED) & (rows["snooze_live"] > 0)
    return np.asarray(snoozed & (now_ms >= rows["snooze_ms"]), dtype=np.bool_)


def is_past(rows: NDArray[Any], now_ms: int, terms: Any, late_ms: float) -> _Mask:
    """Return which patients (N,) have no stay, and have had none for so long that nothing of it can be asked for.

    That is a day after the last time at which an observation may be late (`late_ms`) and an alert be marked.
    """
    patience = np.maximum(late_ms, terms["mark_ms"]) + _DAY_MS
    since = np.maximum(rows["ended_ms"], rows["arrived_ms"])
    gone = (rows["watched"] == 0) & (rows["reserved"] == 0)
    return np.asarray(gone & (now_ms - since >= patience), dtype=np.bool_)


def due(rows: NDArray[Any], now_ms: int, terms: Any, late_ms: float) -> _Mask:
    """Return what is due of which patients, (N, 4) in the order of `DUE`."""
    return np.stack(
        [
            is_silent(rows, now_ms, terms),
            waits_too_long(rows, now_ms, terms).any(axis=1),
            snoozes_over(rows, now_ms).any(axis=1),
            is_past(rows, now_ms, terms, late_ms),
        ],
        axis=1,
    )


def clock_record(key: bytes, now_ms: int, what: Sequence[str], log_begins: int = 0) -> Outgoing:
    """Return the record that says in a patient's log what is due; `log_begins` belongs to `LET_GO`."""
    patient, time = key.decode(), utc(now_ms)
    headers = cloudevents.headers(
        event_id=f"{patient}:{now_ms}", event_type=CLOCK_TYPE, source=cloudevents.SOURCE, time=time, subject=patient
    )
    return key, _encode(Clock(patient, time, [Due(name, log_begins) for name in what])), headers
