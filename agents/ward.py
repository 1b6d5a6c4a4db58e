"""The patients of one worker at a glance: what counts and clocks need of their states, in arrays.

A state record is some 3 kB; of 20,000 patients these few bytes each are gone through every second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import clock, record
from agents.canary import is_canary
from agents.episodes import KINDS
from agents.in_force import is_settings_key
from agents.moves import LOST, OPEN, PRIORITIES, Phase
from agents.rules import Rules

__all__ = ["PHASES", "Ward", "WardCounts"]

PHASES = tuple(phase.name.lower() for phase in OPEN)
_FIELDS = (
    "watched", "assessable", "live", "on", "phase", "priority", "waiting_ms", "snooze_ms", "snooze_live", "arrived_ms",
    "ended_ms", "reserved", "unit",
)  # fmt: skip
_DTYPE = np.dtype([("canary", "u1"), ("rule", "<u4"), *((name, *record.HEAD.fields[name][:1]) for name in _FIELDS)])  # type: ignore[index]


_ASK_AGAIN_SECONDS = 60.0
_NEVER = -np.inf


@dataclass(frozen=True)
class WardCounts:
    """How many patients are held, watched, cannot be assessed and are silent, and how many alerts are open.

    Canaries are no patients. `open_alerts` is by kind, phase and priority; `waiting_since_ms` says by kind since when,
    by the wall clock, the alert that has waited longest to be acknowledged has, where one waits. `newest_ms` is Kafka's
    timestamp of what last came of any watched patient, 0 where nothing did.
    """

    held: int
    watched: int
    unassessable: int
    silent: int
    open_alerts: Mapping[tuple[str, str, str], int]
    waiting_since_ms: Mapping[str, int] = field(default_factory=dict)
    newest_ms: int = 0


class _Room:
    """The patients of one partition; rows beyond `count` are spare."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self._place: dict[bytes, int] = {}
        self._rows: NDArray[Any] = np.zeros(64, _DTYPE)
        self._asked: NDArray[np.float64] = np.full((64, len(clock.DUE)), _NEVER)
        self._rules: Rules | None = None  # by which the rows' `rule` counts

    @property
    def rows(self) -> NDArray[Any]:
        return self._rows[: len(self.keys)]

    @property
    def asked(self) -> NDArray[np.float64]:
        """When what was appended for each patient, and not been read since."""
        return self._asked[: len(self.keys)]

    def take(self, states: Iterable[tuple[bytes, bytes | None]]) -> None:
        sound: list[tuple[bytes, bytes]] = []
        for key, state in states:
            if state is not None and len(state) >= record.HEAD.itemsize:
                sound.append((key, state))
            else:
                self._drop(key)  # a stub, or not even that: the patient has gone
        index = np.array([self._index(key) for key, _ in sound], dtype=np.intp)
        heads = record.heads([state for _, state in sound])
        for name in _FIELDS:
            self._rows[name][index] = heads[name]
        self._asked[index] = _NEVER
        self._number(index)

    def terms(self, rules: Rules) -> Any:
        """Return by which terms each patient is decided on, or one set where it is the same for all."""
        if rules.one_for_all:
            return rules.table[0]
        if rules is not self._rules:
            self._rules = rules
            self._number(np.arange(len(self.keys)))
        return rules.table[self.rows["rule"]]

    def _number(self, index: NDArray[np.intp]) -> None:
        if self._rules is not None:
            units = self._rows["unit"][index].tolist()
            self._rows["rule"][index] = np.array([self._rules.number(unit) for unit in units], dtype=np.uint32)

    def _drop(self, key: bytes) -> None:
        at = self._place.pop(key, None)
        if at is None:
            return
        last = len(self.keys) - 1
        if at < last:  # the last one takes the place
            self.keys[at] = self.keys[last]
            self._place[self.keys[at]] = at
            self._rows[at], self._asked[at] = self._rows[last], self._asked[last]
        self.keys.pop()
        self._rows[last], self._asked[last] = np.zeros((), _DTYPE), _NEVER

    def _index(self, key: bytes) -> int:
        at = self._place.get(key)
        if at is None:
            at = self._place[key] = len(self.keys)
            self.keys.append(key)
            if at == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
                self._asked = np.concatenate([self._asked, np.full_like(self._asked, _NEVER)])
            self._rows["canary"][at] = is_canary(key.decode())
        return at


class Ward:
    """Knows the patients of the partitions that a worker owns."""

    def __init__(self) -> None:
        self._rooms: dict[int, _Room] = {}

    def take(self, partition: int, states: Mapping[bytes, bytes | None]) -> None:
        """Take over the states that were stored last; what the wall clock has asked for of them is settled."""
        patients = [(key, state) for key, state in states.items() if not is_settings_key(key)]
        if patients:
            self._rooms.setdefault(partition, _Room()).take(patients)

    def begin(self, held: Mapping[int, Iterable[tuple[bytes, bytes]]]) -> None:
        """Know the patients of these partitions and of no others."""
        self._rooms = {}
        for partition, states in held.items():
            self.take(partition, dict(states))

    def partitions(self) -> list[int]:
        """Return the partitions in which there are patients."""
        return list(self._rooms)

    def due(
        self, partition: int, now_ms: int, rules: Rules, late_ms: float, asked_at: float = 0.0
    ) -> list[tuple[bytes, list[str]]]:
        """Return what the wall clock makes due of the partition's patients, each once until it has been read.

        Each goes by the policy of the patient's unit. What has not been read for a minute is due once more, for a
        broker may have lost it: `asked_at` are the seconds of a clock that never goes back.
        """
        room = self._rooms.get(partition)
        if room is None:
            return []
        new = clock.due(room.rows, now_ms, room.terms(rules), late_ms) & (room.asked <= asked_at - _ASK_AGAIN_SECONDS)
        some = np.flatnonzero(new.any(axis=1)).tolist()
        room.asked[some] = np.where(new[some], asked_at, room.asked[some])
        return [(room.keys[at], [clock.DUE[what] for what in np.flatnonzero(new[at])]) for at in some]

    def counts(self) -> WardCounts:
        """Count."""
        rows = np.concatenate([room.rows for room in self._rooms.values()] or [np.zeros(0, _DTYPE)])
        rows = rows[rows["canary"] == 0]
        watched = rows["watched"] > 0
        alerts: Counter[tuple[str, str, str]] = Counter()
        for kind, name in enumerate(KINDS):
            phases, priorities = rows["phase"][:, kind], rows["priority"][:, kind]
            pairs = phases.astype(np.int64) * len(PRIORITIES) + priorities
            for number, count in enumerate(np.bincount(pairs, minlength=1).tolist()):
                phase, priority = divmod(number, len(PRIORITIES))
                if count and Phase(phase) in OPEN:
                    alerts[name, Phase(phase).name.lower(), PRIORITIES[priority]] += count
        return WardCounts(
            held=len(rows),
            watched=int(watched.sum()),
            unassessable=int((watched & (rows["assessable"] == 0)).sum()),
            silent=int((watched & (rows["on"][:, LOST] > 0)).sum()),
            open_alerts=alerts,
            waiting_since_ms=_waiting_since(rows),
            newest_ms=int(rows["arrived_ms"][watched].max(initial=0)),
        )


def _waiting_since(rows: NDArray[Any]) -> dict[str, int]:
    """Return since when the active alert that has waited longest has, epoch milliseconds, by kind."""
    found: dict[str, int] = {}
    for kind, name in enumerate(KINDS):
        waiting = rows["waiting_ms"][:, kind][rows["phase"][:, kind] == Phase.ACTIVE]
        if len(waiting):
            found[name] = int(waiting.min())
    return found
