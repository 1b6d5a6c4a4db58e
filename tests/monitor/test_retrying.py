"""A cluster that cannot be used is asked again and again, ever later; what cannot get better ends it."""

from __future__ import annotations

import threading

import pytest
from kafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from structlog.testing import capture_logs

from monitor.errors import Failure, Unavailable
from monitor.retrying import Setbacks, connected, until_available
from monitor.settings import Settings, load_settings


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


_CLUSTER = load_settings(None, {"kafka.bootstrap_servers": "kafka-1:9092"})


class Stop(threading.Event):
    """An event that is set after so many naps, which take no time."""

    def __init__(self, naps: int) -> None:
        super().__init__()
        self.left = naps

    def wait(self, timeout: float | None = None) -> bool:
        """Nap."""
        self.left -= 1
        if not self.left:
            self.set()
        return self.is_set()


def test_a_cluster_is_waited_for_in_the_words_of_the_part_that_asks() -> None:
    answers = iter([KafkaConnectionError(), TopicAuthorizationFailedError({"alerts.events.v1"}), None])

    def connect() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "here"

    with capture_logs() as told:
        assert connected(_CLUSTER, "canary", connect, Stop(100)) == "here"
    assert [line["event"] for line in told] == ["cluster_unavailable"] * 2
    assert "does not answer" in told[0]["meaning"]
    assert "alerts.events.v1: `sepsis-monitor topics acls --role canary`" in told[1]["meaning"]


def test_who_is_told_to_stop_waits_no_longer_and_ends_well() -> None:
    cluster, stop = Cluster(refusals=1000), Stop(3)
    with capture_logs(), pytest.raises(SystemExit) as ended:
        connected(_CLUSTER, "canary", cluster.ask, stop)
    assert ended.value.code == 0
    assert cluster.left == 1000 - 2


@pytest.mark.parametrize(("settings", "once"), [(load_settings(), False), (_CLUSTER, True)])
def test_a_local_broker_and_what_ends_by_itself_are_asked_once(settings: Settings, *, once: bool) -> None:
    cluster = Cluster(refusals=1)
    with pytest.raises(Unavailable, match="no broker answers"):
        connected(settings, "canary", cluster.ask, Stop(1), once=once)
