"""Which rules decide at which place of a partition: what the log itself has named, kept in a record of its own.

A worker that takes a partition up under other policies or another model than the log last named appends its own, whole;
a controller appends the thresholds that it moves. So a replay uses the right thresholds at the right places, without
the files of long ago. The last few are kept: records from before the newest may be read again after a crash, and are
decided on as they were.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np

from agents import cloudevents
from agents.control import LARGEST_SETTINGS, ThresholdSaid
from agents.messages import SETTINGS_TYPE, Settings
from agents.policy import Policy, at_threshold
from agents.record import sealed, unsealed
from agents.rejection import Rejection
from agents.rules import Rules
from agents.sending import Outgoing

__all__ = ["MOST_UNITS", "InForce", "is_settings_key", "settings_key", "settings_keys", "settings_record"]

MOST_UNITS = 1_000  # whose thresholds are kept
_COPY = b"-copy"
_PREFIX = b"!settings-"  # no patient id has an exclamation mark
_KEPT = 8  # settings
_KEPT_MOVES = 256  # thresholds that a newer one of their unit has taken the place of


class _Since(msgspec.Struct, frozen=True):
    offset: int
    settings: Settings


class _Moved(msgspec.Struct, frozen=True, array_like=True):
    """The threshold of a unit from an offset on."""

    offset: int
    unit: str
    raise_threshold: float
    counted_until_ms: int
    policy: str  # the digest of the one that it belongs to


class _Content(msgspec.Struct, frozen=True):
    settings: list[_Since] = []
    thresholds: list[_Moved] = []


_Held = Literal["whole", "half", "lost"]
_decoder = msgspec.json.Decoder(_Content)
_settings_decoder = msgspec.json.Decoder(list[_Since])  # a record without thresholds is the list of settings alone


def settings_key(partition: int) -> bytes:
    """Return the key under which a partition's settings stand among the state records."""
    return _PREFIX + str(partition).encode()


def settings_keys(partition: int) -> tuple[bytes, bytes]:
    """Return the keys of a partition's settings and of their copy: one of them that is damaged loses no rules."""
    key = settings_key(partition)
    return key, key + _COPY


def is_settings_key(key: bytes) -> bool:
    """Tell whether a key among the state records is not a patient's."""
    return key.startswith(_PREFIX)


def settings_record(settings: Settings) -> Outgoing:
    """Return the record that names settings in a partition's log; it has no key, for it is no patient's."""
    headers = cloudevents.headers(
        event_id=f"{settings.policy.digest}:{settings.model.digest}:{settings.time}",
        event_type=SETTINGS_TYPE,
        source=cloudevents.SOURCE,
        time=settings.time,
        subject=settings.policy.name,
    )
    return None, msgspec.json.encode(settings), headers


@lru_cache(maxsize=256)
def _in_force_of(record: bytes) -> InForce:
    """Return what a partition's record holds; kept, because every chunk and every look at the clock asks."""
    content = unsealed(record)
    if content is None:
        return InForce()
    if content.startswith(b"["):
        return InForce(_settings_decoder.decode(content))
    found = _decoder.decode(content)
    return InForce(found.settings, found.thresholds)


class InForce:
    """The settings and thresholds that a partition's log has named, oldest first; never changed."""

    def __init__(self, settings: Sequence[_Since] = (), thresholds: Sequence[_Moved] = ()) -> None:
        self._settings, self._thresholds = tuple(settings), tuple(thresholds)
        self._changes = sorted([each.offset for each in self._settings] + [each.offset for each in self._thresholds])
        self._made: dict[tuple[int, Rules], Rules] = {}

    @staticmethod
    def load(record: bytes | None) -> InForce:
        """Read a partition's record; without a sound one nothing has been named."""
        return InForce() if record is None else _in_force_of(record)

    @staticmethod
    def of(partition: int, stored: Callable[[bytes], bytes | None]) -> tuple[InForce, _Held]:
        """Read a partition's settings, by the copy where a record is missing or damaged; `stored` gives records.

        "half" says that one of the two has to be written again, "lost" that none is sound: as if nothing were named.
        """
        records = [stored(key) for key in settings_keys(partition)]
        newest = max(map(InForce.load, records), key=lambda each: each.changed_until)
        if newest.changed_until < 0:
            return newest, "whole" if records == [None, None] else "lost"
        return newest, "whole" if records[0] == records[1] else "half"

    @property
    def changed_until(self) -> int:
        """Return the offset of the newest change; -1 where nothing has been named."""
        return self._changes[-1] if self._changes else -1

    def dump(self) -> bytes:
        """Return the record."""
        settings = list(self._settings)
        whole = _Content(settings, list(self._thresholds)) if self._thresholds else settings
        return sealed(msgspec.json.encode(whole), self.changed_until)

    def with_settings(self, offset: int, settings: Settings) -> InForce:
        """Take settings that stand at `offset`; those that the log has named already change nothing."""
        newest = self._settings[-1].settings if self._settings else None
        if self._holds(offset) or (newest is not None and _same(newest, settings)):
            return self
        return InForce(_last([*self._settings, _Since(offset, settings)]), self._thresholds)

    def with_threshold(self, offset: int, said: ThresholdSaid, own: Rules) -> InForce | Rejection:
        """Take a unit's threshold that stands at `offset`, or say why it cannot hold.

        `own` are the rules where the log has named none. An older one than the unit has, or the same, changes nothing.
        """
        if self._holds(offset):
            return self
        before = self._newest_of(said.unit)
        settings = self._settings[-1].settings if self._settings else None
        policy = own.of_unit(said.unit) if settings is None else settings.units.get(said.unit, settings.policy)
        problem = _problem(said, policy)
        if problem is None and before is None and len({each.unit for each in self._thresholds}) >= MOST_UNITS:
            problem = f"thresholds of {MOST_UNITS} other units are kept already"
        if problem is not None:
            return Rejection("threshold_invalid", problem)
        if before is not None and said.counted_until_ms <= before.counted_until_ms:
            return self
        new = _Moved(offset, said.unit, said.raise_threshold, said.counted_until_ms, said.policy)
        return InForce(self._settings, _kept([*self._thresholds, new]))

    def names(self, settings: Settings) -> bool:
        """Tell whether the newest settings are these, whenever they were named."""
        return bool(self._settings) and _same(self._settings[-1].settings, settings)

    def places_at(self, offsets: Sequence[int]) -> list[int]:
        """Return a number for what is in force at each of these rising offsets: -1 before the first known change."""
        first = np.searchsorted(np.array(offsets, dtype=np.int64), self._changes, side="right")
        change = np.zeros(len(offsets) + 1, dtype=np.int64)
        np.add.at(change, first, 1)
        places: list[int] = (np.cumsum(change[: len(offsets)]) - 1).tolist()
        return places

    def rules(self, place: int, own: Rules) -> Rules:
        """Return the rules at a place by its number; `own` hold where the log has named none."""
        made = self._made.get((place, own))
        if made is None:
            made = self._made[place, own] = self._rules(place, own)
        return made

    def newest(self, own: Rules) -> Rules:
        """Return the rules by which what comes next is decided on."""
        return self.rules(len(self._changes) - 1, own)

    def _rules(self, place: int, own: Rules) -> Rules:
        if place < 0:
            return own
        until = self._changes[place]
        number = bisect_right([each.offset for each in self._settings], until) - 1
        settings = self._settings[number].settings if number >= 0 else None
        named = own if settings is None else Rules(settings.policy, settings.units)
        moved: dict[str, Policy] = {}
        for each in self._thresholds:
            if each.offset <= until:
                policy = named.of_unit(each.unit)
                moved[each.unit] = (
                    at_threshold(policy, each.raise_threshold) if policy.digest == each.policy else policy
                )
        return Rules(named.common, {**named.units, **moved}) if moved else named

    def _newest_of(self, unit: str) -> _Moved | None:
        return next((each for each in reversed(self._thresholds) if each.unit == unit), None)

    def _holds(self, offset: int) -> bool:
        """Tell whether what stands at an offset has been read before."""
        return bool(self._changes) and offset <= self._changes[-1]


def _same(one: Settings, other: Settings) -> bool:
    return (one.policy, one.units, one.model) == (other.policy, other.units, other.model)


def _last(settings: list[_Since]) -> list[_Since]:
    """Return the last ones, but no more than fit into a record, which one batch has to hold; the newest always."""
    kept = settings[-_KEPT:]
    while len(kept) > 1 and len(msgspec.json.encode(kept)) > LARGEST_SETTINGS:
        kept = kept[1:]
    return kept


def _kept(thresholds: Sequence[_Moved]) -> list[_Moved]:
    """Return the newest of each unit, and the last of those before them."""
    newest = {each.unit: each.offset for each in thresholds}
    past = [each.offset for each in thresholds if each.offset < newest[each.unit]]
    gone = set(past[:-_KEPT_MOVES])
    return [each for each in thresholds if each.offset not in gone]


def _problem(said: ThresholdSaid, policy: Policy) -> str | None:
    """Return why a threshold cannot hold under the policy that is in force in its unit."""
    budget = policy.budget
    if policy.digest != said.policy:
        return "the threshold was chosen under another policy than the one that is in force in its unit"
    if budget is None:
        return "the policy that is in force in the unit has no budget, so that its threshold stays as it is"
    if not budget.lowest_threshold <= said.raise_threshold <= budget.highest_threshold:
        return "the threshold lies outside the limits that the policy's budget sets"
    return None
