"""Brokers that go away, come back, answer with errors, and lose one of three."""

from __future__ import annotations

import time
from collections.abc import Callable

from monitor.brokers.apache import ApacheBroker
from monitor.brokers.probe import answers
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.cluster import Cluster, Node
from tests.chaos.proxy import HEARTBEAT, OFFSET_COMMIT, PRODUCE, Proxy
from tests.chaos.refusals import Asked
from tests.chaos.stage import Skipped, Stage, scenario
from tests.chaos.suspending import stands_still, suspended_process

__all__ = ["down", "request_errors"]

_SINGLE = ("kafka",)
# What brokers in trouble answer with, by what was asked: Kafka's error codes.
_ERRORS = {
    PRODUCE: (6, 7, 19, 20, 56),  # not leader, timed out, too few replicas (before and after the append), storage
    OFFSET_COMMIT: (14, 15, 16, 27),  # loading, no coordinator, not the coordinator, rebalance
    HEARTBEAT: (15, 16, 27),
}
_PATIENCE = 200.0
_SUSPENDED_SECONDS = (8.0, 30.0)  # a little longer than a session lasts, and much longer


def down(stage: Stage, seconds: float, *, kill: bool) -> None:
    """Take the broker away for so long, by SIGKILL or in order, while the feed goes on."""
    broker = stage.broker()
    back: list[float] = []
    with stage.ward(rate=120.0) as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(200)
            how = "SIGKILL" if kill else "SIGTERM"
            pending = chaos.pending()
            (broker.kill if kill else broker.stop)()
            hit = not answers(broker.bootstrap_servers)
            chaos.note(f"broker away for {seconds:.0f} s ({how})", hit=hit, pending=pending)
            chaos.pause(seconds, seconds)
            broker.start()
            begun = time.monotonic()
            chaos.flowing(200, _PATIENCE)
            back.append(time.monotonic() - begun)
            chaos.kill_uncommitted("worker-1")
    stage.result.notes.append(f"flowing {min(back):.0f} to {max(back):.0f} s after the broker was back")


@scenario("broker-down-8s", engines=_SINGLE)
def down_short(stage: Stage) -> None:
    """Stop the broker for 8 s."""
    down(stage, 8.0, kill=False)


@scenario("broker-down-70s", most_rounds=3, engines=_SINGLE)
def down_long(stage: Stage) -> None:
    """Stop the broker for 70 s."""
    down(stage, 70.0, kill=False)


@scenario("broker-killed", engines=_SINGLE)
def killed(stage: Stage) -> None:
    """SIGKILL the broker under load, and start it again at once on the same disk."""
    down(stage, 0.0, kill=True)


@scenario("broker-suspended", engines=_SINGLE)
def suspended(stage: Stage) -> None:
    """Stop the broker's process with SIGSTOP, for 8 s and 30 s in turn: connections stay, and nothing is answered."""
    broker = stage.broker()
    if not isinstance(broker, ApacheBroker):
        msg = "needs the process of one node"
        raise Skipped(msg)
    back: dict[float, list[float]] = {seconds: [] for seconds in _SUSPENDED_SECONDS}
    with stage.ward(rate=120.0) as chaos:
        for number in stage.rounds(chaos):
            seconds = _SUSPENDED_SECONDS[number % 2]
            chaos.flowing(200)
            pending, pid = chaos.pending(), broker.pid
            assert pid is not None, "the broker has ended by itself"
            with suspended_process(pid):
                chaos.pause(seconds, seconds)
                hit = stands_still(pid)
            chaos.note(f"broker suspended for {seconds:.0f} s", hit=hit, pending=pending)
            begun = time.monotonic()
            chaos.flowing(200, _PATIENCE)
            back[seconds].append(time.monotonic() - begun)
            chaos.kill_uncommitted("worker-1")
        for seconds, some in back.items():
            if some:
                flowing = f"flowing {min(some):.0f} to {max(some):.0f} s after a broker that stood still for"
                stage.result.notes.append(f"{flowing} {seconds:.0f} s went on ({len(some)} times)")
        stage.result.notes.append(f"workers that ended by themselves: {chaos.exits}")


@scenario("broker-away-at-the-start", most_rounds=5, engines=_SINGLE)
def away_at_start(stage: Stage) -> None:
    """Start the workers while there is no broker; it comes 10 s later."""
    broker = stage.broker()
    # Luck decides whether the workers have stored something since their last commit, when the broker goes.
    with stage.ward(rate=120.0, replays=None) as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(200)
            pending = chaos.pending()
            broker.stop()
            hit = not answers(broker.bootstrap_servers)
            chaos.note("broker away while the workers start", hit=hit, pending=pending)
            for instance in ("worker-1", "worker-2"):
                chaos.kill(instance)
                chaos.start(instance, wait=False)
            chaos.pause(10.0, 10.0)
            broker.start()
            chaos.flowing(300, _PATIENCE)


@scenario("request-errors")
def request_errors(stage: Stage) -> None:
    """Answer one request in seven with an error for a while: to writes, commits and heartbeats."""
    refused = 0
    # Nobody is killed. Whoever ends by itself has its records read again, if luck will have it that somebody does.
    with Proxy(stage.only_broker()) as proxy, stage.ward(rate=120.0, proxies=[proxy], replays=None) as chaos:

        def refuse(asked: Asked) -> int:
            codes = _ERRORS.get(asked.api, ())
            return chaos.random.choice(codes) if codes and chaos.random.random() < 1 / 7 else 0

        for _ in stage.rounds(chaos):
            chaos.flowing(100)
            proxy.refused, proxy.refuse = 0, refuse
            chaos.flowing(400, _PATIENCE)
            chaos.note(f"{proxy.refused} requests answered with an error", hit=proxy.refused > 0)
            proxy.refuse = lambda asked: 0
            refused += proxy.refused
            chaos.flowing(100, _PATIENCE)
        stage.result.notes.append(f"{refused} requests refused, workers that ended by themselves: {chaos.exits}")


# -- three nodes


def _cluster(stage: Stage) -> Cluster:
    broker = stage.broker()
    if not isinstance(broker, Cluster):
        msg = "needs three nodes"
        raise Skipped(msg)
    return broker


def _lose(stage: Stage, what: str, choose: Callable[[Cluster, ChaosWard], Node]) -> None:
    """SIGKILL one node of three under load; go on with two; start it again, and let it catch up."""
    cluster = _cluster(stage)
    with stage.ward(rate=120.0) as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(100)
            node = choose(cluster, chaos)
            pending = chaos.pending()
            node.kill()
            chaos.note(f"SIGKILL of {what}", hit=not answers(node.bootstrap_servers), pending=pending)
            chaos.flowing(400, _PATIENCE)
            chaos.kill_uncommitted("worker-1")
            chaos.start("worker-1", wait=False)
            node.start()
            _await_whole(cluster, chaos)


def _await_whole(cluster: Cluster, chaos: ChaosWard) -> None:
    topics = [chaos.ward.topics.alert_events, chaos.ward.topics.observations]
    chaos.until(lambda: cluster.whole(topics), 120, "the lost node in sync again")


_THREE = ("cluster",)


@scenario("leader-killed", most_rounds=10, engines=_THREE)
def leader_killed(stage: Stage) -> None:
    """SIGKILL the node that leads a partition of the alerts."""
    _lose(stage, "the leader", lambda cluster, chaos: cluster.leader(chaos.ward.topics.alert_events, 0))


@scenario("follower-killed", most_rounds=10, engines=_THREE)
def follower_killed(stage: Stage) -> None:
    """SIGKILL a node that follows a partition of the alerts."""
    _lose(stage, "a follower", lambda cluster, chaos: cluster.follower(chaos.ward.topics.alert_events, 0))


@scenario("controller-killed", most_rounds=10, engines=_THREE)
def controller_killed(stage: Stage) -> None:
    """SIGKILL the active controller."""
    _lose(stage, "the controller", lambda cluster, _: cluster.controller())


@scenario("all-brokers-stopped", most_rounds=10, engines=_THREE)
def all_stopped(stage: Stage) -> None:
    """SIGKILL all three at once, and start them again."""
    cluster = _cluster(stage)
    with stage.ward(rate=120.0) as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(200)
            pending = chaos.pending()
            cluster.kill()
            hit = not any(answers(node.bootstrap_servers) for node in cluster.nodes)
            chaos.note("SIGKILL of all three nodes", hit=hit, pending=pending)
            cluster.start()
            chaos.flowing(300, _PATIENCE)
            chaos.kill_uncommitted("worker-1")
