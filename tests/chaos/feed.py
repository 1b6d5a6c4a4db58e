"""A gateway: real stays, paced, without end until it is stopped; it notes what the broker acknowledged, and where.

It is also what gateways are: it repeats records, sends them in another order, late, from the future, and not at all
what it should, by the shares that it is given. Everything is drawn from the seed.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from confluent_kafka import Producer

from agents.topics import Topics
from models.cohort import Cohort
from monitor.replay import Message, ReplayOptions, ReplayStream
from tests.chaos.evidence import Noted
from tests.e2e.ward import real_stays

__all__ = ["BLOCK_STAYS", "Feed", "Spoiling", "producer"]

BLOCK_STAYS = 80
_ALL_STAYS = 6_000
_SURELY_SPARSE = 3  # of each block, the first that come: chance alone may choose nobody of a small one


@dataclass(frozen=True)
class Spoiling:
    """Shares of the observations, 0 to 1."""

    repeated: float = 0.02
    split: bool = False  # each vital sign as a message of its own, shuffled within the hour
    poison: float = 0.0  # a bad record of the patient's own before the good one
    future: float = 0.0  # the observation once more, stamped an hour ahead of now
    late: float = 0.0  # the observation once more, a week older
    sparse: float = 0.06  # of the patients: heart rate alone, on which no risk can rest


@lru_cache(maxsize=4)
def _cohort(seed: int) -> Cohort:
    return real_stays(_ALL_STAYS, seed)


def producer(bootstrap: str, **options: Any) -> Producer:
    """Return a producer that loses nothing and waits out every broker failure; murmur2, as all clients here."""
    ours: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "message.timeout.ms": 600_000,
        "linger.ms": 5,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 5_000,
        "log_level": 0,
    }
    return Producer({**ours, **options})


class Feed:
    """Sends in a thread of its own from `start` to `stop`."""

    def __init__(  # noqa: PLR0917 (what a gateway is told)
        self,
        bootstrap: str,
        topics: Topics,
        seed: int,
        rate: float = 200.0,
        spoiling: Spoiling | None = None,
        block: int = BLOCK_STAYS,
        **options: Any,
    ) -> None:
        """Send `rate` records a second of `block` stays side by side, then of the next ones.

        Rate and spoiling may be changed. `options` are the producer's.
        """
        self._block = block
        self.rate = rate
        self.noted: list[Noted] = []
        self._topics, self._seed = topics, seed
        self.spoiling = spoiling or Spoiling()
        self._draw = np.random.default_rng(seed)
        self._sparse: set[bytes] = set()  # patients, beside those whom chance chooses
        self._bootstrap, self._options = bootstrap, options
        self._producer = producer(bootstrap, **options)
        self._stop, self._gate, self._held = threading.Event(), threading.Lock(), False
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and return when the broker has acknowledged all that was sent."""
        self._end()
        self.flush()
        if self._failure is not None:
            raise self._failure

    def flush(self) -> None:
        """Return when the broker has acknowledged what was sent so far."""
        left = self._producer.flush(120)
        assert not left, f"the broker has not acknowledged {left} records"

    def abandon(self) -> None:
        """Send no more, whatever was left unacknowledged."""
        self._end()
        self._producer.purge()

    def hold(self) -> None:
        """Send nothing until `go_on`, and return when the broker has acknowledged what was sent."""
        self._gate.acquire()
        self._held = True
        self.flush()

    def renew(self) -> None:
        """Go on as a gateway does that was started anew; to be called while it is held."""
        self._producer = producer(self._bootstrap, **self._options)

    def go_on(self) -> None:
        """Send again."""
        self._held = False
        self._gate.release()

    def _end(self) -> None:
        self._stop.set()
        if self._held:
            self.go_on()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            due = time.monotonic()
            for topic, key, value in self._records():
                with self._gate:
                    self.send(topic, key, value)
                due = max(due + 1 / self.rate, time.monotonic() - 1)  # never more than a second to catch up
                self._stop.wait(max(0.0, due - time.monotonic()))
                if self._stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 (told by stop)
            self._failure = error

    def send(self, topic: str, key: bytes | None, value: bytes | None, **place: Any) -> None:
        """Send one record, and note its acknowledgement when it comes; from any thread.

        `place` may name a partition, and headers.
        """

        def note(error: Any, message: Any) -> None:
            if error is None:
                self.noted.append(Noted(topic, message.partition(), message.offset(), key, value))

        while True:
            try:
                self._producer.produce(topic, value=value, key=key, on_delivery=note, **place)
                self._producer.poll(0)
                return
            except BufferError:  # as much as the client may hold: a gateway waits
                self._producer.poll(0.2)

    def _records(self) -> Iterator[tuple[str, bytes, bytes | None]]:
        names = {"admissions": self._topics.admissions, "observations": self._topics.observations}
        for message in self._messages():
            yield from ((names[message.topic], key, value) for key, value in self._spoilt(message))

    def _messages(self) -> Iterator[Message]:
        """Give block after block of stays that were never sent before."""
        cohort, end = _cohort(self._seed), datetime.now(UTC)
        for block in itertools.count():
            keep = np.zeros(cohort.n_stays, dtype=np.bool_)
            keep[(np.arange(self._block) + block * self._block) % cohort.n_stays] = True
            options = ReplayOptions(
                seed=self._seed + block,
                duplicates=self.spoiling.repeated,
                split=self.spoiling.split,
                shuffle=self.spoiling.split,
            )
            first: set[bytes] = set()
            for message in ReplayStream(cohort.select(keep), options, end).messages():
                if len(first) < _SURELY_SPARSE:
                    first.add(message.key)
                    self._sparse.add(message.key)
                yield message

    def _spoilt(self, message: Message) -> Iterator[tuple[bytes, bytes | None]]:
        spoiling = self.spoiling
        if message.topic == "observations":
            if self._draw.random() < spoiling.poison:
                yield message.key, self._poison(message)
            if self._is_sparse(message.key):
                message = _heart_rate_alone(message)
            now = time.time()
            for share, shift in ((spoiling.future, now + 3600 - message.time), (spoiling.late, -7 * 86400.0)):
                if self._draw.random() < share:
                    yield message.key, _moved(message, shift)
        yield message.key, message.value

    def _is_sparse(self, key: bytes) -> bool:
        share = self.spoiling.sparse
        return share > 0 and (key in self._sparse or zlib.crc32(key) / 2**32 < share)

    def _poison(self, message: Message) -> bytes | None:
        """Return something of a patient's that no decoder should take."""
        bad: tuple[bytes | None, ...] = (
            message.value[: len(message.value) // 2],
            b"\xff\xfe" + message.value,
            b"null",
            b"[" * 500,
            message.value.replace(b'"patient_id":"', b'"patient_id":"x'),
            message.value[:-1] + b',"heart_rate":1e999}',
            None,
        )
        return bad[int(self._draw.integers(len(bad)))]


def _heart_rate_alone(message: Message) -> Message:
    """Return an observation without its other vital signs."""
    body = json.loads(message.value)
    kept = {name: body[name] for name in ("event_id", "patient_id", "time", "heart_rate") if name in body}
    if "heart_rate" not in kept:
        kept["heart_rate"] = 80
    return message._replace(value=json.dumps(kept, separators=(",", ":")).encode())


def _moved(message: Message, seconds: float) -> bytes:
    """Return an observation's value with another time of measurement."""
    moment = datetime.fromtimestamp(message.time + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    before, _, rest = message.value.partition(b'"time":"')
    return before + b'"time":"' + moment.encode() + rest[rest.index(b'"') :]
