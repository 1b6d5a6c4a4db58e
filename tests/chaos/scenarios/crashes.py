"""Workers that die: at named instants, at random, in bursts, while they start and while they stop."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.crash_points import CRASH_POINTS
from tests.chaos.feed import Spoiling
from tests.chaos.people import observe
from tests.chaos.proxy import PRODUCE, Proxy
from tests.chaos.refusals import Asked
from tests.chaos.stage import Stage, scenario

__all__ = ["POINTS", "crash_points", "die_at", "kills", "slow_alerts", "third_of"]

_REVOKED = "rebalancing (revoked)"  # the same instant as `rebalancing`, when a partition is taken away
_SWAPPING = "swapping"
POINTS = (_REVOKED, *CRASH_POINTS)
_THIRDS = 3
_HOURS = 3  # of patients with a damaged state
# The first passage is the one to die at. How a stop ends is for `kill-in-stop`: here the other worker has died a moment
# ago, and where the rebalance after it begins within the stop, the worker ends by itself (exit code 75).
_AT_ONCE = {_REVOKED, "recovering", "rebalancing", "stopping"}
_BURST = 30
_ANYWHERE = ("kafka", "cluster", "embedded", "foreign")  # by default on the first of them
_HELD_SECONDS = 1.0
_UNUSABLE = b"\xff" * 100  # of a state: whoever has no other is read anew from the log
_FEW = 30  # stays side by side: new ones are admitted all the time


def _points(stage: Stage) -> Sequence[str]:
    """Return the instants that can be had on this broker: the embedded one lets no third worker come and go."""
    return [point for point in POINTS if point != _REVOKED or stage.grounds.engine != "embedded"]


def third_of(points: Sequence[str], seed: int) -> list[str]:
    """Return a third of the instants, chosen by the seed: seeds 3n, 3n + 1 and 3n + 2 have them all between them."""
    mixed = random.Random(seed // _THIRDS).sample(points, len(points))  # noqa: S311 (a scenario, no secret)
    return mixed[seed % _THIRDS :: _THIRDS]


def die_at(chaos: ChaosWard, points: Sequence[str], most_passages: int) -> None:
    """Let both workers die at one instant after the other, side by side; the restart after one is armed for the next.

    Begins with a rebalance that the first one does not survive, and with states that it has to carry over, where these
    are asked for.
    """
    if _REVOKED in points:
        _die_revoked(chaos)
    for instance in ("worker-1", "worker-2"):
        if chaos.alive(instance):
            chaos.kill(instance)
    if _SWAPPING in points:
        _die_swapping(chaos)
    points = [point for point in points if point not in {_REVOKED, _SWAPPING}]
    for pair in (points[at : at + 2] for at in range(0, len(points), 2)):
        markers: list[tuple[str, str, Path]] = []
        for instance, point in zip(("worker-1", "worker-2"), pair, strict=False):
            nth = 1 if point in _AT_ONCE else chaos.random.randint(1, most_passages)
            markers.append((instance, point, chaos.arm(instance, point, nth)))
        for instance, point, marker in markers:
            if point == "stopping":
                chaos.wait_ready(instance)
                chaos.flowing(20)
                chaos.stop(instance)
            chaos.await_crash(instance, marker, point)


def _die_revoked(chaos: ChaosWard) -> None:
    """Kill the first worker in the callback in which it gives partitions up, because another one comes."""
    if "worker-1" in chaos.ward.workers:
        chaos.kill("worker-1")
    marker = chaos.arm("worker-1", "rebalancing", 2, wait=True)  # the first passage is its own coming
    newcomer = chaos.newcomer() if "worker-2" in chaos.ward.workers else "worker-2"
    chaos.start(newcomer, wait=False)
    chaos.await_crash("worker-1", marker, _REVOKED)
    if newcomer != "worker-2":
        chaos.kill(newcomer)
        chaos.dismiss(newcomer)


def _die_swapping(chaos: ChaosWard) -> None:
    """Kill the first worker, the only one, when it has made states anew that nobody could use, and sent none of them.

    It does the same for a state of another model, which all patients would have at once; so a few have a damaged one.
    """
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=_HOURS + 1)
    patients = chaos.one_in_each_partition(f"unusable-{len(chaos.faults)}")
    chaos.seed_states(dict.fromkeys(patients, _UNUSABLE))
    marker = chaos.arm("worker-1", _SWAPPING)
    for patient in patients:
        observe(chaos, patient.decode(), begin, _HOURS)
    chaos.await_crash("worker-1", marker, _SWAPPING)


@scenario("crash-points", engines=_ANYWHERE)
def crash_points(stage: Stage) -> None:
    """Die at a third of the instants in each round, with a fast broker."""
    with stage.ward(spoiling=Spoiling(poison=0.05), block=_FEW) as chaos:
        for _ in stage.rounds(chaos):
            die_at(chaos, third_of(_points(stage), stage.seed), 3)


def slow_alerts(asked: Asked) -> float:
    """Hold what carries alert events."""
    return _HELD_SECONDS if asked.api == PRODUCE and asked.names("alerts.events.v1") else 0.0


@scenario("crash-points-slow-alerts", engines=_ANYWHERE)
def crash_points_slow(stage: Stage) -> None:
    """Do the same with alerts that the broker gets late: a state written before its alerts would be found."""
    with (
        stage.proxies() as proxies,
        stage.ward(rate=50.0, spoiling=Spoiling(poison=0.05), block=_FEW, proxies=proxies) as chaos,
    ):
        for _ in stage.rounds(chaos):
            with _slow_alerts(stage, chaos, proxies):
                die_at(chaos, third_of(_points(stage), stage.seed), 2)


@contextmanager
def _slow_alerts(stage: Stage, chaos: ChaosWard, proxies: Sequence[Proxy]) -> Iterator[None]:
    """Hold alert events back meanwhile, and begin with one that is held; without any the round is empty."""
    for proxy in proxies:
        proxy.held, proxy.hold = 0, slow_alerts
    chaos.seen(lambda: any(proxy.held for proxy in proxies), 60)
    yield
    for proxy in proxies:
        proxy.hold = lambda asked: 0.0
    stage.empty_unless(any(proxy.held for proxy in proxies), "nothing was held back")


@scenario("kills-slow-alerts")
def kills_slow(stage: Stage) -> None:
    """Four random SIGKILLs with alerts that the broker gets late."""
    with Proxy(stage.only_broker()) as proxy, stage.ward(rate=60.0, proxies=[proxy]) as chaos:
        for _ in stage.rounds(chaos):
            with _slow_alerts(stage, chaos, [proxy]):
                random_kills(chaos, 4)


def random_kills(chaos: ChaosWard, count: int) -> None:
    """SIGKILL either worker at random moments."""
    for _ in range(count):
        instance = chaos.random.choice(["worker-1", "worker-2"])
        chaos.pause(0.3, 2.0)
        chaos.kill(instance)
        chaos.start(instance)


@scenario("kills", engines=_ANYWHERE)
def kills(stage: Stage) -> None:
    """Five random SIGKILLs."""
    with stage.ward() as chaos:
        for _ in stage.rounds(chaos):
            random_kills(chaos, 5)


@scenario("burst", most_rounds=5, engines=_ANYWHERE)
def burst(stage: Stage) -> None:
    """Thirty SIGKILLs a breath apart, whatever the worker is at; then peace."""
    with stage.ward() as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(100)
            for _ in range(_BURST):
                instance = chaos.random.choice(["worker-1", "worker-2"])
                chaos.kill(instance)
                chaos.start(instance, wait=False)
                chaos.pause(0.1, 1.0)
            for instance in ("worker-1", "worker-2"):
                chaos.wait_ready(instance, 60)


@scenario("kill-in-recovery", engines=_ANYWHERE)
def kill_in_recovery(stage: Stage) -> None:
    """Three deaths in a row half-way through recovery."""
    with stage.ward() as chaos:
        chaos.flowing(400)
        for _ in stage.rounds(chaos):
            chaos.kill_uncommitted("worker-1")
            for nth in (1, 2, 1):
                marker = chaos.arm("worker-1", "recovering", nth)
                chaos.await_crash("worker-1", marker, "recovering")


@scenario("kill-in-stop")
def kill_in_stop(stage: Stage) -> None:
    """Deaths at the beginning of a graceful stop and after its last commit was sent."""
    # The stop follows a commit at once: luck decides whether anything was stored in between, and not committed.
    with stage.ward(replays=None) as chaos:
        for _ in stage.rounds(chaos):
            chaos.kill("worker-1")
            for nth in (1, 2):
                marker = chaos.arm("worker-1", "stopping", nth, wait=True)
                chaos.flowing(100)
                chaos.stop("worker-1")
                chaos.await_crash("worker-1", marker, "stopping")


@scenario("sigterm-mid-batch")
def sigterm_mid_batch(stage: Stage) -> None:
    """SIGTERM while records come in: a clean end, exit code 0, and nothing is done twice."""
    with stage.ward(rate=200.0, replays=False) as chaos:  # nothing is to be done twice
        for _ in stage.rounds(chaos):
            for _ in range(2):
                instance = chaos.random.choice(["worker-1", "worker-2"])
                chaos.flowing(150)
                chaos.pause(0.0, 0.5)
                pending = chaos.pending()
                code = chaos.terminate(instance)
                chaos.note("SIGTERM", hit=code == 0, pending=pending)
                chaos.start(instance)
    stage.demand(stage.result.duplicates == 0, "changed-alert", "a clean stop made duplicates")
