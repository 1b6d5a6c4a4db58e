"""Protections taken away, one at a time: a suite that does not notice is worth nothing.

Each is a wrapping of the product's classes in the process of a worker; no code of the product knows of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from agents import publishing, sending, table, telling, worker
from agents.chunk import Chunk
from agents.core import Core, Outcome
from agents.in_force import InForce
from agents.messages import CLOCK_TYPE
from agents.record import source_offset
from agents.rules import Rules
from agents.table import StateTable
from agents.transport import ChunkedConsumer, _IdempotentProducer
from agents.worker import Worker
from models.lstm import Lstm
from tests.chaos.wrapping import wrap

__all__ = ["MUTANTS", "install", "judged_alike", "rough_step"]

_send: Callable[..., Any] = sending.send


def _no_guard() -> None:
    """Apply a record again though the state has seen it: every stored state says that it has seen nothing."""
    process = Core.process

    def forgetful(core: Core, partition: int, records: Any, stored: Any, *rest: Any) -> Outcome:
        def unseen(key: bytes) -> bytes | None:
            state = stored(key)
            if state is None or len(state) != core.layout.record_bytes:
                return state  # type: ignore[no-any-return]
            rows = np.frombuffer(state, core.layout.dtype).copy()
            rows["offset"] = -1
            return core.layout.dump(rows)[0]

        return process(core, partition, records, unseen, *rest)

    wrap(Core, "process", forgetful)


def _state_first() -> None:
    """Write the state first, the alerts after it."""
    put = StateTable.put
    waiting: list[tuple[Any, ...]] = []

    async def later(app: Any, topic: str, partition: int, records: Any) -> list[int]:
        if ".events." not in topic and "alerts.state" not in topic:
            return await _send(app, topic, partition, records)  # type: ignore[no-any-return]
        waiting.append((app, topic, partition, list(records)))
        return []

    async def first(states: StateTable, *args: Any, **kwargs: Any) -> None:
        await put(states, *args, **kwargs)
        while waiting:
            await _send(*waiting.pop(0))

    wrap(telling, "send", later)
    wrap(StateTable, "put", first)


def _no_wait() -> None:
    """Send everything, and go on without the broker's acknowledgements."""
    running: set[asyncio.Task[Any]] = set()

    async def sent(app: Any, topic: str, partition: int, records: Any) -> list[int]:
        task = asyncio.create_task(_send(app, topic, partition, list(records)))
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(0)
        return [0]

    async def no_flush(_: Any) -> None:
        await asyncio.sleep(0)

    wrap(worker, "send", sent)
    wrap(telling, "send", sent)
    wrap(table, "send", sent)
    wrap(_IdempotentProducer, "flush", no_flush)  # Faust's commit would wait there


def _last_write_wins() -> None:
    """Let recovery take the record that was written last, whatever it has seen."""
    begin = StateTable.__init__

    def init(states: StateTable, *args: Any, **kwargs: Any) -> None:
        begin(states, *args, **(kwargs | {"version": lambda *_: 0}))

    wrap(StateTable, "__init__", init)


def _no_lease() -> None:
    """Never ask whether the partition is still this worker's; and the last write wins."""

    async def always(*_: Any) -> bool:
        return True

    wrap(ChunkedConsumer, "confirm_ownership", always)
    _last_write_wins()


def _commit_at_receipt() -> None:
    """Commit an offset as soon as the record is here."""
    begin = Chunk.__init__

    def init(chunk: Chunk, records: Any) -> None:
        begin(chunk, records)
        chunk.done = True

    wrap(Chunk, "__init__", init)


def rough_step(product: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return a step of the network in float32 without the exact grid, by this product of matrices."""

    def rough(lstm: Lstm, x: Any, h: Any, c: Any) -> Any:
        size = lstm.hidden
        joined = np.concatenate([x, h], axis=1, dtype=np.float32)
        gates = product(joined, lstm._weights.astype(np.float32)) + lstm._bias.astype(np.float32)
        gates = np.tanh(gates * lstm._scale) * lstm._scale + lstm._shift
        i, f, g, o = (gates[:, gate * size : (gate + 1) * size] for gate in range(4))
        new_c = f * c + i * g
        return o * np.tanh(new_c), new_c

    return rough


def _batch_dependent() -> None:
    """Compute the matrix product in float32 without the exact grid, as any library would."""
    wrap(Lstm, "step", rough_step(np.matmul))


def _clock_beside_the_log() -> None:
    """Act on the wall clock at once, instead of saying so in the log and acting where that is read."""
    append = Worker._append_to_log

    async def act(acting: Any, partition: int, records: Any) -> None:
        if any(dict(headers).get("ce_type") != CLOCK_TYPE.encode() for _, _, headers in records):
            await append(acting, partition, records)  # what the worker says of itself is no alarm
            return
        stored = acting._states.stored
        seen = max((source_offset(stored(key) or b"") for key, _, _ in records), default=-1)
        said = [
            SimpleNamespace(offset=seen + 1, timestamp=round(time.time() * 1000), key=k, value=v, headers=h)
            for k, v, h in records
        ]
        outcome = await asyncio.to_thread(acting._core.process, partition, said, stored)
        alerts = [msgspec.structs.replace(alert, published_at="now") for _, alert in outcome.alerts]
        topics = acting._config.topics
        await telling.tell(acting.app, topics, partition, {topics.alert_events: publishing.alert_records(alerts)}, [])
        if outcome.states:
            await acting._states.put(partition, outcome.states)
            acting._ward.take(partition, outcome.states)

    wrap(Worker, "_append_to_log", act)


def _rules_of_now() -> None:
    """Decide on every record by what is in force now, not by what was in force at the record's place in the log."""

    def now(in_force: InForce, place: int, own: Rules) -> Rules:
        return in_force._rules(len(in_force._changes) - 1 if place >= 0 else place, own)

    wrap(InForce, "rules", now)


MUTANTS: dict[str, Callable[[], None]] = {
    "no-guard": _no_guard,
    "state-first": _state_first,
    "no-wait": _no_wait,
    "last-write-wins": _last_write_wins,
    "no-lease": _no_lease,
    "commit-at-receipt": _commit_at_receipt,
    "clock-beside-the-log": _clock_beside_the_log,
    "batch-dependent": _batch_dependent,
    "rules-of-now": _rules_of_now,
}


@contextmanager
def judged_alike(name: str) -> Iterator[None]:
    """Let the judge's own pass compute as the mutant does, where it is not for the computing that it is to be found.

    A judge that computed exactly would find any rounding, and not only the one that depends on the batch.
    """
    step = Lstm.step
    if name == "batch-dependent":
        _batch_dependent()
    try:
        yield
    finally:
        wrap(Lstm, "step", step)


def install(name: str) -> None:
    """Take the named protection away in this process."""
    MUTANTS[name]()
