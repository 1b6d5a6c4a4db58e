"""How long an observation waits for its risk and for its alert, at a steady pace, and how much processor that takes.

Waits are from the observation's Kafka timestamp to the moment at which a reader of the topic has the answer. Under
the policy of this measurement a patient's first observation raises an alert; one observation in twenty is of a new
patient, the others are of patients who had theirs before.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from agents.messages import SourcePosition
from agents.topics import Topics
from agents.worker_config import partition_of
from monitor.bench.grounds import Grounds, Reader
from monitor.bench.load import Load, Sample
from monitor.bench.process_cost import cpu_seconds
from monitor.bench.throughput import start_plain_loop
from monitor.errors import Failure
from monitor.local_workers import Workers

__all__ = ["Latency", "Quantiles", "eager_policy", "measure_latency", "quantiles"]

_NEW_EVERY = 20  # observations
_POLL_SECONDS = 0.05
_LAST_SECONDS = 30.0  # within which the last answers must come
_WARM_SECONDS = 120.0
_QUANTILES = ((0.5, 2), (0.99, 100), (0.999, 1_000))  # and from how many waits on one of them lies beyond it
_EAGER = """
name = "bench"
version = "1"
model = "{model}"
raise_threshold = 0.000002
resolve_threshold = 0.000001
update_step = 0
monitoring_lost_minutes = 100000
cannot_assess_minutes = 0
"""


class _Alert(msgspec.Struct):
    log: SourcePosition


class _Score(msgspec.Struct):
    source: SourcePosition


_alert = msgspec.json.Decoder(_Alert).decode
_score = msgspec.json.Decoder(_Score).decode


Quantiles = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Latency:
    """Milliseconds at the quantiles .5, .99 and .999 of the answers that came; None where they are too few for one."""

    engine: str  # workers, plain loop
    rate: float  # observations a second that were sent
    alerts: int
    unanswered: int  # alerts that had not come half a minute after the last observation: more was sent than can be done
    scores: int
    alert_ms: Quantiles
    score_ms: Quantiles
    cpu_share: float  # of one core, by whoever answers, while observations were sent


def eager_policy(folder: Path, model: str) -> Path:
    """Write the policy under which a patient's first observation raises an alert; return its file."""
    path = folder / "eager.toml"
    path.write_text(_EAGER.format(model=model), encoding="ascii")
    return path


def measure_latency(
    grounds: Grounds, load: Load, rate: float, seconds: float, stop: threading.Event, *, plain: bool = False
) -> Latency:
    """Send `rate` observations a second for so long, and return how long their answers took. Raises Failure.

    Beyond what can be done, or sent, in that time, it returns what came, at the rate that was reached. The grounds'
    policy must be `eager_policy`. With `plain` the plain loop answers instead of a worker.
    """
    with _answering(grounds, stop, plain=plain) as (topics, process_ids):
        watch = _Watch(grounds, topics)
        try:
            warm = next(load.rounds(round(time.time() * 1000)))
            grounds.send(warm)
            watch.await_alerts(len(warm), _WARM_SECONDS, stop)
            watch.forget()
            began, cpu_before = time.monotonic(), cpu_seconds(process_ids)
            sent = _send_paced(grounds, load, rate, seconds, stop)
            sending = time.monotonic() - began
            cpu_share = (cpu_seconds(process_ids) - cpu_before) / sending
            expected = sent // _NEW_EVERY
            watch.wait_for_rest(expected, _LAST_SECONDS, stop)
        finally:
            watch.close()
        alerts, scores = watch.waits()
    return Latency(
        engine="plain loop" if plain else "worker",
        rate=round(sent / max(seconds, sending), 1),
        alerts=len(alerts),
        unanswered=max(0, expected - len(alerts)),
        scores=len(scores),
        alert_ms=quantiles(alerts),
        score_ms=quantiles(scores),
        cpu_share=round(cpu_share, 3),
    )


@contextmanager
def _answering(grounds: Grounds, stop: threading.Event, *, plain: bool) -> Iterator[tuple[Topics, list[int]]]:
    """Let a worker or a plain loop run; give the topics on which it answers, and its processes."""
    if plain:
        topics = grounds.for_plain_loop("paced")
        process = start_plain_loop(grounds, topics.prefix, 0)
        try:
            yield topics, [process.pid]
        finally:
            process.terminate()
            process.communicate()
        return
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        Workers.running(grounds.settings, 1, Path(folder)) as workers,
    ):
        workers.wait_ready(stop)
        yield grounds.topics, workers.process_ids


@dataclass
class _Watch:
    """Reads observations and their answers as they come, in a thread of its own."""

    grounds: Grounds
    topics: Topics
    sent_ms: dict[tuple[int, int], int] = field(default_factory=dict)  # by place in the log
    alerts: list[tuple[tuple[int, int], float]] = field(default_factory=list)  # place, and when it was read
    scores: list[tuple[tuple[int, int], float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = [self.grounds.topics.observations, self.topics.alert_events, self.topics.scores]
        self._reader = Reader(self.grounds, names)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._over.is_set():
            for record in self._reader.poll(_POLL_SECONDS):
                now = time.time() * 1000
                if record.topic == self.topics.alert_events:
                    place = _alert(record.value).log
                    self.alerts.append(((place.partition, place.offset), now))
                elif record.topic == self.topics.scores:
                    place = _score(record.value).source
                    self.scores.append(((place.partition, place.offset), now))
                else:
                    self.sent_ms[record.partition, record.offset] = record.timestamp

    def await_alerts(self, count: int, seconds: float, stop: threading.Event) -> None:
        """Wait until so many alerts have been read; raises Failure where they do not come."""
        deadline = time.monotonic() + seconds
        while len(self.alerts) < count and not stop.wait(_POLL_SECONDS):
            if time.monotonic() > deadline or not self._thread.is_alive():
                msg = f"{len(self.alerts)} of {count} alerts have come within {seconds:.0f} s"
                raise Failure(msg)

    def wait_for_rest(self, count: int, seconds: float, stop: threading.Event) -> None:
        """Wait until so many alerts have been read, and every observation that was answered, or for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._thread.is_alive() and not stop.wait(_POLL_SECONDS):
            if len(self.alerts) >= count and all(place in self.sent_ms for place, _ in [*self.alerts, *self.scores]):
                return

    def forget(self) -> None:
        """Forget what has come so far."""
        self.alerts, self.scores = [], []

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        self._reader.close()

    def waits(self) -> tuple[list[float], list[float]]:
        """Return milliseconds from each observation's timestamp to its alert, and to its risk."""
        alerts, scores = (
            [at - self.sent_ms[place] for place, at in some if place in self.sent_ms]
            for some in (self.alerts, self.scores)
        )
        return alerts, scores


def _send_paced(grounds: Grounds, load: Load, rate: float, seconds: float, stop: threading.Event) -> int:
    """Send observations at a steady pace, each as soon as it is made; return how many."""
    count = round(rate * seconds)
    values: Callable[[int, int], Sample] = load.single_samples(count, _NEW_EVERY)
    producer = grounds.producer(linger_ms=0)
    try:
        began = time.monotonic()
        for number in range(count):
            pause = began + number / rate - time.monotonic()
            if pause > 0 and stop.wait(pause):
                return number
            key, value = values(number, round(time.time() * 1000))
            at = partition_of(key, grounds.partitions)
            producer.send(grounds.topics.observations, key=key, value=value, partition=at)
        producer.flush()
    finally:
        producer.close()
    return count


def quantiles(waits: Sequence[float]) -> Quantiles:
    """Return the quantiles .5, .99 and .999; None for each where there are too few waits for one to lie beyond it."""
    p50, p99, p999 = (
        round(float(np.quantile(waits, q)), 1) if len(waits) >= least else None for q, least in _QUANTILES
    )
    return p50, p99, p999
