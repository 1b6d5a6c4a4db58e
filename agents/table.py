"""The table of state records: a Faust table (changelog, recovery, store) in which the highest source offset wins.

A worker that was thought dead may write to the changelog after its successor. Which record is right does not depend
on who wrote last: state is a function of a prefix of the patient's log, so the record that has seen more of it is
right. Recovery keeps that one, and writes it again where an older one stands after it, because compaction keeps the
newest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import faust
from faust.types.tuples import TP

from agents.checking import Headers
from agents.exits import Exit, end_process
from agents.record import UnknownSchemaError
from agents.sending import send
from agents.slab import Slab

__all__ = ["StateTable"]

_SEEN = "seen"  # header of a deletion: the source offset up to which it has seen the patient's log


class _Keyed(Protocol):
    """A record of a changelog, as aiokafka or Faust hands it on."""

    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> Headers: ...


class StateTable(faust.Table[bytes, bytes]):
    """Table of bytes in memory; its changelog is `<prefix><group>-<name>-changelog`.

    Most records have `record_bytes` bytes. `version` returns the source offset of a record under its key, -1 of one
    that must not win; `check` raises UnknownSchemaError for one that this version must not touch; `recovered` is told
    which partitions are back.
    """

    def __init__(
        self,
        app: faust.App,
        *,
        prefix: str,
        record_bytes: int,
        version: Callable[[bytes, bytes], int],
        check: Callable[[bytes], None],
        recovered: Callable[[set[int]], Awaitable[None]],
        **kwargs: Any,
    ) -> None:
        self._prefix = prefix
        super().__init__(app, key_type=bytes, value_type=bytes, **kwargs)
        self._version, self._check = version, check
        self._recovered = recovered
        self._best: dict[bytes, int] = {}
        self._stale: dict[bytes, TP] = {}  # keys whose newest changelog record is not the best one
        self._record_bytes = record_bytes
        self._slabs: dict[int, Slab] = {}  # in place of Faust's store, which holds nothing
        self._slab_of: dict[bytes, Slab] = {}
        self._taken: dict[TP, int] = {}  # offset of the last record that was taken over
        self._settled = True
        self.recovered_bytes = 0  # read from changelogs by the recovery that runs, or ran last
        app.tables.add(self)

    def _changelog_topic_name(self) -> str:
        return f"{self._prefix}{super()._changelog_topic_name()}"

    def stored(self, key: bytes) -> bytes | None:
        """Return a patient's record, None for an unknown patient."""
        slab = self._slab_of.get(key)
        return None if slab is None else slab.get(key)

    async def put(self, partition: int, records: Mapping[bytes, bytes | None], seen: int = -1) -> None:
        """Write records, or that there are none any more, to the changelog; once acknowledged, to the local store.

        `seen` is the last source offset that went into them: a deletion stands against older states by it.
        """
        rows = [(key, record, _headers(record, seen)) for key, record in records.items()]
        await send(self.app, self.changelog_topic_name, partition, rows)
        for key in records if self._best else ():  # what a recovery knew of them
            self._best.pop(key, None)
        self._keep(partition, records.items())

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take over changelog records that come by Faust's own way, if they have not come by the transport's."""
        for event in batch:
            if event.message.offset > self._taken.get(event.message.tp, -1):
                self.take_over(event.message.tp, [event.message])

    def take_over(self, tp: TP, records: Sequence[_Keyed]) -> None:
        """Take over a partition's changelog records in recovery: for each key the one that has seen most of its log."""
        if self._settled:
            self._settled, self.recovered_bytes = False, 0
        best, stale, read = self._best, self._stale, 0
        winners: dict[bytes, bytes | None] = {}
        for record in records:
            key, value = record.key, record.value
            if value is None:
                version = _seen_by_deletion(record.headers)
                always = version < 0  # an earlier version did not say what it had seen
            else:
                read += len(value)
                version, always = self._version(key, value), False
            known = best.get(key)
            if not always and version < (self._best_of(key) if known is None else known):
                stale[key] = tp
                continue
            best[key], winners[key] = version, value
            if stale:
                stale.pop(key, None)
        if records:
            self._taken[tp] = records[-1].offset
        self.recovered_bytes += read
        self._keep(tp.partition, winners.items())

    def _best_of(self, key: bytes) -> int:
        best = self._best.get(key)
        if best is None:
            stored = self.stored(key)
            best = self._best[key] = -1 if stored is None else self._version(key, stored)
        return best

    def _keep(self, partition: int, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        slab = self._slabs.get(partition)
        if slab is None:
            slab = self._slabs[partition] = Slab(self._record_bytes)
        for key, value in records:
            if value is None:
                slab.drop(key)
                self._slab_of.pop(key, None)
            else:
                slab.keep(key, value)
                self._slab_of[key] = slab

    @property
    def held(self) -> int:
        """Return how many keys are held."""
        return len(self._slab_of)

    @property
    def held_bytes(self) -> int:
        """Return the bytes of all records that are held."""
        return sum(slab.record_bytes for slab in self._slabs.values())

    def items_of(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Go through the patients that live in a partition, with their records."""
        slab = self._slabs.get(partition)
        return iter(()) if slab is None else slab.items()

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Make the best record of each key its newest one too, and forget the partitions that have gone."""
        await super().on_recovery_completed(active_tps, standby_tps)
        self._settled = True
        try:
            await self._settle(active_tps)
        except UnknownSchemaError as error:
            end_process(Exit.OTHER_SCHEMA, str(error))
        except Exception as error:  # noqa: BLE001 (Faust would drop it, and never be ready)
            end_process(Exit.STREAM_FAILED, f"the recovered state could not be settled: {type(error).__name__}")

    async def _settle(self, active_tps: set[TP]) -> None:
        generation = self.app.consumer_generation_id
        self._forget_all_but({tp.partition for tp in active_tps})
        for slab in self._slabs.values():
            for _, record in slab.items():
                self._check(record)
        for tp in active_tps:
            stale = [key for key, at in self._stale.items() if at == tp]
            records = [(key, self.stored(key), self._best_of(key)) for key in stale]
            rows = [(key, kept, _headers(kept, seen)) for key, kept, seen in records if kept is not None or seen >= 0]
            await send(self.app, tp.topic, tp.partition, rows)
            if self.app.consumer_generation_id != generation:
                return  # Faust lets this go on though the partitions are assigned anew: the next recovery settles them
            for key in stale:
                self._stale.pop(key, None)
        self._best.clear()
        await self._recovered({tp.partition for tp in active_tps})

    def _forget_all_but(self, partitions: set[int]) -> None:
        for partition in self._slabs.keys() - partitions:
            slab = self._slabs.pop(partition)
            for key in slab:
                self._stale.pop(key, None)
                if self._slab_of.get(key) is slab:
                    del self._slab_of[key]


def _headers(record: bytes | None, seen: int) -> Headers:
    return () if record is not None or seen < 0 else ((_SEEN, str(seen).encode()),)


def _seen_by_deletion(headers: Headers) -> int:
    said = next((value for name, value in headers if name == _SEEN), None)
    return int(said) if said is not None and said.isdigit() else -1
