"""Deaths at the worst moment: what takes a protection away is found by one of these."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.chaos.people import admit_all
from tests.chaos.proxy import PRODUCE, Proxy
from tests.chaos.refusals import Asked
from tests.chaos.stage import Stage, scenario

__all__ = ["killed_before_commit", "killed_while_alerts_wait", "killed_while_deciding"]

_HELD_SECONDS = 600.0  # until the worker is dead
_COMMITTED_BY_THEN = 4.0  # seconds in which whoever did not wait for an acknowledgement has committed
_ONE = ("worker-1",)


@scenario("killed-before-commit")
def killed_before_commit(stage: Stage) -> None:
    """Die with alerts and state acknowledged and nothing committed, and whole stays in the chunk: it is read again."""
    with stage.ward(rate=150.0, instances=_ONE, block=20) as chaos:
        chaos.flowing(100)
        for _ in stage.rounds(chaos):
            chaos.kill("worker-1")
            chaos.pause(6.0, 7.0)
            chaos.await_crash("worker-1", chaos.arm("worker-1", "stored", chaos.random.randint(1, 2)), "stored")


@scenario("killed-while-alerts-wait")
def killed_while_alerts_wait(stage: Stage) -> None:
    """Die while the broker has not taken the alerts yet, and whoever did not wait for it has gone on."""

    def hold(asked: Asked) -> float:
        return _HELD_SECONDS if asked.api == PRODUCE and asked.names("alerts.events.v1") else 0.0

    with (
        Proxy(stage.only_broker()) as proxy,
        stage.ward(instances=_ONE, proxies=[proxy]) as chaos,
    ):
        for _ in stage.rounds(chaos):
            chaos.flowing(100)
            proxy.held, proxy.hold = 0, hold
            chaos.until(lambda: proxy.held > 0, 60, "alerts on their way")
            chaos.pause(_COMMITTED_BY_THEN, _COMMITTED_BY_THEN)
            chaos.kill("worker-1")
            proxy.hold = lambda asked: 0.0


@scenario("killed-while-deciding")
def killed_while_deciding(stage: Stage) -> None:
    """Die with records received and not decided on, once a commit has passed: it must not have covered them."""
    # Whoever dies here has not decided: it is luck whether something before that was stored, and not committed.
    with stage.ward(instances=_ONE, replays=None) as chaos:
        for number in stage.rounds(chaos):
            chaos.kill("worker-1")
            chaos.pause(1.0, 2.0)
            marker = chaos.arm("worker-1", "polled", chaos.random.randint(1, 3), act="hang")
            chaos.until(marker.exists, 60, "worker-1 hangs before it decides")
            for time in (1, 2):  # another agent's offsets go with the same commits
                admit_all(chaos, [f"passer-by-{stage.seed}-{number}-{time}"], datetime.now(UTC))
            chaos.kill("worker-1", "SIGKILL before it decided")


@scenario("two-chunkings")
def two_chunkings(stage: Stage) -> None:
    """Work the same records off in other chunks than before."""
    with stage.ward(rate=150.0, instances=_ONE) as chaos:
        for _ in stage.rounds(chaos):
            chaos.kill("worker-1")
            chaos.await_crash("worker-1", chaos.arm("worker-1", "acknowledged", 3), "acknowledged")
