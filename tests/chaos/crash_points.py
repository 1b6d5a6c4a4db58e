"""The instants at which a worker dies: named, counted, and put into the product's classes from outside.

At its n-th passage of the named instant the process writes a line to a marker file and sends itself SIGKILL or
SIGSTOP, or the thread that passes there hangs. Nothing in the product knows of this.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from faust.types.tuples import TP

from agents.outcome import Outcome
from agents.rebuilding import Missing, Rebuilding
from agents.table import StateTable
from agents.transport import ChunkedConsumer
from agents.worker import Worker
from tests.chaos.wrapping import wrap

__all__ = ["ACTS", "CRASH_POINTS", "Trigger", "install"]

_HANG_SECONDS = 3_600.0

# In the order of a chunk's life. The twelve of the specification, and one for the agent that appends admissions.
CRASH_POINTS = {
    "polled": "1: records fetched, not decoded",
    "decided": "2: stepped and decided, nothing sent",
    "acknowledged": "3: alerts acknowledged, the state not sent",
    "alerts_sent": "4: alerts sent, the broker's answer not read",
    "state_sent": "5: alerts acknowledged; the state sent, the broker's answer not read",
    "stored": "6: alerts and state acknowledged, nothing committed",
    "commit_sent": "7: commit sent, the broker's answer not read",
    "recovering": "8: half-way through recovery",
    "stopping": "9: in graceful stop",
    "swapping": "10: first states carried over to another model, or made anew, not sent",
    "refusal_sent": "11: a refused record sent to its topic, the broker's answer not read",
    "rebalancing": "12: in a rebalance's callback",
    "appending": "beside: an admission appended to its log, the broker's answer not read",
}


ACTS: dict[str, Callable[[], None]] = {
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": lambda: time.sleep(_HANG_SECONDS),
}


class Trigger:
    """Counts passages of one instant and acts at the n-th."""

    def __init__(self, point: str, nth: int, marker: Path, act: Callable[[], None]) -> None:
        self.point, self._nth, self._marker, self._act = point, nth, marker, act
        self._passed = 0
        self.stopping = False
        self.alerts_since_state = False

    def passing(self, point: str) -> None:
        """Note a passage of an instant; does not return at the n-th of the chosen one (SIGKILL)."""
        if point != self.point:
            return
        self._passed += 1
        if self._passed == self._nth:
            self.fire()

    def fire(self) -> None:
        """Leave a mark that the fault has hit, and die (or stop, or hang)."""
        line = json.dumps({"point": self.point, "pid": os.getpid(), "at": time.time(), "passage": self._passed})
        self._marker.write_text(line + "\n", encoding="ascii")
        self._act()


def install(trigger: Trigger) -> None:
    """Put the trigger's instants into the product's classes."""
    _into_core(trigger)
    _into_table(trigger)
    _into_consumer(trigger)
    _into_worker(trigger)
    _into_wire(trigger)


def _into_core(trigger: Trigger) -> None:
    decide = Rebuilding.decide

    def watched(deciding: Rebuilding, partition: int, records: Any, stored: Any) -> Outcome | Missing:
        trigger.passing("polled")
        outcome = decide(deciding, partition, records, stored)
        if isinstance(outcome, Missing):
            return outcome
        if outcome.states:
            trigger.passing("decided")
        if outcome.alerts:
            trigger.passing("decided_alerts")
        if outcome.state_resets:
            trigger.passing("swapping")
        return outcome

    wrap(Rebuilding, "decide", watched)


def _into_table(trigger: Trigger) -> None:
    put, take_over = StateTable.put, StateTable.take_over

    async def watched_put(table: StateTable, *args: Any, **kwargs: Any) -> None:
        if trigger.alerts_since_state:
            trigger.passing("acknowledged")
        trigger.alerts_since_state = False
        await put(table, *args, **kwargs)

    def watched_take_over(table: StateTable, tp: TP, records: Any) -> None:
        rows = list(records)
        half = len(rows) // 2
        take_over(table, tp, rows[:half])
        trigger.passing("recovering")
        take_over(table, tp, rows[half:])

    wrap(StateTable, "put", watched_put)
    wrap(StateTable, "take_over", watched_take_over)


def _into_consumer(trigger: Trigger) -> None:
    finish, revoked = ChunkedConsumer.finish, ChunkedConsumer.on_partitions_revoked
    assigned = ChunkedConsumer.on_partitions_assigned

    def watched_finish(consumer: ChunkedConsumer, chunk: Any) -> None:
        if chunk.records[0].topic.endswith("observations.v1"):
            trigger.passing("stored")
        finish(consumer, chunk)

    async def watched_revoked(consumer: ChunkedConsumer, partitions: Any) -> None:
        if partitions:
            trigger.passing("rebalancing")
        await revoked(consumer, partitions)

    async def watched_assigned(consumer: ChunkedConsumer, partitions: Any, *args: Any, **kwargs: Any) -> None:
        if partitions:
            trigger.passing("rebalancing")
        await assigned(consumer, partitions, *args, **kwargs)

    wrap(ChunkedConsumer, "finish", watched_finish)
    wrap(ChunkedConsumer, "on_partitions_revoked", watched_revoked)
    wrap(ChunkedConsumer, "on_partitions_assigned", watched_assigned)


def _into_worker(trigger: Trigger) -> None:
    drain = Worker._drain

    async def watched(worker: Worker, *args: Any, **kwargs: Any) -> None:
        trigger.stopping = True
        if trigger._nth == 1:
            trigger.passing("stopping")
        await drain(worker, *args, **kwargs)
        if trigger.point == "stopping":  # nothing was left to commit on the way
            trigger.fire()

    wrap(Worker, "_drain", watched)


def _into_wire(trigger: Trigger) -> None:
    """Watch requests as they leave: the broker gets them, the worker never reads the answer."""
    send: Callable[..., Any] = AIOKafkaConnection.send

    def watched(connection: AIOKafkaConnection, request: Any, *args: Any, **kwargs: Any) -> Any:
        answer = send(connection, request, *args, **kwargs)
        kind = type(request).__name__
        if kind.startswith("ProduceRequest"):
            _note_produce(trigger, [topic for topic, _ in request._topics])
        elif kind.startswith("OffsetCommitRequest"):
            trigger.passing("commit_sent")
            if trigger.stopping and trigger._nth > 1 and trigger.point == "stopping":
                trigger.fire()
        return answer

    wrap(AIOKafkaConnection, "send", watched)


def _note_produce(trigger: Trigger, topics: list[str]) -> None:
    for ending, point in (
        ("alerts.events.v1", "alerts_sent"),
        ("-changelog", "state_sent"),
        ("vitals.rejected.v1", "refusal_sent"),
        ("vitals.observations.v1", "appending"),
    ):
        if any(topic.endswith(ending) for topic in topics):
            trigger.passing(point)
            trigger.alerts_since_state |= point == "alerts_sent"
