"""Deciding on chunks with lost state made good: what is damaged costs that patient alone a warm-up from the log.

Where the log itself cannot be read the patients begin anew as if it held nothing, and their scores say so: the stream
goes on. Where the cluster does not answer nothing is known of the log, and nothing is decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from zlib import crc32

import msgspec
import structlog

from agents.core import Core
from agents.in_force import is_settings_key
from agents.messages import Rebuilt
from agents.outcome import LogRecord, Outcome
from agents.recent_log import BrokerAwayError, Feed, LogPart
from agents.record import UnknownSchemaError
from agents.warm_up import Lost, WarmUp, find_lost, lost_in

__all__ = ["Missing", "Rebuilding"]

_log = structlog.get_logger(__name__)
_Stored = Callable[[bytes], bytes | None]
_Read = Callable[[int, LogPart, Callable[[bool], Feed]], int]
_Made = tuple[int, bytes, Rebuilt]  # the checksum of what was stored, what stands for it, and what is said of it


class Missing(msgspec.Struct, frozen=True):
    """Whose states have to be made good before a chunk can be decided on."""

    partition: int
    patients: Sequence[Lost]


class Rebuilding:
    """Works chunks off with a core; `decide` is called from one thread at a time, and so is `make_good`.

    `read` reads a part of a partition's log again (`recent_log.read_again`); `items_of` gives all that is stored of a
    partition: states of another model are made good together, so that the log is read once and not with every chunk.
    """

    def __init__(self, core: Core, read: _Read, items_of: Callable[[int], Iterable[tuple[bytes, bytes]]]) -> None:
        self._core, self._read, self._items_of = core, read, items_of
        self._quiet = Core(core.model, core.policy, core.limits, units=core.units, explains=False)
        self._ahead_ms = round(core.limits.ahead_seconds * 1000)
        self._made: dict[int, dict[bytes, _Made]] = {}
        self.read_again = 0  # records so far: while this grows, whoever waits for a decision does not stand still

    def process(self, partition: int, records: Sequence[LogRecord], stored: _Stored) -> Outcome:
        """Work off a chunk as `Core.process` does, from rebuilt states where stored ones cannot be used.

        Raises BrokerAwayError where the log could not be asked.
        """
        while isinstance(decided := self.decide(partition, records, stored), Missing):
            self.make_good(decided, stored)
        return decided

    def decide(self, partition: int, records: Sequence[LogRecord], stored: _Stored) -> Outcome | Missing:
        """Work off a chunk, or say whose states have to be made good first."""
        outcome = self._core.process(partition, records, stored)
        if not outcome.state_resets:
            return outcome
        touched = [record for record in records if record.key in outcome.states]  # others keep what is stored
        lost = lost_in(self._core.layout, touched, stored, self._ahead_ms)
        if not lost:
            return outcome
        known = self._made.get(partition, {})
        missing = [one for one in lost if known.get(one.key, (None,))[0] != crc32(one.stored)]
        if missing:
            return Missing(partition, missing)
        made = {one.key: known.pop(one.key) for one in lost}
        states = {key: state for key, (_, state, _) in made.items()}
        said = {key.decode(): what for key, (_, _, what) in made.items()}
        outcome = self._core.process(partition, records, lambda key: states.get(key) or stored(key), states)
        outcome.scores = [
            msgspec.structs.replace(score, rebuilt=said[score.patient_id]) if score.patient_id in said else score
            for score in outcome.scores
        ]
        for one in lost:
            if states[one.key] is not one.stored:  # the core has met a sound state
                outcome.state_resets[one.cause] += 1
        return outcome

    def keep_only(self, partitions: set[int]) -> None:
        """Forget what was made for other partitions: whoever has them now makes it anew."""
        for partition in self._made.keys() - partitions:
            del self._made[partition]

    def make_good(self, missing: Missing, stored: _Stored) -> None:
        """Read the log again for what is missing; the next `decide` goes on from it.

        Raises BrokerAwayError where the cluster does not answer, and UnknownSchemaError.
        """
        made = self._make(missing.partition, missing.patients, stored)
        self._made[missing.partition] = {**self._made.get(missing.partition, {}), **made}

    def _make(self, partition: int, lost: Sequence[Lost], stored: _Stored) -> dict[bytes, _Made]:
        everyone = {one.key: one for one in lost}
        if any(one.cause == "model_changed" for one in lost):
            everyone |= {one.key: one for one in self._of_another_model(partition) if one.key not in everyone}
        warm_up: WarmUp | None = None

        def begin(reaches_back: bool) -> Feed:
            nonlocal warm_up
            begun = WarmUp(self._quiet, partition, list(everyone.values()), stored, reaches_back=reaches_back)
            warm_up = begun

            def feed(records: Sequence[LogRecord]) -> None:
                begun.feed(records)
                self.read_again += len(records)

            return feed

        began, read = time.monotonic(), 0
        made: dict[bytes, tuple[bytes, Rebuilt]] = {}
        try:
            read = self._read(partition, _part_of(list(everyone.values())), begin)
            made = {} if warm_up is None else warm_up.finish()
        except (UnknownSchemaError, BrokerAwayError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, the stream goes on)
            _log.warning("warm_up_failed", partition=partition, patients=len(everyone), cause=type(error).__name__)
        _log.info(
            "warm_up_done",
            partition=partition,
            patients=len(everyone),
            rebuilt=len(made),
            records=read,
            seconds=round(time.monotonic() - began, 2),
        )
        nothing = {key: (one.stored, Rebuilt(one.cause, 0.0, whole_stay=False)) for key, one in everyone.items()}
        return {key: (crc32(everyone[key].stored), *what) for key, what in (nothing | made).items()}

    def _of_another_model(self, partition: int) -> Iterable[Lost]:
        for key, record in self._items_of(partition):
            one = None if is_settings_key(key) else find_lost(self._core.layout, key, record, self._ahead_ms)
            if one is not None:
                yield one


def _part_of(lost: Sequence[Lost]) -> LogPart:
    return LogPart(min(one.from_ms for one in lost), min(one.first for one in lost), max(one.until for one in lost))
