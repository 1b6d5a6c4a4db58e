"""Chunked delivery for Faust: one event is the fetched records of one partition, and none is lost on the way.

Stock Faust hands out record by record at 160 to 500 µs each, drops fetched records on a rebalance without reading them
again, empties its agents' queues after a recovery, and commits around holes. This transport changes, by subclassing:

- **Delivery** (`getmany`). Every fetched record is handed on, or its partition is sought back. The next expected offset
  of each partition is kept: a gap is read again once before it is believed (deleted or control records are real gaps).
- **Seek** (`perform_seek`). Faust calls it after a recovery and then clears the agents' queues: the flow is stopped
  first and a running delivery awaited, so that nothing is in the queues. Partitions without a commit start at their
  beginning instead of staying where they were.
- **Commit** (`_new_offset`). Chunks are committed in the order of their delivery, finished heads only. The chain of
  chunks outlives the start of a revocation, so that what is finished is committed before the partition goes.
- **Membership**. A worker never subscribes without its changelogs, never works on a partition whose changelog it was
  not given, and ends when another process has its static id (`agents.membership`).

Private parts of Faust 0.15 in use: `_wait_next_records`, `_thread._ensure_consumer`, `_thread._highwaters`,
`_read_offset`, `_acked`, `_acked_index`, `_committed_offset`, `_buffered_partitions`, `_is_changelog_tp`,
`_filter_tps_with_pending_acks`, `tables._recovery.tp_to_table`. The kill tests guard each of them.
"""

from __future__ import annotations

import asyncio
import collections
import math
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage
from mode import Service

from agents.chunk import LARGEST_CHUNK, Chunk
from agents.exits import Exit, end_process
from agents.log_ends import LogEnds
from agents.membership import StaticMembership
from agents.ownership import Lease
from agents.pace import enough_waits
from agents.table import StateTable
from agents.watchdog import StallDetector, progress_before

__all__ = ["TRANSPORT_SCHEME", "ChunkedConsumer"]

TRANSPORT_SCHEME = "chunked"
_HOLD_SECONDS = 0.02  # at most; what is finished meanwhile ends it
_FETCH_WAIT_MS = 100  # how long a broker may wait for records that do not come
_ANSWER_SECONDS = 5.0
Span = tuple[int, int]  # offsets still to be handed out: from, up to but without


class ChunkedConsumer(driver.Consumer):
    """Faust's aiokafka consumer, delivering the app's chunked topics a chunk at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lease = Lease()
        self._membership: StaticMembership | None = None
        self._chunked: set[str] = cast(Any, self.app).chunked_topics
        self._chains: dict[TP, collections.deque[Chunk]] = {}  # handed out, oldest first
        self._expected: dict[TP, int] = {}  # next offset to hand out; set by perform_seek
        self._consumed: dict[TP, int] = {}  # where aiokafka stands, asked where records seem to wait
        self._ends = LogEnds()
        self._believed_gaps: dict[TP, int] = {}
        self._delivering = False
        self._holding_back = False  # so much waits to be worked off that nothing more is fetched
        self._finished = asyncio.Event()  # a chunk, since it was last looked at
        self.rebalance_began: float | None = None  # monotonic seconds; None before the first one

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 (Faust's signature)
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch once and yield (partition, message); runs in Faust's fetcher task."""
        self._holding_back = enough_waits(self._chains.values())
        if self._holding_back:
            self._finished.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), _HOLD_SECONDS)
            return
        fetched, active = await self._wait_next_records(timeout)
        if not fetched or self.should_stop:
            return
        generation = self.app.consumer_generation_id
        left: dict[TP, Span] = {tp: (records[0].offset, records[-1].offset + 1) for tp, records in fetched.items()}
        self._delivering = True
        try:
            for tp, records in fetched.items():
                if not (active is None or tp in active or tp in self._buffered_partitions):
                    continue
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                for message, following in self._messages(tp, records, left):
                    if self._interrupted(generation):
                        return
                    self._note_delivery(tp, message, following)
                    yield tp, message
                    if not self.flow_active:
                        return  # the delivery may have been cancelled on the way: it counts as not done
                    left[tp] = (following, left[tp][1])
        finally:
            self._delivering = False
            await self._read_again({tp: span for tp, span in left.items() if span[0] < span[1]})

    def _interrupted(self, generation: int) -> bool:
        return self.should_stop or not self.flow_active or generation != self.app.consumer_generation_id

    def _note_delivery(self, tp: TP, message: ConsumerMessage, following: int) -> None:
        if tp.topic in self._chunked:
            self._read_offset[tp] = None  # switches off Faust's own idea of gaps and repeats
            self._chains.setdefault(tp, collections.deque()).append(cast(Any, message).value)
            self._expected[tp] = following

    def _messages(self, tp: TP, records: list[Any], left: dict[TP, Span]) -> Iterator[tuple[ConsumerMessage, int]]:
        if tp.topic in self._chunked:
            yield from self._chunks(tp, records, left)
            return
        table = cast(Any, self.app.tables)._recovery.tp_to_table.get(tp) if self._is_changelog_tp(tp) else None  # noqa: SLF001
        if isinstance(table, StateTable):  # apply the whole fetch; Faust's recovery sees its last record
            table.take_over(tp, records)
            yield self._to_message(tp, records[-1]), records[-1].offset + 1
            return
        for record in records:
            yield self._to_message(tp, record), record.offset + 1

    def _chunks(self, tp: TP, records: list[Any], left: dict[TP, Span]) -> Iterator[tuple[ConsumerMessage, int]]:
        expected = self._expected.get(tp)
        if expected is None:
            return  # not sought in this assignment: read again once it is
        if records[0].offset > expected and self._believed_gaps.get(tp) != expected:
            self._believed_gaps[tp] = expected
            left[tp] = (expected, left[tp][1])
            return
        wanted = [record for record in records if record.offset >= expected]
        if not wanted:
            left[tp] = (0, 0)
        generation = self.app.consumer_generation_id
        for start in range(0, len(wanted), LARGEST_CHUNK):
            chunk = Chunk(wanted[start : start + LARGEST_CHUNK])
            newest = chunk.records[-1]
            message = ConsumerMessage(
                tp.topic,
                tp.partition,
                chunk.last,
                newest.timestamp / 1000.0,
                newest.timestamp_type,
                [],
                None,
                cast(Any, chunk),
                None,
                0,
                0,
                tp,
                generation_id=generation,
            )
            yield message, chunk.last + 1

    async def _read_again(self, left: Mapping[TP, Span]) -> None:
        """Seek back to what was fetched and not handed out, unless somebody has moved the position since."""
        if not left or self.should_stop:
            return
        consumer = self._thread._ensure_consumer()  # noqa: SLF001

        async def seek_back() -> None:  # runs in the consumer's own thread
            for tp, (first, end) in left.items():
                try:
                    if tp in consumer.assignment() and await asyncio.wait_for(consumer.position(tp), 1) >= end:
                        consumer.seek(tp, first)
                except (TimeoutError, IllegalStateError):
                    continue  # the partition has gone, or is being sought already

        await self._thread.call_thread(seek_back)
        for tp in left:
            if tp.topic not in self._chunked:
                self._read_offset[tp] = None
        self.log.info("Fetched but not delivered, read again: %s partitions", len(left))
        await asyncio.sleep(0.05)  # lets the flow change settle instead of fetching the same records in a tight loop

    async def perform_seek(self) -> None:
        """Seek every partition to its committed offset, or to its beginning where nothing is committed."""
        self.stop_flow()
        while self._delivering:  # noqa: ASYNC110 (over within one delivery; an event would have to be reset)
            await asyncio.sleep(0.001)
        self._chains.clear()
        self._expected.clear()
        self._consumed.clear()
        self._ends.clear()
        await super().perform_seek()
        starts = {tp: self._read_offset[tp] for tp in self.assignment() if not self._is_changelog_tp(tp)}
        fresh = [tp for tp, offset in starts.items() if not offset]
        if fresh:
            earliest = {tp: offset or 0 for tp, offset in (await self.earliest_offsets(*fresh)).items()}
            starts.update(earliest)
            await self.seek_wait(earliest)
        self._expected.update({tp: offset or 0 for tp, offset in starts.items() if tp.topic in self._chunked})

    # -- commits

    def finish(self, chunk: Chunk) -> None:
        """Mark a chunk as done: its offset is committed once all earlier chunks of its partition are done too."""
        chunk.finish()
        self._finished.set()

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in self._chunked:
            offset: int | None = super()._new_offset(tp)
            return offset
        chain, offset = self._chains.get(tp), None
        while chain and chain[0].done:
            offset = chain.popleft().last + 1
        self._acked[tp].clear()  # Faust's own book-keeping is not used for chunks
        self._acked_index[tp].clear()
        return offset

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        pending = set(super()._filter_tps_with_pending_acks(topics))
        return iter(pending | {tp for tp in self._chains if topics is None or tp in topics or tp.topic in topics})

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        asked_at = Lease.clock()
        done = bool(await super()._commit(offsets))
        if done and offsets:
            self.lease.renew(asked_at)
        return done

    # -- membership

    async def confirm_ownership(self, message: ConsumerMessage, chunk: Chunk) -> bool:
        """Tell whether the group still counts this worker as the owner of the message's partition.

        A successful commit within the lease says so; without one the chunk's first offset is committed as a probe
        (everything before it is done).
        """
        if self.lease.holds():
            return True
        if message.tp not in self.assignment() or message.generation_id != self.app.consumer_generation_id:
            return False
        return await self._commit({message.tp: chunk.first})

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe to the source topics and all changelogs, or not at all.

        A worker that is stopped while it starts would join without its changelogs; with static membership its successor
        would inherit that assignment, and work from empty state.
        """
        wanted = set(topics)
        if not self.app.should_stop and self.app.tables.changelog_topics <= wanted:
            if self._membership is None:
                coordinator = self._thread._ensure_consumer()._coordinator  # noqa: SLF001
                self._membership = StaticMembership(coordinator, self.app.conf.consumer_group_instance_id)
            await super().subscribe(wanted)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Refuse an assignment in which a partition comes without its state."""
        changelogs = self.app.assignor.assigned_actives()
        for tp in assigned:
            if tp.topic in self._chunked:
                for topic in self.app.tables.changelog_topics:
                    if TP(topic, tp.partition) not in changelogs:
                        end_process(Exit.MISASSIGNED, f"partition {tp.partition} came without its changelog")
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Wait for the chunks in work, commit them (Faust does both), then forget the partitions."""
        if revoked:
            self.rebalance_began = time.monotonic()
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._chains.pop(tp, None)
            self._expected.pop(tp, None)

    async def cluster_answers(self) -> bool:
        """Ask any broker for metadata; return whether one answered."""

        async def ask() -> None:  # runs in the consumer's own thread
            await asyncio.wait_for(self._thread._ensure_consumer()._client.fetch_all_metadata(), _ANSWER_SECONDS)  # noqa: SLF001

        try:
            await self._thread.call_thread(ask)
        except (KafkaError, TimeoutError):
            return False
        return True

    # -- watchdog

    @Service.task
    async def _watch_for_stalls(self) -> None:
        detector = StallDetector()
        while not self.should_stop:
            await self.sleep(1.0)
            await self._ask_ends()
            for tp, expected in list(self._expected.items()):
                chain = self._chains.get(tp)
                await self._ask_position(tp)
                waiting = bool(chain) or self._end(tp) > self._next(tp)
                head = (chain[0].last, chain[0].progress) if chain else None
                beside = cast(Any, self.app).moves_beside()
                position = (expected, head, self._committed_offset.get(tp), self._before(tp, chain), beside)
                if detector.stalled(tp, position, waiting=waiting and self.flow_active, now=time.monotonic()):
                    end_process(Exit.STALLED, f"partition {tp.partition}: records wait and nothing has moved")

    async def _ask_ends(self) -> None:
        if not self._expected or not self._ends.due(time.monotonic()):
            return
        before = dict(self._expected)

        async def ends() -> Mapping[TP, int]:  # runs in the consumer's own thread
            return await asyncio.wait_for(self._thread._highwaters(list(before)), _ANSWER_SECONDS)  # noqa: SLF001

        with suppress(KafkaError, TimeoutError):
            found = await self._thread.call_thread(ends)
            still = {tp: min(before[tp], self._expected[tp]) for tp in found if tp in self._expected}
            short = self._ends.take({tp: found[tp] for tp in still}, still)
            if short is not None:
                where = f"partition {short.partition} of {short.topic}"
                end_process(Exit.LOG_BEHIND_STATE, f"{where} ends before what was read of it: records have been lost")

    def _end(self, tp: TP) -> int:
        return max(self.highwater(tp) or 0, self._ends.end(tp))

    def _next(self, tp: TP) -> int:
        """Return the next offset that can hold a record: those that aiokafka has passed over end transactions."""
        return max(self._expected.get(tp, 0), self._consumed.get(tp, 0))

    async def _ask_position(self, tp: TP) -> None:
        """Note where aiokafka stands in a partition, where an offset seems to wait that may be no record's."""
        self._consumed.pop(tp, None)
        if self._end(tp) <= self._expected.get(tp, 0):
            return
        consumer = self._thread._ensure_consumer()  # noqa: SLF001

        async def position() -> int:  # runs in the consumer's own thread
            try:
                return int(await asyncio.wait_for(consumer.position(tp), 1))
            except (TimeoutError, IllegalStateError):
                return 0  # the partition has gone, or is being sought

        self._consumed[tp] = await self._thread.call_thread(position)

    def _before(self, tp: TP, chain: collections.deque[Chunk] | None) -> Hashable:
        """Return how far the chunks of other partitions are that came first: this one may wait for its turn."""
        since = chain[0].started if chain else math.inf if self._delivering or self._holding_back else -math.inf
        others = [chunk for at, chunks in self._chains.items() if at.topic == tp.topic and at != tp for chunk in chunks]
        return progress_before(since, others)

    def waiting(self, tp: TP, at_least_to: int) -> int | None:
        """Return how many records of a chunked partition are not worked off; None before the first is sought.

        `at_least_to` is an end of the log that is known from elsewhere: the consumer learns of its own with a fetch.
        """
        if tp not in self._expected:
            return None
        position = next((chunk.first for chunk in self._chains.get(tp, ()) if not chunk.done), self._next(tp))
        return max(0, max(self.highwater(tp) or 0, at_least_to) - position)

    def lag(self) -> dict[int, int]:
        """Return the records that wait in each assigned partition of the chunked topics, summed over topics."""
        waiting: dict[int, int] = {}
        for tp in list(self._expected):
            chain = self._chains.get(tp)
            position = chain[0].first if chain else self._next(tp)
            behind = max(0, (self.highwater(tp) or 0) - position)
            waiting[tp.partition] = waiting.get(tp.partition, 0) + behind
        return waiting


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer in its thread, asking brokers for records with less patience.

    aiokafka has one fetch on its way to a broker, and leaves out of it the partitions whose records wait to be taken.
    While nothing is taken because enough is in work, it therefore asks for the others alone; where those are silent,
    the partitions with a backlog are asked for again only when the broker has lost its patience: Faust's 1.5 s.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001 (Faust has no setting for it)
        return consumer


class _IdempotentProducer(driver.Producer):
    """Faust's producer with acks from all replicas and no duplicates by its own retries, behind the app's gate."""

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        cast(Any, self.app).gate.stand_before(producer)
        return producer

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class _Transport(driver.Transport):
    Consumer = ChunkedConsumer
    Producer = _IdempotentProducer


TRANSPORTS.aliases[TRANSPORT_SCHEME] = f"{__name__}:_Transport"
