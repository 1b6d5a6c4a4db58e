"""Workers that are thought dead, and workers that come and go."""

from __future__ import annotations

import signal
from dataclasses import replace

from monitor import clients
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Evidence
from tests.chaos.stage import Stage, scenario
from tests.chaos.suspending import stands_still

__all__ = ["members", "rebalance_storm", "suspended", "zombie"]

_LONG = 150  # stays side by side: whoever is in a zombie's hands is still a patient when it wakes up


def members(chaos: ChaosWard) -> int:
    """Return how many members the group has."""
    admin = clients.admin(chaos.ward.settings.kafka, chaos.ward.bootstrap)
    try:
        (group,) = admin.describe_groups([chaos.ward.settings.worker.group]).values()
        return len(group["members"])
    finally:
        admin.close()


def suspended(evidence: Evidence) -> Evidence:
    """Admit an overtaken last word: the worker may have been stopped in the middle of a request.

    Where it stops itself, at an instant that is chosen, nothing is on its way, and nothing is admitted.
    """
    return replace(evidence, suspended=True)


@scenario("zombie", engines=("kafka", "cluster", "foreign"))
def zombie(stage: Stage) -> None:
    """Stop a worker longer than its session lasts; another one takes over; then the first wakes up and goes on."""
    with stage.ward(block=_LONG, amend=suspended) as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(100)
            chaos.suspend("worker-1", "SIGSTOP past the session")
            _await_takeover(chaos)
            chaos.signal("worker-1", signal.SIGCONT)
            _await_both(chaos)
            chaos.kill("worker-2", "SIGKILL of the successor")  # who starts now recovers from what both have written


@scenario("zombie-before-its-write", engines=("kafka", "foreign"))
def zombie_before_write(stage: Stage) -> None:
    """Stop it in the one gap that a lease leaves: ownership confirmed, the state not sent yet.

    Nothing else is written once it wakes up: its overtaken states are the last ones in the changelog, and whoever
    recovers then must not take them.
    """
    with stage.ward(block=_LONG) as chaos:
        for _ in stage.rounds(chaos):
            _stop_at(chaos, "acknowledged")
            _await_takeover(chaos)
            with chaos.quiet():
                stage.empty_unless(_let_write(chaos), "the woken worker did not write its overtaken state")
            chaos.flowing(300)  # of the same patients


def _let_write(chaos: ChaosWard) -> bool:
    """Wake the first worker; once it has written what it held, let both start anew from that.

    Return whether it has.
    """
    before = chaos.written(chaos.changelog)
    chaos.signal("worker-1", signal.SIGCONT)
    written = chaos.seen(lambda: chaos.written(chaos.changelog) > before, 20)
    chaos.remark("the woken worker wrote its overtaken state", written)
    for instance in ("worker-1", "worker-2"):
        chaos.kill_if_alive(instance)
    chaos.revive()
    return written


@scenario("zombie-before-its-alerts", engines=("kafka", "foreign"))
def zombie_before_alerts(stage: Stage) -> None:
    """Stop it with everything decided and nothing sent: what it sends when it wakes must not hide what came later."""
    with stage.ward(block=_LONG) as chaos:
        for _ in stage.rounds(chaos):
            _stop_at(chaos, "decided_alerts")
            _await_takeover(chaos)
            chaos.signal("worker-1", signal.SIGCONT)
            _await_both(chaos)
            chaos.kill("worker-2", "SIGKILL of the successor")


def _stop_at(chaos: ChaosWard, point: str) -> None:
    """Let the first worker stop itself at an instant."""
    chaos.kill("worker-1")
    marker = chaos.arm("worker-1", point, chaos.random.randint(1, 3), act="stop")
    chaos.until(marker.exists, 60, f"worker-1 stopped ({point})")
    pid = chaos.ward.workers["worker-1"].pid
    chaos.note(f"SIGSTOP ({point})", hit=chaos.seen(lambda: stands_still(pid), 5))


def _await_takeover(chaos: ChaosWard) -> None:
    chaos.until(lambda: members(chaos) == 1, 40, "the session of the stopped worker over")
    chaos.flowing(300)


def _await_both(chaos: ChaosWard) -> None:
    chaos.until(lambda: members(chaos) == 2, 60, "the woken worker in the group again")


@scenario("rebalance-storm", engines=("kafka", "foreign"))
def rebalance_storm(stage: Stage) -> None:
    """Workers join, leave and die every other second, up to four at a time."""
    names = [f"worker-{number}" for number in range(1, 5)]
    with stage.ward(replays=None) as chaos:  # whether anybody dies, or all leave in order, is for the seed to say
        for _ in stage.rounds(chaos):
            for _ in range(5):
                chaos.pause(1.0, 3.0)
                _join_or_leave(chaos, chaos.random.choice(names))


def _join_or_leave(chaos: ChaosWard, instance: str) -> None:
    if not chaos.alive(instance):
        chaos.start(instance, wait=False)
        chaos.remark("a worker joins")
    elif chaos.random.random() < 0.5:
        chaos.kill(instance)
    else:
        pending, alive = chaos.pending(), chaos.alive(instance)
        chaos.stop(instance)
        chaos.note(f"{instance} leaves", hit=alive, pending=pending)
