"""What the decisions alone cost: no broker, no process, one thread; beside the bare network on as many steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agents.chunk import LARGEST_CHUNK
from agents.core import Core
from agents.decoding import Limits
from agents.policy import Policy
from models.features import INPUT_GRID
from models.lstm import Lstm
from models.stay_model import StayModel
from monitor.bench.load import Load

__all__ = ["CoreCost", "LoggedRecord", "core_cost"]

_TRIES = 3  # the best counts: other work on the machine only ever adds
_WARM_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record as the core takes it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True)
class CoreCost:
    """CPU microseconds an event."""

    patients: int
    events: int
    core_us: float  # decode, validate, features, step, decide, state records and messages
    lstm_us: float  # the arithmetic of one step of the network, in batches of the same size

    @property
    def ratio(self) -> float:
        """How many times the bare network's cost it is."""
        return self.core_us / self.lstm_us


def core_cost(model: StayModel, policy: Policy, load: Load) -> CoreCost:
    """Measure the core on a load, on this thread; the first samples begin the stays, and do not count."""
    now_ms = round(time.time() * 1000)
    rounds = load.rounds(now_ms)
    states: dict[bytes, bytes] = {}
    core = Core(model, policy, Limits())
    offset = 0

    def work_off(records: list[LoggedRecord]) -> None:
        for begin in range(0, len(records), LARGEST_CHUNK):
            core.process(0, records[begin : begin + LARGEST_CHUNK], states.get).store_in(states)

    def logged(samples: Iterator[list[tuple[bytes, bytes]]], count: int) -> list[LoggedRecord]:
        nonlocal offset
        pairs = [pair for _ in range(count) for pair in next(samples)]
        records = [LoggedRecord("", 0, offset + at, now_ms, key, value) for at, (key, value) in enumerate(pairs)]
        offset += len(records)
        return records

    work_off(logged(rounds, _WARM_SAMPLES))
    each = (load.samples - _WARM_SAMPLES) // _TRIES
    found: list[tuple[float, float]] = []
    for _ in range(_TRIES):
        records = logged(rounds, each)
        core_seconds = _cpu_seconds(lambda records=records: work_off(records))  # type: ignore[misc]
        found.append((core_seconds / len(records), _lstm_seconds(model, len(records))))
    core_us, lstm_us = (min(times) * 1e6 for times in zip(*found, strict=True))
    return CoreCost(load.patients, load.patients * each * _TRIES, core_us, lstm_us)


def _lstm_seconds(model: StayModel, steps: int) -> float:
    """Return the CPU seconds of a step of the network and its head."""
    network = Lstm(model.weights)
    rng = np.random.default_rng(0)
    x = (np.rint(rng.normal(size=(LARGEST_CHUNK, network.n_inputs)) / INPUT_GRID) * INPUT_GRID).astype(np.float32)
    h = np.zeros((LARGEST_CHUNK, network.hidden), dtype=np.float32)
    batches = max(1, steps // LARGEST_CHUNK)

    def run() -> None:
        for _ in range(batches):
            network.logit(network.step(x, h, h)[0])

    run()
    return _cpu_seconds(run) / (batches * LARGEST_CHUNK)


def _cpu_seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
