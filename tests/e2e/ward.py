"""A ward for end-to-end tests: real worker processes on a real broker, fed by the product's own replay.

Everything lives under topic names of its own, so that tests share a broker. Workers are processes of `serve`, killed
with SIGKILL where a test says so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agents.topics import Topics, topic_specs
from models.cohort import Cohort, read_cohort
from monitor import clients
from monitor.brokers import tether
from monitor.brokers.probe import free_port
from monitor.follow import partitions_of
from monitor.positions import GroupPositions
from monitor.publishing import PRODUCER_OPTIONS, Publisher, PublisherOptions, ReplaySummary
from monitor.replay import ReplayStream
from monitor.settings import ENV_PREFIX, Settings, load_settings
from monitor.topic_admin import create_topics
from tests.waiting import until

__all__ = ["Process", "Ward", "closed_risks", "open_bare_ward", "open_ward", "real_stays"]

_DEMO = Path(__file__).parents[2] / "monitor" / "data" / "demo-stays.parquet"
_ALL = Path(__file__).parents[3] / "shared" / "data" / "p19-dev.parquet"
PARTITIONS = 4


def real_stays(count: int, seed: int) -> Cohort:
    """Return real stays: of the whole data set where it lies beside the checkout, else of the demo's 200."""
    source = Path(os.environ.get("SEPSIS_MONITOR_TEST_DATA", _ALL))
    cohort = read_cohort(source if source.exists() else _DEMO)
    keep = np.zeros(cohort.n_stays, dtype=np.bool_)
    keep[np.random.default_rng(seed).permutation(cohort.n_stays)[:count]] = True
    return cohort.select(keep)


class Process(Protocol):
    """A worker's process: what of `subprocess.Popen` is needed."""

    pid: int

    def poll(self) -> int | None: ...  # noqa: D102
    def wait(self, timeout: float | None = None) -> int: ...  # noqa: D102
    def send_signal(self, number: int, /) -> None: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102


@dataclass
class Ward:
    """One deployment: a topic prefix, a group, and its workers."""

    settings: Settings
    bootstrap: str
    folder: Path
    environment: Mapping[str, str]
    workers: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def topics(self) -> Topics:
        """Full names of the ward's topics."""
        return Topics(self.settings.topics.prefix)

    def start(self, instance: str = "worker-1", *, module: str = "monitor", **environment: str) -> None:
        """Start a worker process; it may replace one that was killed. `module` is what to run in place of the product.

        It ends with the thread that started it.
        """
        merged = self.environment_of(instance, environment)
        tied = [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid())]
        command = [*tied, sys.executable, "-m", module, "serve"]
        with self.log_of(instance).open("ab") as log:
            self.workers[instance] = subprocess.Popen(command, stdout=log, stderr=log, env=merged)

    def environment_of(self, instance: str, more: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a worker that is about to start, with a port of its own."""
        port = self.ports[instance] = free_port()
        return {
            **os.environ,
            **self.environment,
            "SEPSIS_MONITOR_WORKER__INSTANCE": instance,
            "SEPSIS_MONITOR_HTTP__PORT": str(port),
            **more,
        }

    def log_of(self, instance: str) -> Path:
        """Return the file that a worker's output goes to."""
        return self.folder / f"{instance}.log"

    def wait_ready(self, instance: str = "worker-1", seconds: float = 60.0) -> None:
        """Wait until the worker's /readyz says so."""
        until(lambda: self.ready(instance), seconds=seconds, what=f"{instance} ready ({self.log(instance)[-800:]})")

    def ready(self, instance: str = "worker-1") -> bool:
        """Tell whether /readyz answers 200."""
        assert self.workers[instance].poll() is None, self.log(instance)[-3000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[instance]}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def kill(self, instance: str = "worker-1") -> None:
        """SIGKILL the worker: no goodbye to anyone."""
        self.workers[instance].kill()
        self.workers[instance].wait()

    def terminate(self, instance: str = "worker-1") -> int:
        """SIGTERM the worker and return its exit code."""
        self.workers[instance].send_signal(signal.SIGTERM)
        return self.workers[instance].wait(timeout=20)

    def log(self, instance: str = "worker-1") -> str:
        """Return what the worker has logged."""
        return self.log_of(instance).read_text()

    def replay(self, stream: ReplayStream, *, speed: float = 0.0) -> ReplaySummary:
        """Publish a replay as the command does; returns when the last discharge is sent."""
        with self.producer() as producer, self.positions() as positions:
            publisher = Publisher(stream, self.topics, producer, positions, PublisherOptions(speed, 90.0))
            summary = publisher.run()
        assert summary.order_kept
        return summary

    def send(self, topic: str, records: Sequence[tuple[bytes | None, bytes | None, Any]]) -> list[tuple[int, int]]:
        """Publish records (key, value, headers) and return where each stands: partition, offset."""
        with self.producer(max_request_size=16 * 1024 * 1024) as producer:
            sent = [producer.send(topic, key=key, value=value, headers=headers) for key, value, headers in records]
            producer.flush()
            return [(item.get(10).partition, item.get(10).offset) for item in sent]

    def drain(self, seconds: float = 90.0) -> None:
        """Wait until the workers have committed all that is in their topics, admissions first."""
        with self.positions() as positions:
            for topic in (self.topics.admissions, self.topics.observations):
                targets = positions.end_offsets(topic)
                assert positions.wait(topic, targets, seconds, threading.Event()), self._all_logs()

    def committed(self) -> int:
        """Return how many observation records the group has committed."""
        with self.positions() as positions:
            return sum(positions.committed(self.topics.observations).values())

    def records(self, topic: str) -> list[Any]:
        """Return all records that are in a topic now, by partition and offset."""
        client = clients.consumer(self.settings.kafka, self.bootstrap)
        try:
            partitions = partitions_of(client, topic)
            ends = client.end_offsets(partitions)
            client.assign(partitions)
            client.seek_to_beginning(*partitions)
            found: list[Any] = []
            deadline = time.monotonic() + 60
            while any(client.position(partition) < ends[partition] for partition in partitions):
                assert time.monotonic() < deadline, f"{topic} could not be read to its end"
                for records in client.poll(timeout_ms=500).values():
                    found += records
            return sorted(found, key=lambda record: (record.partition, record.offset))
        finally:
            client.close()

    def values(self, topic: str) -> list[dict[str, Any]]:
        """Return the JSON values of a topic."""
        return [json.loads(record.value) for record in self.records(topic)]

    @contextmanager
    def producer(self, **options: Any) -> Iterator[Any]:
        """Give a producer of the product's own kind."""
        producer = clients.producer(self.settings.kafka, self.bootstrap, **{**PRODUCER_OPTIONS, **options})
        try:
            yield producer
        finally:
            producer.close()

    @contextmanager
    def positions(self) -> Iterator[GroupPositions]:
        """Give the group's positions."""
        admin = clients.admin(self.settings.kafka, self.bootstrap)
        try:
            yield GroupPositions(admin, self.settings.worker.group)
        finally:
            admin.close()

    def _all_logs(self) -> str:
        return "\n".join(self.log(instance)[-3000:] for instance in self.workers)


@contextmanager
def open_ward(bootstrap: str, folder: Path, **settings: str) -> Iterator[Ward]:
    """Make topics under a prefix of their own and give the ward; its workers are killed at the end."""
    with open_bare_ward(bootstrap, folder, settings) as ward:
        create_topics(bootstrap, ward.settings, topic_specs(ward.topics))
        yield ward


@contextmanager
def open_bare_ward(bootstrap: str, folder: Path, settings: Mapping[str, str]) -> Iterator[Ward]:
    """Give a ward that has no topics yet; its workers are killed at the end."""
    name = f"t{uuid.uuid4().hex[:8]}"
    environment = {
        "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "SEPSIS_MONITOR_TOPICS__PREFIX": f"{name}.",
        "SEPSIS_MONITOR_TOPICS__PARTITIONS": str(PARTITIONS),
        "SEPSIS_MONITOR_WORKER__GROUP": f"{name}-group",
        "SEPSIS_MONITOR_WORKER__DATA_DIR": str(folder / name),
        **settings,
    }
    overrides = {
        "kafka.bootstrap_servers": bootstrap,
        "topics.prefix": f"{name}.",
        "topics.partitions": PARTITIONS,
        "worker.group": f"{name}-group",
        **{key.removeprefix(ENV_PREFIX).lower().replace("__", "."): value for key, value in settings.items()},
    }
    ward = Ward(load_settings(None, overrides), bootstrap, folder, environment)
    try:
        yield ward
    finally:
        for process in ward.workers.values():
            process.kill()
            process.wait()


def closed_risks(scores: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], float]:
    """Return the risk of every closed step, by stay id and step; every repeat must say the same."""
    closed: dict[tuple[str, int], float] = {}
    for score in scores:
        for step in score["closed"]:
            place = (score["stay_id"], step["step"])
            assert closed.setdefault(place, step["risk"]) == step["risk"], place
    return closed
