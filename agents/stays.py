"""The life of a stay in one row of state: it starts, its details change, it ends. Pure; times are epoch ms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import open_step
from agents.decoding import StayChange
from agents.record import holds_id, note_id
from models.stay_model import StayModel

__all__ = ["apply_details", "end", "names_another", "objection", "remember", "repeats", "start", "start_of"]

_HOUR_MS = 3_600_000
_SEX = {"female": 0.0, "male": 1.0, "unknown": np.nan}
_UNIT_TYPE = {"unknown": 0, "medical": 1, "surgical": 2}
_OF_A_STAYS_ALERTS = (
    "sequence", "phase", "priority", "on", "turning_ms", "raised_ms", "told_ms", "over_ms", "waiting_ms", "snooze_ms",
    "snooze_live", "told_risk", "snooze_risk", "critical", "live", "held_ms", "arrived_ms",
)  # fmt: skip


def start(rows: NDArray[Any], row: int, model: StayModel, start_ms: int) -> None:
    """Begin the patient's next stay at `start_ms`, with nothing known of it.

    Episodes are counted over all stays of a patient, so that a stay id that comes back makes no alert id twice.
    """
    index = np.array([row])
    rows["state"][index] = model.initial(1)
    open_step.clear(rows, index)
    rows["closed_ms"][row] = 0
    rows["last_ms"][row] = 0
    rows["last_value"][row] = np.nan
    for name in _OF_A_STAYS_ALERTS:
        rows[name][row] = 0
    record = rows[row]
    record["doubt"], record["doubt_sign"] = model.doubt_of_nothing
    record["stay_number"] += 1
    record["stay_id"] = record["key"] + b"-%d" % record["stay_number"]
    for name, value in (
        ("reserved", 0),
        ("watched", 1),
        ("announced", 0),
        ("assessable", 0),
        ("open_step", 0),
        ("unit_type", 0),
        ("named", b""),
        ("unit", b""),
        ("bed", b""),
        ("start_ms", start_ms),
        ("clock_ms", start_ms),
        ("risk", np.nan),
        ("age_years", np.nan),
        ("sex", np.nan),
        ("hospital_hours", np.nan),
    ):
        record[name] = value


def apply_details(rows: NDArray[Any], row: int, change: StayChange) -> None:
    """Take over what an admission event says of the open stay; what it does not mention stays as it is."""
    record, said = rows[row], change.admission
    if said.stay_id is not None and not record["sequence"].any():
        # Once an alert has been raised its ids are made from the stay id, which therefore stays.
        record["stay_id"] = said.stay_id.encode()
    if said.stay_id is not None:
        record["named"] = said.stay_id.encode()
    if said.age is not None:
        record["age_years"] = said.age
    if said.sex is not None:
        record["sex"] = _SEX[said.sex]
    if said.unit_type is not None:
        record["unit_type"] = _UNIT_TYPE[said.unit_type]
    if said.unit is not None:
        record["unit"] = said.unit.encode()
    if said.bed is not None:
        record["bed"] = said.bed.encode()
    if change.hospital_admitted_ms is not None:
        record["hospital_hours"] = (int(record["start_ms"]) - change.hospital_admitted_ms) / _HOUR_MS


def names_another(rows: NDArray[Any], row: int, change: StayChange) -> bool:
    """Tell whether an admission event speaks of another stay than the one that is open."""
    record, said = rows[row], change.admission
    if not record["announced"]:
        return False  # the announcement of the stay that began with its first observation
    if said.stay_id is not None and record["named"]:
        return bool(said.stay_id.encode() != record["named"])
    if said.type != "admitted":
        return False
    return start_of(change) != int(record["start_ms"])


def repeats(rows: NDArray[Any], row: int, change: StayChange) -> bool:
    """Tell whether this event is among the patient's latest by its id; an older one is refused as late."""
    name = _id_of(change)
    return name is not None and holds_id(rows, row, "seen", name)


def remember(rows: NDArray[Any], row: int, change: StayChange) -> None:
    """Note the event, so that it counts once."""
    name = _id_of(change)
    if name is not None:
        note_id(rows, row, "seen", name)
    rows["admissions_offset"][row] = max(int(rows["admissions_offset"][row]), change.source_offset)


def objection(rows: NDArray[Any], row: int, change: StayChange) -> str | None:
    """Return why the event cannot be taken as things stand, or None."""
    record, kind = rows[row], change.admission.type
    watched, admitted = bool(record["watched"]), kind == "admitted"
    overlaps = record["stay_number"] and not watched and start_of(change) < record["ended_ms"]
    ends_early = kind in {"discharged", "merged"} and change.time_ms < record["start_ms"]
    objections = (
        (
            0 <= change.source_offset <= record["admissions_offset"],
            "the event stands before one that was taken already: was the admissions topic created anew?",
        ),
        (admitted and overlaps, "the stay would begin before the patient's last one ended"),
        (not admitted and not watched, f"a {kind} event needs an open stay, and this patient has none"),
        (
            not admitted and watched and names_another(rows, row, change),
            f"a {kind} event names another stay than the one that is open",
        ),
        (watched and ends_early, f"a {kind} event cannot come before the stay's start"),
    )
    return next((text for applies, text in objections if applies), None)


def start_of(change: StayChange) -> int:
    """Return when the stay of an `admitted` event begins."""
    return change.time_ms if change.admitted_ms is None else change.admitted_ms


def _id_of(change: StayChange) -> str | None:
    if change.admission.event_id is None and change.source_offset >= 0:
        return f"@{change.source_offset}"
    return change.admission.event_id


def end(rows: NDArray[Any], row: int) -> None:
    """Close the stay: observations up to its clock belong to the past from now on."""
    record = rows[row]
    record["watched"] = 0
    record["ended_ms"] = record["clock_ms"]
