"""Working off the patients' logs, a piece of a partition at a time.

The order of writes is the guarantee: alerts, scores and refusals are acknowledged by the broker, then the changelog is
acknowledged, then the local store is written, then chunks may be committed; before either of the first two, ownership
is confirmed: for what is told when its request leaves (`agents.gate`). Partitions are worked off side by side
(`agents.lanes`), each in its order; decisions are made one at a time. A lane's turn takes all that has come for the
partition meanwhile, up to a limit: a quiet ward is answered at once, and the more there is to do the larger the pieces,
which cost less.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any, cast

import msgspec
import structlog

from agents import publishing
from agents.chunk import LARGEST_CHUNK, MOST_PATIENTS, Piece, cheap_piece
from agents.clock_watch import ClockWatch
from agents.exits import Exit, end_process
from agents.lanes import Room
from agents.outcome import Outcome
from agents.outputs import utc
from agents.rebuilding import Missing, Rebuilding
from agents.recent_log import BrokerAwayError
from agents.reporting import Reporting
from agents.stream_app import StreamApp
from agents.table import StateTable
from agents.telling import tell
from agents.topics import Topics
from agents.transport import ChunkedConsumer
from agents.ward import Ward

__all__ = ["Watching"]

_log = structlog.get_logger(__name__)
_FIRST_PIECE = 64  # whatever is in the log, a worker that has just started gets on before the watchdog ends it
_FEW_PATIENTS = 9_000  # of a worker: their states leave memory for larger pieces
_AGAIN_SECONDS = 1.0
_PIECE_SECONDS = 1.0  # well below the session timeout, within which the group must hear of a commit


class Watching:
    """Works off lanes of observations, by the decisions of `deciding`; `states` holds what they came to."""

    def __init__(  # noqa: PLR0917 (the parts of a worker)
        self,
        app: StreamApp,
        topics: Topics,
        deciding: Rebuilding,
        states: StateTable,
        ward: Ward,
        clock: ClockWatch,
        reporting: Reporting,
    ) -> None:
        self._app, self._topics, self._deciding, self._states = app, topics, deciding, states
        self._ward, self._clock, self._reporting = ward, clock, reporting
        self._longest = _FIRST_PIECE  # records
        self._thinking, self._reading = asyncio.Lock(), asyncio.Lock()
        self._deciding_room, self._storing_room = Room(MOST_PATIENTS), Room(MOST_PATIENTS)

    async def work_off(self, lane: deque[Any]) -> None:
        """Work off the next piece of what waits in a lane; it is acknowledged before the lane's next."""
        async with AsyncExitStack() as room:
            decided = await self._decide(lane, room)
            if decided is None:
                return
            events, piece, outcome, started = decided
            acknowledged = await self._tell(events[0], piece, outcome)
            async with self._storing_room.holding(piece.patients):
                await room.aclose()  # while this is stored, another partition may be decided on
                await self._store(events[0], piece, outcome)
        self._reporting.worked_off(piece.records, outcome, acknowledged, time.perf_counter() - started)
        for event, reached in zip(events, piece.reached, strict=True):
            event.value.progress = reached
            if reached == len(event.value.records):
                lane.popleft()
                self._consumer.finish(event.value)
                event.ack()

    async def _decide(self, lane: deque[Any], room: AsyncExitStack) -> tuple[list[Any], Piece, Outcome, float] | None:
        """Decide on the next piece of a lane, and hold room for it; None where nothing is this worker's any more."""
        while True:
            async with self._thinking:
                while lane and not self._is_current(lane[0].message):
                    lane.popleft().ack()  # whoever has the partition now reads it again: it is never committed
                if not lane:
                    return None
                few = self._states.held <= _FEW_PATIENTS
                piece = cheap_piece([event.value for event in lane], self._longest, few_held=few)
                events = list(islice(lane, len(piece.reached)))
                for event, reached in zip(events, piece.reached, strict=True):
                    event.value.begun |= reached > event.value.progress
                await room.enter_async_context(self._deciding_room.holding(piece.patients))
                started = time.perf_counter()
                partition, stored = events[0].message.partition, self._states.stored
                decided = await asyncio.to_thread(self._deciding.decide, partition, piece.records, stored)
                if isinstance(decided, Outcome):
                    self._pace(time.perf_counter() - started)
                    return events, piece, decided, started
            await room.aclose()  # the log is read again beside what the other partitions have to do
            await self._make_good(decided)

    async def _make_good(self, missing: Missing) -> None:
        """Read a log again for states that are lost, one log at a time; where the cluster is away, wait a moment."""
        app = cast(Any, self._app)
        async with self._reading:
            generation = app.consumer_generation_id
            try:
                await asyncio.to_thread(self._deciding.make_good, missing, self._states.stored)
            except BrokerAwayError as error:
                _log.warning("warm_up_waits", partition=missing.partition, cause=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)
            if app.consumer_generation_id != generation:
                self._deciding.keep_only(set())  # made while the states came anew

    def _is_current(self, message: Any) -> bool:
        """Tell whether a message that has waited in its lane is still this worker's to work off."""
        app = cast(Any, self._app)
        return bool(app.flow_control.is_active() and message.generation_id == app.consumer_generation_id)

    def _pace(self, seconds: float) -> None:
        """Make the next piece longer or shorter, after one that took so long to decide on."""
        pace = _PIECE_SECONDS / max(seconds, _PIECE_SECONDS / 2)  # at most doubled, for a quiet second is no proof
        self._longest = max(1, min(LARGEST_CHUNK, round(self._longest * pace)))

    async def _tell(self, event: Any, piece: Piece, outcome: Outcome) -> float:
        """Publish what was decided; return the epoch seconds at which all of it was acknowledged."""
        topics = self._topics
        told = (topics.alert_events, topics.alert_state, topics.scores)
        self._app.gate.expect(told, event.message.partition, lambda: self._confirm_ownership(event))
        published_at = utc(round(time.time() * 1000))
        alerts = [msgspec.structs.replace(alert, published_at=published_at) for _, alert in outcome.alerts]
        await tell(
            self._app,
            topics,
            event.message.partition,
            {
                topics.alert_events: publishing.alert_records(alerts),
                topics.alert_state: [
                    *publishing.alert_state_tombstones(outcome.forgotten),
                    *publishing.alert_state_records(alerts, outcome.erased),
                ],
                topics.scores: [
                    *publishing.score_tombstones(outcome.forgotten),
                    *publishing.score_records(outcome.scores, outcome.erased),
                ],
            },
            [(piece.records[i], rejection) for i, rejection in outcome.rejected],
        )
        return time.time()

    async def _store(self, event: Any, piece: Piece, outcome: Outcome) -> None:
        """Write the states that have moved past what was told."""
        partition = event.message.partition
        await self._confirm_ownership(event)
        if outcome.states:
            await self._states.put(partition, outcome.states, piece.records[-1].offset)
            self._ward.take(partition, outcome.states)
        self._clock.worked_off(partition, piece.records[-1].timestamp)

    @property
    def _consumer(self) -> ChunkedConsumer:
        return cast(ChunkedConsumer, cast(Any, self._app).consumer)

    async def _confirm_ownership(self, event: Any) -> None:
        """Go on only where the group counts this worker as the owner, and has done so since the event was delivered."""
        same = event.message.generation_id == cast(Any, self._app).consumer_generation_id
        if not same or not await self._consumer.confirm_ownership(event.message, event.value):
            end_process(Exit.NOT_OWNER, f"partition {event.message.partition} may belong to another worker now")
