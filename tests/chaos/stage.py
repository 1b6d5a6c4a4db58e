"""Where a scenario takes place, what it must show, and what came of it.

The rounds of a scenario share a ward: processes, topics and feed run on from one to the next, each does its harm with a
seed of its own and waits until work flows again, and one judgement at the end covers the whole log.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agents.topics import topic_specs
from tests.chaos.chaos_ward import ChaosWard, open_chaos_ward
from tests.chaos.cluster import NODES, Cluster
from tests.chaos.evidence import Evidence
from tests.chaos.feed import BLOCK_STAYS, Spoiling
from tests.chaos.judge import ANOMALIES, Verdict, judge
from tests.chaos.mock_cluster import MockCluster
from tests.chaos.oracle import Oracle, default_core
from tests.chaos.proxy import Proxy, broker_addresses, proxy_hides
from tests.e2e.ward import PARTITIONS

__all__ = ["COPIES", "SCENARIOS", "Broker", "Grounds", "Result", "Scenario", "Skipped", "Stage", "play", "scenario"]

_BETWEEN_ROUNDS = 60  # records that are worked off before the next one begins
_WARD_ROUNDS = 10
COPIES = "SEPSIS_MONITOR_TOPICS__REPLICATION_FACTOR"
_WHY_NOT = {  # what a scenario needs that a broker has not
    "embedded": "the embedded broker never expires a member, is one node, and forgets its producers when it stops",
    "foreign": "the cluster is not this suite's to stop, slow down or cut",
}
# What a reference must hold to prove anything: these come of the feed's population whatever the people answer.
_KINDS = frozenset({"sepsis_risk raised", "sepsis_risk resolved", "cannot_assess raised"})


class Broker(Protocol):
    """A broker that may be stopped and started; one node or several."""

    @property
    def bootstrap_servers(self) -> str: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> object: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Grounds:
    """The broker under which scenarios run. `broker` is None where it is somebody else's and must not be touched."""

    bootstrap: str
    folder: Path
    engine: str  # kafka, embedded, cluster, mock, foreign
    broker: Broker | None = None
    copies: int = 1  # of each partition of a ward's topics, where the environment does not say how many
    mutant: str | None = None
    judging: Callable[[], AbstractContextManager[object]] = nullcontext  # in which the judge works the log off


class Skipped(Exception):  # noqa: N818 (an outcome, no error)
    """The scenario cannot take place here; the message says why."""


@dataclass
class Result:
    """What came of one scenario, over all its rounds."""

    name: str
    seeds: list[int] = field(default_factory=list)
    faults: int = 0
    kills: int = 0
    pending: int = 0
    observations: int = 0
    alerts: int = 0
    duplicates: int = 0
    replays: int = 0
    replay_rounds: int = 0  # in which a worker was seen to read again what it had worked off
    by_luck: bool = False  # whether that happened was a matter of luck: asked of a whole run
    broker_lost: int = 0
    kinds: dict[str, int] = field(default_factory=dict)  # of alert events, in the references
    seconds: float = 0.0
    anomalies: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ANOMALIES, 0))
    demanded: dict[str, int] = field(default_factory=dict)  # of the anomalies those that the scenario itself names
    details: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)  # why a round proves nothing
    notes: list[str] = field(default_factory=list)
    skipped: str | None = None

    @property
    def failed(self) -> bool:
        """Tell whether something was found, or a round was empty."""
        return any(self.anomalies.values()) or bool(self.empty)


class Stage:
    """The rounds of one scenario that share a ward; `seed` is that of the round that runs."""

    def __init__(self, grounds: Grounds, result: Result, seeds: Sequence[int]) -> None:
        self.grounds, self.result, self.seeds = grounds, result, seeds
        self.seed = seeds[0]
        self._wards = 0
        self._faults = 0  # of the ward, before this round
        self.evidence: Evidence  # of the last ward that was judged

    @contextmanager
    def ward(  # noqa: PLR0917 (what a round is made of)
        self,
        rate: float = 100.0,
        spoiling: Spoiling | None = None,
        instances: Sequence[str] = ("worker-1", "worker-2"),
        proxies: Sequence[Proxy] = (),
        block: int = BLOCK_STAYS,
        kinds: frozenset[str] = _KINDS,
        replays: bool | None = True,
        oracle: Callable[[ChaosWard], Oracle] | None = None,
        amend: Callable[[Evidence], Evidence] = lambda evidence: evidence,
        **settings: str,
    ) -> Iterator[ChaosWard]:
        """Give a ward with its feed running; at the end let it settle, and judge it.

        `kinds` are what the reference must hold. `replays` tells whether work must have been done twice: True where
        that is certain, None where luck decides and only a whole run must show it, False where nothing leads to it.
        `oracle` and `amend` change reference and evidence where the scenario itself changed the rules. Without `rounds`
        inside it, all that happens is one round.
        """
        self._wards += 1
        self._faults = 0
        folder = self.grounds.folder / f"{self.result.name}-{self.seed}-{self._wards}"
        common = {"CHAOS_MUTANT": self.grounds.mutant} if self.grounds.mutant else {}
        if proxies:
            ports = (address.rpartition(":")[2] for address in self.grounds.bootstrap.split(","))
            rules = ",".join(f"{port}={proxy.port}" for port, proxy in zip(ports, proxies, strict=True))
            common["CHAOS_REDIRECT"] = rules
        settings = {COPIES: os.environ.get(COPIES, str(self.grounds.copies)), **settings}
        mock = self.grounds.broker if isinstance(self.grounds.broker, MockCluster) else None
        with open_chaos_ward(
            self.grounds.bootstrap, folder, self.seed, rate, spoiling, instances, common, block, mock, **settings
        ) as chaos:
            if isinstance(self.grounds.broker, Cluster) and int(settings[COPIES]) == NODES:
                self._await_copies(self.grounds.broker, chaos)
            chaos.feed.start()
            yield chaos
            self._close_round(chaos)
            chaos.settle()
            evidence = self.evidence = amend(chaos.evidence())
        made = oracle(chaos) if oracle else Oracle(default_core(PARTITIONS))
        with self.grounds.judging():
            reference = made.run(evidence.log, evidence.seeded)
        verdict = judge(evidence, reference)
        self._note(chaos, verdict, kinds, replays)

    @staticmethod
    def _await_copies(cluster: Cluster, chaos: ChaosWard) -> None:
        """See that each node has a copy of all that the ward writes: else losing one would prove nothing."""
        topics = [*(spec.name for spec in topic_specs(chaos.ward.topics)), chaos.changelog]
        chaos.until(lambda: cluster.whole(topics), 60, "a copy of every topic on every node")

    def rounds(self, chaos: ChaosWard) -> Iterator[int]:
        """Give the number of one round after the other; after each, start who is dead, and wait until work flows."""
        for number, seed in enumerate(self.seeds):
            self.seed = seed
            chaos.random.seed(seed)
            yield number
            chaos.revive()
            chaos.flowing(_BETWEEN_ROUNDS)
            self._close_round(chaos)

    def _close_round(self, chaos: ChaosWard) -> None:
        """Check that the round's faults took place, with work pending; once for each round."""
        if self.seed in self.result.seeds:
            return
        self.result.seeds.append(self.seed)
        faults = chaos.faults[self._faults :]
        self._faults = len(chaos.faults)
        self.empty_unless(bool(faults), "no fault was made")
        for fault in faults:
            self.empty_unless(fault.hit, f"{fault.what} did not hit")
        hits = [fault for fault in faults if fault.hit]
        pending = sum(max(0, fault.pending) for fault in hits)
        self.empty_unless(pending > 0, "no work was pending at any fault")
        again = chaos.replays()
        chaos.replayed += again
        self.result.replay_rounds += again > 0
        self.result.faults += len(hits)
        self.result.kills += sum(fault.killed for fault in hits)
        self.result.pending += pending

    def _note(self, chaos: ChaosWard, verdict: Verdict, kinds: frozenset[str], replays: bool | None) -> None:
        result = self.result
        work_twice = int(chaos.replayed) + verdict.duplicates + verdict.repeats
        result.kinds = dict(verdict.kinds + Counter(result.kinds))
        result.observations += verdict.observations
        result.alerts += verdict.alerts
        result.duplicates += verdict.duplicates
        result.replays += work_twice
        result.broker_lost += verdict.broker_lost
        result.notes += [f"{count:,} times: {what}" for what, count in sorted(chaos.remarks.items())]
        if verdict.overtaken:
            result.notes.append(f"{verdict.overtaken} overtaken last words, repeated by a suspended worker")
        for name, lines in verdict.found.items():
            result.anomalies[name] += len(lines)
            result.details += [f"seeds {self.seeds[0]}-{self.seed}: {name}: {line}" for line in lines[:3]]
        for problem in chaos.problems:
            self.empty_unless(False, problem)
        self.empty_unless(kinds <= verdict.kinds.keys(), f"the reference lacks {sorted(kinds - verdict.kinds.keys())}")
        if replays:
            self.empty_unless(work_twice > 0, "nothing was done twice")
        result.by_luck |= replays is None

    def empty_unless(self, shown: bool, what: str) -> None:
        """Let the round fail as empty where something that it stands on did not take place."""
        if not shown:
            self.result.empty.append(f"seed {self.seed}: {what}")

    def demand(self, holds: bool, name: str, what: str) -> None:
        """Note an anomaly of the scenario's own making unless something holds."""
        if not holds:
            self.result.anomalies[name] += 1
            self.result.demanded[name] = self.result.demanded.get(name, 0) + 1
            self.result.details.append(f"seed {self.seed}: {name}: {what}")

    def only_broker(self) -> str:
        """Return where the one broker listens, to be hidden behind a proxy; Skipped where there are several."""
        bootstrap = self.grounds.bootstrap
        if self.grounds.broker is None:
            why_not = proxy_hides(bootstrap, broker_addresses(bootstrap))
            if why_not:
                raise Skipped(why_not)
        return bootstrap

    @contextmanager
    def proxies(self) -> Iterator[list[Proxy]]:
        """Give a proxy for each node of the suite's own, else for the one broker; Skipped where none can hide it."""
        hidden = self.only_broker()
        with ExitStack() as stack:
            yield [stack.enter_context(Proxy(address)) for address in hidden.split(",")]

    def broker(self) -> Broker:
        """Return the broker, to be hurt; Skipped where it is somebody else's."""
        if self.grounds.broker is None:
            msg = "the cluster is not this suite's to stop"
            raise Skipped(msg)
        return self.grounds.broker


@dataclass(frozen=True)
class Scenario:
    """A named scenario: the most rounds that are worth their time, how many share a ward, and on which brokers."""

    name: str
    run: Callable[[Stage], None]
    most_rounds: int
    ward_rounds: int
    engines: frozenset[str]


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str,
    *,
    most_rounds: int = 1_000,
    ward_rounds: int = _WARD_ROUNDS,
    engines: Sequence[str] = ("kafka", "embedded", "foreign"),
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Enter a function into the list of scenarios."""

    def entered(run: Callable[[Stage], None]) -> Callable[[Stage], None]:
        SCENARIOS[name] = Scenario(name, run, most_rounds, ward_rounds, frozenset(engines))
        return run

    return entered


def play(entry: Scenario, grounds: Grounds, seeds: Sequence[int]) -> Result:
    """Run a scenario, a round a seed, and return what came of it; what fails in one ward does not stop the next."""
    result = Result(entry.name)
    begun = time.monotonic()
    rounds = seeds[: entry.most_rounds]
    for start in range(0, len(rounds), entry.ward_rounds):
        stage = Stage(grounds, result, rounds[start : start + entry.ward_rounds])
        try:
            if grounds.engine not in entry.engines:
                msg = _WHY_NOT.get(grounds.engine, f"takes place on {', '.join(sorted(entry.engines))}")
                raise Skipped(msg)
            entry.run(stage)
        except Skipped as skipped:
            result.skipped = str(skipped)
            break
        except Exception as error:  # noqa: BLE001 (the other scenarios still have something to say)
            result.empty.append(f"seed {stage.seed}: {type(error).__name__}: {error}")
            if stage.seed not in result.seeds:
                result.seeds.append(stage.seed)
    result.seconds = time.monotonic() - begun
    return result
