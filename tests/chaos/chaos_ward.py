"""A ward under faults: how far its workers have come, how it comes to rest, and what they leave behind."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from confluent_kafka import KafkaException
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2

from agents.messages import CLOCK_TYPE
from agents.topics import TopicSpec, topic_specs
from monitor import clients
from monitor.errors import Failure
from monitor.positions import GroupPositions
from monitor.topic_admin import create_topics
from tests.chaos.asking import PlainPositions, Positions
from tests.chaos.crew import Crew
from tests.chaos.evidence import Evidence, Record, read_topic
from tests.chaos.feed import BLOCK_STAYS, Feed, Spoiling
from tests.chaos.mock_cluster import ONE_AT_A_TIME, MockCluster
from tests.chaos.staff import Staff
from tests.chaos.subscriber import Subscriber
from tests.e2e.ward import PARTITIONS, Ward, open_bare_ward
from tests.waiting import until

__all__ = ["ChaosWard", "open_chaos_ward"]

_STILL_SECONDS = 150.0  # a worker that gets nothing more ends after 80 s and begins again: that is progress, too
_DAY_MS = 86_400_000
_UNANSWERED = (KafkaError, KafkaException, Failure)


@dataclass(kw_only=True)
class ChaosWard(Crew):
    """One deployment under faults; use `open_chaos_ward`."""

    feed: Feed
    subscriber: Subscriber
    staff: Staff
    replayed: float = 0.0
    problems: list[str] = field(default_factory=list)  # of the end: told once the judge has spoken
    administered: bool = True  # the broker understands an administration client
    seeded: dict[bytes, bytes] = field(default_factory=dict)  # the only states that patients had, written by the suite
    injected: set[tuple[int, int]] = field(default_factory=set)  # where what the suite wrote stands in the changelog
    _asking: ExitStack = field(default_factory=ExitStack)
    _positions: Positions | None = None

    # -- progress

    @contextmanager
    def positions(self) -> Iterator[Positions]:
        """Give the group's positions, through a connection that is kept until something goes wrong with it."""
        if self._positions is None:
            self._positions = self._ask()
        try:
            yield self._positions
        except BaseException:
            self.hang_up()
            raise

    def _ask(self) -> Positions:
        group = self.ward.settings.worker.group
        if not self.administered:
            positions = PlainPositions(self.ward.bootstrap, group)
            self._asking.callback(positions.close)
            return positions
        admin = clients.admin(self.ward.settings.kafka, self.ward.bootstrap)
        self._asking.callback(admin.close)
        return GroupPositions(admin, group)

    def hang_up(self) -> None:
        """Close the connection that is kept for questions."""
        self._positions = None
        with contextlib.suppress(KafkaError):
            self._asking.close()

    def pending(self) -> int:
        """Return how many records of the logs no commit covers; -1 where the broker cannot say."""
        try:
            with self.positions() as positions:
                ends = positions.end_offsets(self.ward.topics.observations)
                return sum(ends.values()) - sum(positions.committed(self.ward.topics.observations).values())
        except _UNANSWERED:
            return -1

    def committed(self) -> int:
        """Return how many records of the logs commits cover; -1 where the broker cannot say."""
        try:
            with self.positions() as positions:
                return sum(positions.committed(self.ward.topics.observations).values())
        except _UNANSWERED:
            return -1

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let feed and staff pause meanwhile, all that they have sent being worked off."""
        self.feed.hold()
        self.staff.resting = True
        self.await_worked_off()
        yield
        self.staff.resting = False
        self.feed.go_on()

    def written(self, topic: str) -> int:
        """Return how many records were ever written into a topic."""
        with self.positions() as positions:
            return sum(positions.end_offsets(topic).values())

    def flowing(self, records: int = 200, seconds: float = 60.0) -> None:
        """Wait until so many more records are committed."""
        begin = -1

        def answered() -> bool:
            nonlocal begin
            begin = self.committed()
            return begin >= 0

        self.until(answered, seconds, f"an answer of the broker{self._tails()}")
        self.until(lambda: self.committed() >= begin + records, seconds, f"{records} records worked off{self._tails()}")

    def _tails(self) -> str:
        return "".join(f"\n{name}: {self._tail(name)}" for name in self.ward.workers)

    def await_appended(self, seconds: float = 60.0) -> None:
        """Wait until all admission events that were sent stand in their logs."""
        self.feed.flush()
        with self.positions() as positions:
            ends = positions.end_offsets(self.ward.topics.admissions)
        self._await_commits(self.ward.topics.admissions, ends, seconds)

    def await_worked_off(self, seconds: float = 60.0) -> None:
        """Wait until everything is worked off that stands in the logs now."""
        self.feed.flush()
        with self.positions() as positions:
            ends = positions.end_offsets(self.ward.topics.observations)
        self._await_commits(self.ward.topics.observations, ends, seconds)

    def _await_commits(self, topic: str, ends: Mapping[int, int], seconds: float) -> None:
        def reached() -> bool:
            with self.positions() as positions:
                return positions.reached(topic, ends)

        self.until(reached, seconds, f"{topic} worked off{self._tails()}")

    def settle(self) -> None:
        """Stop staff and feed, start whoever is dead, wait until all is worked off, and end the workers in order."""
        self.staff.stop()
        self.feed.stop()
        for instance in sorted(self._resting):
            self.await_end(instance)
            self.start(instance, wait=False)
        while not self._worked_off():  # however long, as long as it goes on
            self._await_progress()
        ready = self._tending(lambda: all(self.ready(instance) for instance in self.ward.workers))
        self._demand(ready, "a worker was not ready at the end")
        self.replayed += self.replays()
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
        return self.ward.workers[instance].wait()

    def _demand(self, condition: Callable[[], bool], what: str) -> None:
        try:
            until(condition, seconds=60)
        except AssertionError:
            self.problems.append(what + self._tails())

    def _worked_off(self) -> bool:
        try:
            with self.positions() as positions:
                return all(
                    positions.reached(topic, positions.end_offsets(topic))
                    for topic in (
                        self.ward.topics.admissions,
                        self.ward.topics.alert_commands,
                        self.ward.topics.observations,
                    )
                )
        except _UNANSWERED:
            return False

    # -- what is left

    @property
    def changelog(self) -> str:
        """Name of the topic of state records."""
        return f"{self.ward.topics.prefix}{self.ward.settings.worker.group}-patients-changelog"

    def partition(self, key: bytes) -> int:
        """Return the partition of a patient."""
        return int((murmur2(key) & 0x7FFFFFFF) % PARTITIONS)

    def put_states(self, records: Sequence[tuple[int, bytes, bytes | None]]) -> None:
        """Write records (partition, key, state or deletion) into the changelog; the judge passes over them."""
        with self.ward.producer() as producer:
            sent = [producer.send(self.changelog, key=key, value=state, partition=at) for at, key, state in records]
            producer.flush()
            self.injected.update((item.get(10).partition, item.get(10).offset) for item in sent)

    def seed_states(self, made: Mapping[bytes, bytes]) -> None:
        """Write the states of patients who have no others; the reference begins with them too."""
        self.seeded.update(made)
        self.put_states([(self.partition(key), key, state) for key, state in made.items()])

    def one_in_each_partition(self, name: str) -> list[bytes]:
        """Return patients by that name, one for each partition."""
        found: dict[int, bytes] = {}
        for number in itertools.count():
            key = f"{name}-{number}".encode()
            found.setdefault(self.partition(key), key)
            if len(found) == PARTITIONS:
                return list(found.values())
        raise AssertionError

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
            seeded=dict(self.seeded),
            injected=frozenset(self.injected),
        )

    def _taken(self, log: Sequence[Record]) -> list[Record]:
        """Leave out what a clock appended when the workers were about to stop: it is the next ones' to act on."""
        with self.positions() as positions:
            committed = positions.committed(self.ward.topics.observations)
        return [r for r in log if r.offset < committed.get(r.partition, 0) or not _from_a_clock(r)]


def _from_a_clock(record: Record) -> bool:
    return (dict(record.headers).get("ce_type") or b"").startswith(CLOCK_TYPE.rpartition(".")[0].encode())


def _kept_whole(spec: TopicSpec) -> TopicSpec:
    """Let nothing that is told be compacted while a ward lasts: each score is evidence."""
    if spec.config.get("cleanup.policy") != "compact":
        return spec
    longest = {"min.compaction.lag.ms": str(_DAY_MS), "max.compaction.lag.ms": str(2 * _DAY_MS)}
    return replace(spec, config={**spec.config, **longest})


def _make_topics(ward: Ward, mock: MockCluster | None) -> None:
    specs = [_kept_whole(spec) for spec in topic_specs(ward.topics)]
    if mock is None:
        create_topics(ward.bootstrap, ward.settings, specs)
    else:
        changelog = f"{ward.topics.prefix}{ward.settings.worker.group}-patients-changelog"
        mock.make_topics([spec.name for spec in specs if spec.partitions is None] + [changelog], PARTITIONS)
        for spec in specs:
            if spec.partitions is not None:
                mock.make_topics([spec.name], spec.partitions)


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
    mock: MockCluster | None = None,
    **settings: str,
) -> Iterator[ChaosWard]:
    """Make a ward with topics of its own, a subscriber and a feed that is not started yet; start the workers.

    `common` is the environment of every worker that is started, for redirection and mutants. A mock cluster makes its
    own topics.
    """
    folder.mkdir(parents=True, exist_ok=True)

    with open_bare_ward(bootstrap, folder, settings) as ward:
        _make_topics(ward, mock)
        feed = Feed(bootstrap, ward.topics, seed, rate, spoiling, block, **(ONE_AT_A_TIME if mock else {}))
        subscriber = Subscriber(bootstrap, ward.topics.alert_events, PARTITIONS)
        staff = Staff(subscriber, feed, ward.topics.alert_commands, seed)
        chaos = ChaosWard(
            ward=ward,
            feed=feed,
            subscriber=subscriber,
            staff=staff,
            random=random.Random(seed),  # noqa: S311 (a scenario, no secret)
            administered=mock is None,
        )
        chaos.common.update({**(common or {}), **({"CHAOS_TOPICS_THERE": "1"} if mock else {})})
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
            chaos.hang_up()
