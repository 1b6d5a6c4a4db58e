"""Workers that are thought dead, and workers that come and go."""

from __future__ import annotations

import signal

from monitor import clients
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.stage import Stage, scenario

__all__ = ["rebalance_storm", "zombie"]

_LONG = 150  # stays side by side: whoever is in a zombie's hands is still a patient when it wakes up


def members(chaos: ChaosWard) -> int:
    """Return how many members the group has."""
    admin = clients.admin(chaos.ward.settings.kafka, chaos.ward.bootstrap)
    try:
        (group,) = admin.describe_groups([chaos.ward.settings.worker.group]).values()
        return len(group["members"])
    finally:
        admin.close()


@scenario("zombie", engines=("kafka", "foreign"))
def zombie(stage: Stage) -> None:
    """Stop a worker longer than its session lasts; another one takes over; then the first wakes up and goes on."""
    with stage.ward(block=_LONG) as chaos:
        chaos.flowing(200)
        chaos.signal("worker-1", signal.SIGSTOP)
        _wake_after_takeover(chaos, "SIGSTOP past the session")


@scenario("zombie-before-its-write", engines=("kafka", "foreign"))
def zombie_before_write(stage: Stage) -> None:
    """Stop it in the one gap that a lease leaves: ownership confirmed, the state not sent yet."""
    with stage.ward(instances=("worker-2",), block=_LONG) as chaos:
        marker = chaos.arm("worker-1", "acknowledged", chaos.random.randint(1, 3), stop=True)
        chaos.until(marker.exists, 60, "worker-1 stopped before its write")
        _wake_after_takeover(chaos, "SIGSTOP before the write")


@scenario("zombie-before-its-alerts", engines=("kafka", "foreign"))
def zombie_before_alerts(stage: Stage) -> None:
    """Stop it with everything decided and nothing sent: what it sends when it wakes must not hide what came later."""
    with stage.ward(instances=("worker-2",), block=_LONG) as chaos:
        marker = chaos.arm("worker-1", "decided_alerts", chaos.random.randint(1, 3), stop=True)
        chaos.until(marker.exists, 60, "worker-1 stopped before its alerts")
        _wake_after_takeover(chaos, "SIGSTOP before the alerts")


def _wake_after_takeover(chaos: ChaosWard, what: str) -> None:
    chaos.note(what)
    chaos.until(lambda: members(chaos) == 1, 40, "the session of the stopped worker over")
    chaos.flowing(600)
    chaos.signal("worker-1", signal.SIGCONT)
    chaos.until(lambda: members(chaos) == 2, 60, "the woken worker in the group again")
    chaos.kill("worker-2", "SIGKILL of the successor")  # who starts now recovers from what both have written
    chaos.start("worker-2")
    chaos.flowing(200)


@scenario("rebalance-storm", most_rounds=5)
def rebalance_storm(stage: Stage) -> None:
    """Workers join, leave and die every few seconds, up to four at a time."""
    names = [f"worker-{number}" for number in range(1, 5)]
    with stage.ward() as chaos:
        for _ in range(10):
            chaos.pause(1.0, 3.0)
            instance = chaos.random.choice(names)
            process = chaos.ward.workers.get(instance)
            if process is None or process.poll() is not None:
                chaos.start(instance, wait=False)
                chaos.note(f"{instance} joins")
            elif chaos.random.random() < 0.5:
                chaos.kill(instance)
            else:
                chaos.stop(instance)
                chaos.note(f"{instance} leaves")
