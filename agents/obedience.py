"""Which alert a command means, and whether it can be obeyed. Pure; times are epoch ms."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from agents import episodes
from agents.control import CommandFaulty, CommandSaid
from agents.messages import NamedCommand
from agents.moves import OPEN, SEPSIS, Phase
from agents.policy import Policy, milliseconds
from agents.record import holds_id, note_id

__all__ = ["given_now", "meant", "named_kind", "remember", "repeats"]

_ENDED = ("alert_ended", "the alert has ended")
_EARLIER = 64  # episodes of a kind before the last whose ids are made again to know them
_NOW_MS = 5 * 60_000  # a command that came later than this speaks of event time alone


def repeats(rows: NDArray[Any], row: int, said: CommandSaid | CommandFaulty) -> bool:
    """Tell whether the patient's log has had this command before: by its id, or by its place in the commands' topic.

    Commands are appended in the order of their topic. What stands there before one that was taken was appended once
    more, by a worker that died before it could say how far it had come.
    """
    again = 0 <= said.source_offset <= rows["commands_offset"][row]
    return bool(again) or holds_id(rows, row, "commands", said.command.command_id)


def remember(rows: NDArray[Any], row: int, said: CommandSaid | CommandFaulty) -> None:
    """Note the command, so that it counts once."""
    note_id(rows, row, "commands", said.command.command_id)
    rows["commands_offset"][row] = max(int(rows["commands_offset"][row]), said.source_offset)


def named_kind(rows: NDArray[Any], row: int, command: NamedCommand) -> int:
    """Return the kind of the alert that is named; of one that the patient does not have it is `sepsis_risk`."""
    last = _kind_of(rows, row, command)
    kind = _earlier_kind_of(rows, row, command) if last is None else last
    return SEPSIS if kind is None else kind


def meant(rows: NDArray[Any], row: int, said: CommandSaid, policy: Policy) -> tuple[int, tuple[str, str] | None]:
    """Return the kind of the alert that a command means, and why it cannot be obeyed: a code and a sentence, or None.

    Of an alert that the patient does not have the kind is `sepsis_risk`.
    """
    kind = _kind_of(rows, row, said.command)
    if kind is not None:
        return kind, _refusal(rows, row, kind, said, policy)
    earlier = _earlier_kind_of(rows, row, said.command)
    if earlier is None:
        return SEPSIS, ("unknown_alert", "the patient has no such alert in this stay")
    if said.command.type != "mark":
        return earlier, _ENDED
    return earlier, (
        "earlier_alert",
        "the alert has ended and another of its kind has begun since: only the last can be marked",
    )


def _kind_of(rows: NDArray[Any], row: int, command: NamedCommand) -> int | None:
    """Return the kind of the patient's alert that is named, open or the last of this stay; None for no such alert."""
    for kind in range(len(episodes.KINDS)):
        if rows["sequence"][row, kind] and _id_of(rows, row, kind, int(rows["episode"][row, kind])) == command.alert_id:
            return kind
    return None


def _earlier_kind_of(rows: NDArray[Any], row: int, command: NamedCommand) -> int | None:
    """Return the kind of which an earlier alert of this stay is named; None where it is none of the latest 64.

    The state knows the last alert of each kind; the ids of those before it are made again.
    """
    for kind in range(len(episodes.KINDS)):
        last = int(rows["episode"][row, kind])
        if rows["sequence"][row, kind] and command.alert_id in (
            _id_of(rows, row, kind, episode) for episode in range(last - 1, max(0, last - 1 - _EARLIER), -1)
        ):
            return kind
    return None


def _id_of(rows: NDArray[Any], row: int, kind: int, episode: int) -> str:
    record = rows[row]
    patient, stay = bytes(record["key"]).decode(), bytes(record["stay_id"]).decode()
    return episodes.alert_id(patient, stay, int(record["start_ms"]), episodes.KINDS[kind], episode)


def _refusal(rows: NDArray[Any], row: int, kind: int, said: CommandSaid, policy: Policy) -> tuple[str, str] | None:
    """Return the code of a reason and a sentence where the command for an alert is stale or impossible, else None."""
    command = said.command
    phase, sequence = int(rows["phase"][row, kind]), int(rows["sequence"][row, kind])
    ended, over_ms = phase not in OPEN, int(rows["over_ms"][row, kind])
    minutes, most = command.minutes or 0.0, policy.snooze_most_minutes
    late = ended and said.time_ms - over_ms > milliseconds(hours=policy.mark_hours)
    objections = (
        (ended and command.type != "mark", *_ENDED),
        (
            command.sequence not in {None, sequence},
            "stale_sequence",
            f"the alert has moved on: its last transition is {sequence}, not {command.sequence}",
        ),
        (
            command.type == "acknowledge" and phase == Phase.ACKNOWLEDGED,
            "already_acknowledged",
            "the alert is acknowledged already",
        ),
        (minutes > most, "snooze_too_long", f"an alert may be snoozed for {most:g} minutes at most"),
        (
            command.verdict == "already_treated" and kind != SEPSIS,
            "not_sepsis",
            "only a sepsis alert can be marked as already treated",
        ),
        (late, "too_late_to_mark", f"the alert ended more than {policy.mark_hours:g} h ago"),
    )
    return next(((code, text) for applies, code, text in objections if applies), None)


def given_now(said: CommandSaid, wall_ms: int) -> bool:
    """Tell whether a command came about when it was given, so that the wall clock may count its minutes."""
    return wall_ms - said.time_ms <= _NOW_MS
