"""The short round: every crash point once, five random kills, a zombie, slow alerts and poison, in one ward.

`python -m tests.chaos` is the long one.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.feed import Spoiling
from tests.chaos.proxy import Proxy
from tests.chaos.scenarios.crashes import POINTS, die_at, slow_alerts
from tests.chaos.scenarios.group import members, suspended
from tests.chaos.stage import Grounds, Result, Stage

_SEED = 20261124
_KILLS = 5


@pytest.mark.timeout(600)  # on a machine that others load as well
def test_the_same_alerts_whatever_happens(apache_kafka: str, tmp_path: Path) -> None:
    _short_round(Grounds(apache_kafka, tmp_path, "kafka"), zombie=True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_same_alerts_on_the_embedded_broker(embedded_kafka: str, tmp_path: Path) -> None:
    """Without the zombie: this broker never expires a member."""
    _short_round(Grounds(embedded_kafka, tmp_path, "embedded"), zombie=False)


def _short_round(grounds: Grounds, *, zombie: bool) -> None:
    result = Result("short")
    stage = Stage(grounds, result, [_SEED])
    with Proxy(grounds.bootstrap) as proxy:
        spoiling = Spoiling(poison=0.1)
        with stage.ward(rate=100.0, spoiling=spoiling, instances=(), proxies=[proxy], amend=suspended) as chaos:
            die_at(chaos, chaos.random.sample(POINTS, len(POINTS)), 1)
            proxy.hold = slow_alerts
            for instance, point in (("worker-1", "alerts_sent"), ("worker-2", "commit_sent")):
                chaos.await_crash(instance, chaos.arm(instance, point), f"{point}, slow alerts")
            proxy.hold = lambda asked: 0.0
            chaos.start("worker-1")
            chaos.start("worker-2", wait=False)
            if zombie:
                chaos.suspend("worker-1", "zombie")
            for _ in range(_KILLS):
                chaos.pause(0.5, 2.5)
                chaos.kill("worker-2")
                chaos.start("worker-2", wait=False)
            if zombie:
                chaos.until(lambda: members(chaos) == 1, 60, "the session of the stopped worker over")
            chaos.flowing(100)
            if zombie:
                chaos.signal("worker-1", signal.SIGCONT)
    assert proxy.held > 0
    assert not result.empty, result.empty
    assert not any(result.anomalies.values()), result.details
    assert len(stage.evidence.rejected) > 0
    assert result.faults >= len(POINTS) + 2 + _KILLS + zombie
