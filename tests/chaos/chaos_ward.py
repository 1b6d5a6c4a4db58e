"""A ward under faults: workers that are armed, killed, stopped and started again, and what they leave behind."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2
from prometheus_client.parser import text_string_to_metric_families

from agents.exits import Exit
from agents.messages import CLOCK_TYPE
from monitor.errors import Failure
from tests.chaos.evidence import Evidence, Record, read_topic
from tests.chaos.feed import BLOCK_STAYS, Feed, Spoiling
from tests.chaos.staff import Staff
from tests.chaos.subscriber import Subscriber
from tests.e2e.ward import PARTITIONS, Ward, open_ward
from tests.waiting import until

__all__ = ["ChaosWard", "Fault", "open_chaos_ward"]

_ROOT = Path(__file__).parents[2]
_RESTARTED = {code for code in Exit if Exit.STREAM_FAILED <= code <= Exit.MISASSIGNED} | {1}  # as a supervisor does
_START_SECONDS = 90.0
_STILL_SECONDS = 90.0


@dataclass(frozen=True)
class Fault:
    """Something that was done to the ward."""

    what: str
    pending: int  # records of the logs that no commit covered then
    hit: bool = True  # it happened at the instant that was meant
    killed: bool = False  # by it a worker died of SIGKILL


@dataclass
class ChaosWard:
    """One deployment under faults; use `open_chaos_ward`."""

    ward: Ward
    feed: Feed
    subscriber: Subscriber
    staff: Staff
    random: random.Random
    faults: list[Fault] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)  # of workers that ended by themselves
    common: dict[str, str] = field(default_factory=dict)  # environment of every worker (redirection, mutant)
    replayed: float = 0.0
    problems: list[str] = field(default_factory=list)  # of the end: told once the judge has spoken
    _resting: set[str] = field(default_factory=set)  # dead on purpose: not to be started again
    _arms: int = 0

    # -- workers

    def start(self, instance: str, *, wait: bool = True, **environment: str) -> None:
        """Start a worker, plain unless its environment says otherwise."""
        module = "tests.chaos.worker_main" if self.common or environment else "monitor"
        self._resting.discard(instance)
        self.ward.start(instance, module=module, PYTHONPATH=str(_ROOT), **self.common, **environment)
        if wait:
            self.wait_ready(instance)

    def arm(self, instance: str, point: str, nth: int = 1, *, wait: bool = False, stop: bool = False) -> Path:
        """Start a worker that dies (or stops itself) at the n-th passage of an instant; return where it marks that."""
        self._arms += 1
        marker = self.ward.folder / f"{instance}-{self._arms}.hit"
        variable = "CHAOS_STOP" if stop else "CHAOS_CRASH"
        if not stop:
            self._resting.add(instance)
        environment = {variable: f"{point}:{nth}", "CHAOS_MARKER": str(marker)}
        self.ward.start(instance, module="tests.chaos.worker_main", PYTHONPATH=str(_ROOT), **self.common, **environment)
        if wait:
            self.wait_ready(instance)
        return marker

    def await_crash(self, instance: str, marker: Path, what: str, seconds: float = _START_SECONDS) -> None:
        """Wait until an armed worker has died at its instant, and note it; it stays dead until it is started."""
        process = self.ward.workers[instance]
        until(
            self._tending(lambda: process.poll() is not None), seconds=seconds, what=f"{what}: {self._tail(instance)}"
        )
        hit = marker.exists() and process.returncode == -signal.SIGKILL
        self.faults.append(Fault(what, self.pending(), hit, killed=hit))

    def kill(self, instance: str, what: str = "SIGKILL") -> None:
        """SIGKILL a worker, and note what was pending; it stays dead until it is started."""
        self._resting.add(instance)
        alive = self.ward.workers[instance].poll() is None
        self.ward.kill(instance)
        self.faults.append(Fault(what, self.pending(), hit=alive, killed=alive))

    def note(self, what: str, *, hit: bool = True) -> None:
        """Note a fault of another kind."""
        self.faults.append(Fault(what, self.pending(), hit))

    def stop(self, instance: str) -> None:
        """SIGTERM a worker without waiting for its end; it stays dead until it is started."""
        self._resting.add(instance)
        self.signal(instance, signal.SIGTERM)

    def terminate(self, instance: str, seconds: float = 20.0) -> int:
        """SIGTERM a worker and return its exit code; it stays dead until it is started."""
        self.stop(instance)
        return self.ward.workers[instance].wait(seconds)

    def signal(self, instance: str, number: signal.Signals) -> None:
        """Send a worker a signal."""
        self.ward.workers[instance].send_signal(number)

    def refused(self, instance: str, **environment: str) -> tuple[int, str]:
        """Start a worker that should not come up; return its exit code and the last line that it wrote."""
        self._resting.add(instance)
        self.ward.start(instance, **environment)
        code = self.ward.workers[instance].wait(_START_SECONDS)
        lines = self.ward.log(instance).strip().splitlines()
        return code, lines[-1] if lines else ""

    def tend(self) -> None:
        """Start workers again that ended with a code for which a supervisor does so."""
        for instance, process in list(self.ward.workers.items()):
            code = process.poll()
            if code is None or instance in self._resting:
                continue
            assert code in _RESTARTED, f"{instance} ended with {code}: {self._tail(instance)}"
            self.exits.append(code)
            self.start(instance, wait=False)

    def _tending(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        def asked() -> bool:
            self.tend()
            return condition()

        return asked

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition, and start again whoever ends meanwhile."""
        until(self._tending(condition), seconds=seconds, what=what)

    def wait_ready(self, instance: str, seconds: float = _START_SECONDS) -> None:
        """Wait until the worker's /readyz says so, whatever happens to it on the way."""
        until(
            self._tending(lambda: self.ready(instance)),
            seconds=seconds,
            what=f"{instance} ready: {self._tail(instance)}",
        )

    def ready(self, instance: str) -> bool:
        """Tell whether /readyz answers 200."""
        return self._get(instance, "readyz") is not None

    def _get(self, instance: str, page: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ward.ports[instance]}/{page}", timeout=2) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def counter(self, instance: str, name: str) -> float:
        """Return a sample of a worker's /metrics, summed over its labels; 0 where it does not answer."""
        page = self._get(instance, "metrics") or ""
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == f"sepsis_monitor_{name}"
        )

    def _tail(self, instance: str) -> str:
        return self.ward.log(instance)[-1500:]

    # -- progress

    def pending(self) -> int:
        """Return how many records of the logs no commit covers; -1 where the broker cannot say."""
        try:
            with self.ward.positions() as positions:
                ends = positions.end_offsets(self.ward.topics.observations)
                return sum(ends.values()) - sum(positions.committed(self.ward.topics.observations).values())
        except (KafkaError, Failure):
            return -1

    def committed(self) -> int:
        """Return how many records of the logs commits cover; -1 where the broker cannot say."""
        try:
            return self.ward.committed()
        except (KafkaError, Failure):
            return -1

    def flowing(self, records: int = 200, seconds: float = 60.0) -> None:
        """Wait until so many more records are committed."""
        begin = max(0, self.committed())
        self.until(lambda: self.committed() >= begin + records, seconds, f"{records} records worked off{self._tails()}")

    def _tails(self) -> str:
        return "".join(f"\n{name}: {self._tail(name)}" for name in self.ward.workers)

    def await_appended(self, seconds: float = 60.0) -> None:
        """Wait until all admission events that were sent stand in their logs."""
        self.feed.flush()
        with self.ward.positions() as positions:
            ends = positions.end_offsets(self.ward.topics.admissions)
        self._await_commits(self.ward.topics.admissions, ends, seconds)

    def await_worked_off(self, seconds: float = 60.0) -> None:
        """Wait until everything is worked off that stands in the logs now."""
        self.feed.flush()
        with self.ward.positions() as positions:
            ends = positions.end_offsets(self.ward.topics.observations)
        self._await_commits(self.ward.topics.observations, ends, seconds)

    def _await_commits(self, topic: str, ends: Mapping[int, int], seconds: float) -> None:
        def reached() -> bool:
            with self.ward.positions() as positions:
                return positions.reached(topic, ends)

        self.until(reached, seconds, f"{topic} worked off{self._tails()}")

    def pause(self, least: float, most: float) -> None:
        """Let time pass that the seed chooses: when a fault comes is part of the scenario, nothing waits for it."""
        end = time.monotonic() + self.random.uniform(least, most)
        while time.monotonic() < end:
            self.tend()
            threading.Event().wait(max(0.0, min(0.05, end - time.monotonic())))

    def settle(self) -> None:
        """Stop staff and feed, start whoever is dead, wait until all is worked off, and end the workers in order."""
        self.staff.stop()
        self.feed.stop()
        for instance in sorted(self._resting):
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may be on its way out still
                self.ward.workers[instance].wait(15)
            self.start(instance, wait=False)
        while not self._worked_off():  # however long, as long as it goes on
            self._await_progress()
        ready = self._tending(lambda: all(self.ready(instance) for instance in self.ward.workers))
        self._demand(ready, "a worker was not ready at the end")
        self.replayed += sum(self.counter(instance, "records_replayed_total") for instance in self.ward.workers)
        for instance in self.ward.workers:
            try:
                code = self.terminate(instance)
            except subprocess.TimeoutExpired:
                code = self._where_it_hangs(instance)
            if code != 0:
                self.problems.append(f"{instance} ended with {code}: {self._tail(instance)}")

    def _await_progress(self) -> None:
        before = self.committed()
        self.until(
            lambda: self._worked_off() or self.committed() > before,
            _STILL_SECONDS,
            f"progress at the end{self._tails()}",
        )

    def _where_it_hangs(self, instance: str) -> int:
        """End a worker that does not end; one with a fault in it writes its threads' stacks into its log first."""
        self.signal(instance, signal.SIGUSR1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.ward.workers[instance].wait(2)
        self.ward.kill(instance)
        return self.ward.workers[instance].returncode

    def _demand(self, condition: Callable[[], bool], what: str) -> None:
        try:
            until(condition, seconds=60)
        except AssertionError:
            self.problems.append(what + self._tails())

    def _worked_off(self) -> bool:
        try:
            with self.ward.positions() as positions:
                return all(
                    positions.reached(topic, positions.end_offsets(topic))
                    for topic in (
                        self.ward.topics.admissions,
                        self.ward.topics.alert_commands,
                        self.ward.topics.observations,
                    )
                )
        except (KafkaError, Failure):
            return False

    # -- what is left

    @property
    def changelog(self) -> str:
        """Name of the topic of state records."""
        return f"{self.ward.topics.prefix}{self.ward.settings.worker.group}-patients-changelog"

    def partition(self, key: bytes) -> int:
        """Return the partition of a patient."""
        return int((murmur2(key) & 0x7FFFFFFF) % PARTITIONS)

    def put_states(self, records: Sequence[tuple[int, bytes, bytes]]) -> list[tuple[int, int]]:
        """Write records (partition, key, state) into the changelog ourselves; return where they stand."""
        with self.ward.producer() as producer:
            sent = [producer.send(self.changelog, key=key, value=state, partition=at) for at, key, state in records]
            producer.flush()
            return [(item.get(10).partition, item.get(10).offset) for item in sent]

    def evidence(self) -> Evidence:
        """Read what the broker kept, once the subscriber has read it too."""
        topics = self.ward.topics
        alerts = read_topic(self.ward.bootstrap, topics.alert_events)
        until(lambda: self.subscriber.has(len(alerts)), seconds=30, what="the subscriber at the end")
        return Evidence(
            log=self._taken(read_topic(self.ward.bootstrap, topics.observations)),
            alerts=alerts,
            alert_state=read_topic(self.ward.bootstrap, topics.alert_state),
            scores=read_topic(self.ward.bootstrap, topics.scores),
            rejected=read_topic(self.ward.bootstrap, topics.rejected),
            changelog=read_topic(self.ward.bootstrap, self.changelog),
            noted=list(self.feed.noted),
            seen=list(self.subscriber.seen),
        )

    def _taken(self, log: Sequence[Record]) -> list[Record]:
        """Leave out what a clock appended when the workers were about to stop: it is the next ones' to act on."""
        with self.ward.positions() as positions:
            committed = positions.committed(self.ward.topics.observations)
        return [r for r in log if r.offset < committed.get(r.partition, 0) or not _from_a_clock(r)]


def _from_a_clock(record: Record) -> bool:
    return (dict(record.headers).get("ce_type") or b"").startswith(CLOCK_TYPE.rpartition(".")[0].encode())


@contextmanager
def open_chaos_ward(  # noqa: PLR0917 (what a ward is made of)
    bootstrap: str,
    folder: Path,
    seed: int,
    rate: float = 200.0,
    spoiling: Spoiling | None = None,
    instances: Sequence[str] = ("worker-1", "worker-2"),
    common: Mapping[str, str] | None = None,
    block: int = BLOCK_STAYS,
    **settings: str,
) -> Iterator[ChaosWard]:
    """Make a ward with topics of its own, a subscriber and a feed that is not started yet; start the workers.

    `common` is the environment of every worker that is started, for redirection and mutants.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open_ward(bootstrap, folder, **settings) as ward:
        feed = Feed(bootstrap, ward.topics, seed, rate, spoiling, block)
        subscriber = Subscriber(bootstrap, ward.topics.alert_events, PARTITIONS)
        staff = Staff(subscriber, feed, ward.topics.alert_commands, seed)
        chaos = ChaosWard(ward, feed, subscriber, staff, random.Random(seed))  # noqa: S311 (a scenario, no secret)
        chaos.common.update(common or {})
        subscriber.start()
        staff.start()
        try:
            for instance in instances:
                chaos.start(instance, wait=False)
            for instance in instances:
                chaos.wait_ready(instance)
            yield chaos
        finally:
            staff.stop()
            subscriber.stop()
            feed.abandon()
