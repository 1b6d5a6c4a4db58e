"""A cluster that cannot be used is asked again and again, ever later; what cannot get better ends it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from monitor.errors import Failure, Unavailable
from monitor.retrying import Setbacks, until_available


class Cluster:
    """Refuses so many times, and keeps at which second it was asked."""

    def __init__(self, refusals: int, then: Exception | None = None) -> None:
        self.left, self.then = refusals, then
        self.now, self.signs = 0.0, 0
        self.asked: list[float] = []

    def ask(self) -> str:
        """Answer, or refuse."""
        self.asked.append(self.now)
        if self.left:
            self.left -= 1
            msg = f"no broker answers ({self.left})"
            raise Unavailable(msg)
        if self.then is not None:
            raise self.then
        return "here"

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def alive(self) -> None:
        """Count a sign of life."""
        self.signs += 1


def test_it_is_asked_later_and_later_and_each_refusal_is_told() -> None:
    cluster = Cluster(refusals=8)
    with capture_logs() as told:
        assert until_available(cluster.ask, cluster.alive, sleep=cluster.sleep) == "here"
    assert cluster.asked == [0, 1, 3, 7, 15, 31, 61, 91, 121]
    assert [one["meaning"] for one in told] == [f"no broker answers ({left})" for left in range(7, -1, -1)]
    assert cluster.signs >= 121  # a sign of life every second


def test_what_another_try_does_not_mend_ends_it() -> None:
    cluster = Cluster(refusals=1, then=Failure("the topic has 4 partitions"))
    with pytest.raises(Failure, match="4 partitions"):
        until_available(cluster.ask, cluster.alive, sleep=cluster.sleep)
    assert len(cluster.asked) == 2


def test_a_loop_waits_longer_and_longer_and_tells_each_change_once() -> None:
    with capture_logs() as logs:
        setbacks = Setbacks("read_failed")
        pauses = [setbacks.failed("refused") for _ in range(7)]
        standing = [setbacks.standing]
        setbacks.failed("silent")
        setbacks.over()
        setbacks.over()
        standing.append(setbacks.standing)
        assert setbacks.failed("silent") == 1.0
    assert standing == [True, False]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert [(line["event"], line["meaning"]) for line in logs] == [
        ("read_failed", "refused"),
        ("read_failed", "silent"),
        ("read_failed_over", "it works again"),
        ("read_failed", "silent"),
    ]
