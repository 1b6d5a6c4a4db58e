"""Deaths at the worst moment: what takes a protection away is found by one of these."""

from __future__ import annotations

from tests.chaos.proxy import PRODUCE, Proxy
from tests.chaos.refusals import Asked
from tests.chaos.stage import Stage, scenario

__all__ = ["killed_before_commit", "killed_while_alerts_wait"]

_HELD_SECONDS = 4.0  # longer than it takes until the next commit
_ONE = ("worker-1",)


@scenario("killed-before-commit", most_rounds=5)
def killed_before_commit(stage: Stage) -> None:
    """Die with alerts and state acknowledged and nothing committed, and whole stays in the chunk: it is read again."""
    with stage.ward(rate=150.0, instances=_ONE, block=20) as chaos:
        chaos.flowing(100)
        chaos.kill("worker-1")
        for nth in (1, 2):
            chaos.pause(6.0, 8.0)
            chaos.await_crash("worker-1", chaos.arm("worker-1", "stored", nth), "stored")
        chaos.start("worker-1")
        chaos.flowing(200)


@scenario("killed-while-alerts-wait", most_rounds=5)
def killed_while_alerts_wait(stage: Stage) -> None:
    """Die while the broker has not taken the alerts yet, and whoever did not wait for it has gone on."""

    def hold(asked: Asked) -> float:
        return _HELD_SECONDS if asked.api == PRODUCE and asked.names("alerts.events.v1") else 0.0

    with (
        Proxy(stage.grounds.bootstrap) as proxy,
        stage.ward(rate=100.0, instances=_ONE, proxies=[proxy]) as chaos,
    ):
        for _ in range(2):
            chaos.flowing(100)
            proxy.held, proxy.hold = 0, hold
            chaos.until(lambda: proxy.held > 0, 60, "alerts on their way")
            chaos.pause(2.0, 3.0)
            chaos.kill("worker-1")
            proxy.hold = lambda asked: 0.0
            chaos.start("worker-1")


@scenario("two-chunkings", most_rounds=5)
def two_chunkings(stage: Stage) -> None:
    """Work the same records off in other chunks than before."""
    with stage.ward(rate=150.0, instances=()) as chaos:
        for instance in _ONE:
            chaos.await_crash(instance, chaos.arm(instance, "acknowledged", 3), "acknowledged")
            chaos.start(instance)
        chaos.flowing(300)
