"""Which policy decides at which place of a partition: what the log itself has named, kept in a record of its own.

A worker that takes a partition up under another policy or model than the log last named appends its own, whole. So a
replay uses the right thresholds at the right places, without the files of long ago. The last few are kept: records from
before the newest settings may be read again after a crash, and are decided on as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np

from agents import cloudevents
from agents.messages import SETTINGS_TYPE, Identity, Settings
from agents.policy import Policy
from agents.record import sealed, unsealed
from agents.sending import Outgoing

__all__ = ["InForce", "is_settings_key", "settings_key", "settings_record"]

_PREFIX = b"!settings-"  # no patient id has an exclamation mark
_KEPT = 8


class _Since(msgspec.Struct, frozen=True):
    offset: int
    settings: Settings


_decoder = msgspec.json.Decoder(list[_Since])


def settings_key(partition: int) -> bytes:
    """Return the key under which a partition's settings stand among the state records."""
    return _PREFIX + str(partition).encode()


@lru_cache(maxsize=256)
def _known_of(record: bytes) -> list[_Since]:
    """Return what a partition's record holds; kept, because every chunk and every look at the clock asks."""
    content = unsealed(record)
    return [] if content is None else _decoder.decode(content)


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


class InForce:
    """The settings that a partition's log has named, oldest first."""

    def __init__(self, known: list[_Since]) -> None:
        self._known = known
        self.moved = False  # since it was loaded

    @classmethod
    def load(cls, record: bytes | None) -> InForce:
        """Read a partition's record; without a sound one nothing has been named."""
        return cls([] if record is None else _known_of(record))

    def dump(self) -> bytes:
        """Return the record."""
        return sealed(msgspec.json.encode(self._known), self._known[-1].offset)

    def take(self, offset: int, settings: Settings) -> None:
        """Note settings that stand at `offset`; those that the log has named already change nothing."""
        if self._known and (offset <= self._known[-1].offset or self.names(settings.policy, settings.model)):
            return
        self._known = [*self._known, _Since(offset, settings)][-_KEPT:]
        self.moved = True

    def names(self, policy: Policy, model: Identity) -> bool:
        """Tell whether the newest settings are these."""
        return bool(self._known) and (self._known[-1].settings.policy, self._known[-1].settings.model) == (
            policy,
            model,
        )

    def places_at(self, offsets: Sequence[int]) -> list[int]:
        """Return a number for the settings in force at each of these rising offsets: -1 before the first known."""
        first = np.searchsorted(
            np.array(offsets, dtype=np.int64), [since.offset for since in self._known], side="right"
        )
        change = np.zeros(len(offsets) + 1, dtype=np.int64)
        np.add.at(change, first, 1)
        places: list[int] = (np.cumsum(change[: len(offsets)]) - 1).tolist()
        return places

    def policy(self, place: int) -> Policy | None:
        """Return the policy of settings by their number; None before the first."""
        return self._known[place].settings.policy if place >= 0 else None

    @property
    def newest(self) -> Policy | None:
        """The policy that decides on what comes next, where the log has named one."""
        return self._known[-1].settings.policy if self._known else None
