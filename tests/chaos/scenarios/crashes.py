"""Workers that die: at named instants, at random, in bursts, while they start and while they stop."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.crash_points import CRASH_POINTS
from tests.chaos.feed import Spoiling
from tests.chaos.proxy import PRODUCE, Proxy
from tests.chaos.refusals import Asked
from tests.chaos.stage import Stage, scenario

__all__ = ["crash_points", "every_point", "kills", "slow_alerts"]

_ELSEWHERE = {"swapping"}  # in the scenario of models that change
_BURST = 30
_HELD_SECONDS = 1.0


def every_point(chaos: ChaosWard, most_passages: int) -> None:
    """Let both workers die at one instant after the other, side by side; the restart after one is armed for the next.

    Begins with a rebalance that the first worker does not survive: the second one joins.
    """
    marker = chaos.arm("worker-1", "rebalancing", 2, wait=True)
    chaos.start("worker-2", wait=False)
    chaos.await_crash("worker-1", marker, "rebalancing (revoked)")
    points = [point for point in CRASH_POINTS if point not in _ELSEWHERE]
    chaos.random.shuffle(points)
    chaos.kill("worker-2")
    for pair in (points[at : at + 2] for at in range(0, len(points), 2)):
        markers: list[tuple[str, str, Path]] = []
        for instance, point in zip(("worker-1", "worker-2"), pair, strict=False):
            nth = 1 if point in {"recovering", "rebalancing"} else chaos.random.randint(1, most_passages)
            markers.append((instance, point, chaos.arm(instance, point, nth)))
        for instance, point, marker in markers:
            if point == "stopping":
                chaos.wait_ready(instance)
                chaos.flowing(20)
                chaos.stop(instance)
            chaos.await_crash(instance, marker, point)


@scenario("crash-points")
def crash_points(stage: Stage) -> None:
    """Every instant, with a fast broker."""
    with stage.ward(spoiling=Spoiling(poison=0.02), instances=()) as chaos:
        every_point(chaos, 3)


def slow_alerts(asked: Asked) -> float:
    """Hold what carries alert events."""
    return _HELD_SECONDS if asked.api == PRODUCE and asked.names("alerts.events.v1") else 0.0


@scenario("crash-points-slow-alerts")
def crash_points_slow(stage: Stage) -> None:
    """Every instant, with alerts that the broker gets late: a state written before its alerts would be found."""
    with Proxy(stage.grounds.bootstrap) as proxy:
        proxy.hold = slow_alerts
        with stage.ward(rate=50.0, spoiling=Spoiling(poison=0.05), instances=(), proxies=[proxy]) as chaos:
            every_point(chaos, 2)
            proxy.hold = lambda asked: 0.0
        stage.empty_unless(proxy.held > 0, "nothing was held back")


@scenario("kills-slow-alerts")
def kills_slow(stage: Stage) -> None:
    """Random SIGKILLs with alerts that the broker gets late."""
    with Proxy(stage.grounds.bootstrap) as proxy:
        proxy.hold = slow_alerts
        with stage.ward(rate=60.0, proxies=[proxy]) as chaos:
            random_kills(chaos, 4)
            proxy.hold = lambda asked: 0.0
        stage.empty_unless(proxy.held > 0, "nothing was held back")


def random_kills(chaos: ChaosWard, count: int) -> None:
    """SIGKILL either worker at random moments."""
    for _ in range(count):
        instance = chaos.random.choice(["worker-1", "worker-2"])
        chaos.pause(0.3, 2.0)
        chaos.kill(instance)
        chaos.start(instance)


@scenario("kills")
def kills(stage: Stage) -> None:
    """Five random SIGKILLs."""
    with stage.ward() as chaos:
        random_kills(chaos, 5)


@scenario("burst", most_rounds=4)
def burst(stage: Stage) -> None:
    """Thirty SIGKILLs a breath apart, whatever the worker is at; then peace."""
    with stage.ward() as chaos:
        chaos.flowing(200)
        for _ in range(_BURST):
            instance = chaos.random.choice(["worker-1", "worker-2"])
            chaos.kill(instance)
            chaos.start(instance, wait=False)
            chaos.pause(0.1, 1.0)
        for instance in ("worker-1", "worker-2"):
            chaos.wait_ready(instance, 60)


@scenario("kill-in-recovery", most_rounds=5)
def kill_in_recovery(stage: Stage) -> None:
    """Three deaths in a row half-way through recovery."""
    with stage.ward() as chaos:
        chaos.flowing(600)
        chaos.kill("worker-1")
        for nth in (1, 2, 1):
            marker = chaos.arm("worker-1", "recovering", nth)
            chaos.await_crash("worker-1", marker, "recovering")


@scenario("kill-in-stop", most_rounds=5)
def kill_in_stop(stage: Stage) -> None:
    """Deaths at the beginning of a graceful stop and after its last commit was sent."""
    with stage.ward(replays=False) as chaos:
        chaos.kill("worker-1")
        for nth in (1, 2):
            marker = chaos.arm("worker-1", "stopping", nth, wait=True)
            chaos.flowing(200)
            chaos.stop("worker-1")
            chaos.await_crash("worker-1", marker, "stopping")


@scenario("sigterm-mid-batch", most_rounds=5)
def sigterm_mid_batch(stage: Stage) -> None:
    """SIGTERM while records come in: a clean end, exit code 0, and nothing is done twice."""
    with stage.ward(rate=200.0, replays=False) as chaos:
        for _ in range(3):
            instance = chaos.random.choice(["worker-1", "worker-2"])
            chaos.flowing(200)
            chaos.pause(0.0, 0.5)
            code = chaos.terminate(instance)
            chaos.note("SIGTERM", hit=code == 0)
            chaos.start(instance)
    stage.demand(stage.result.duplicates == 0, "changed-alert", "a clean stop made duplicates")
