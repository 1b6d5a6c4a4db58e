"""What only brokers in memory can be told to do: be slow one by one, and refuse any request with any error."""

from __future__ import annotations

import time

from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.mock_cluster import MockCluster
from tests.chaos.stage import Skipped, Stage, scenario
from tests.e2e.ward import PARTITIONS

__all__ = ["PRODUCE_ERRORS", "leaders_move", "scripted_errors", "slow_brokers"]

_MOCK = ("mock",)
_PATIENCE = 200.0
_FAST, _SLOW = 1, 2  # brokers
_SLOW_MS = 200  # the mock answers one request of a connection after the other: five a second, and no more
# What each request is answered with, one error after the other: Kafka's codes. The mock answers so instead of acting:
# what it refuses to write it does not keep, nor may it say that it had it already (46, duplicate sequence number).
PRODUCE_ERRORS = (6, 7, 19, 20, 3, 56)  # not leader, timed out, too few replicas, no such topic, storage
_ERRORS = {
    "Produce": PRODUCE_ERRORS,
    "Fetch": (6, 3, 56),
    "ListOffsets": (6, 5),
    "OffsetCommit": (14, 15, 16, 27),  # loading, no coordinator, not the coordinator, rebalance
    "OffsetFetch": (14, 16),
    "FindCoordinator": (15, 15),
    "JoinGroup": (14, 15, 16),
    "SyncGroup": (16, 27),
    "Heartbeat": (15, 16, 27),
    "InitProducerId": (14, 15, 16),
}


def _mock(stage: Stage) -> MockCluster:
    broker = stage.broker()
    if not isinstance(broker, MockCluster):
        msg = "needs the mock cluster"
        raise Skipped(msg)
    return broker


@scenario("mock-slow-brokers", most_rounds=10, ward_rounds=2, engines=_MOCK)
def slow_brokers(stage: Stage) -> None:
    """Let the broker of the alerts, of the states or of the group answer slowly; a worker dies meanwhile."""
    mock = _mock(stage)
    # The slower the broker, the more has been stored and not committed; how much, at the kill, is luck.
    with stage.ward(rate=60.0, replays=None) as chaos:
        for number in stage.rounds(chaos):
            chaos.flowing(60)
            topics = (chaos.ward.topics.alert_events, chaos.changelog)
            for topic in topics:
                for partition in range(PARTITIONS):
                    mock.lead(topic, partition, _SLOW if topic == topics[number % 2] else _FAST)
            mock.coordinate(chaos.ward.settings.worker.group, _FAST if stage.seed % 3 else _SLOW)
            pending = chaos.pending()
            mock.slow(_SLOW, _SLOW_MS)
            chaos.note("a slow broker", hit=_answers_slowly(chaos, topics[number % 2]), pending=pending)
            chaos.flowing(100, _PATIENCE)
            chaos.kill("worker-1")
            chaos.start("worker-1", wait=False)
            chaos.flowing(100, _PATIENCE)
            mock.heal()


@scenario("mock-request-errors", most_rounds=5, ward_rounds=1, engines=_MOCK)
def scripted_errors(stage: Stage) -> None:
    """Answer every kind of request with every error that it may get; a worker starts meanwhile."""
    mock = _mock(stage)
    # Which requests are refused when the worker is killed, and with it what was committed, is luck.
    with stage.ward(rate=60.0, replays=None) as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(60)
            pending = chaos.pending()
            _refuse(mock, chaos)
            chaos.flowing(100, _PATIENCE)
            chaos.note("requests refused", hit=mock.refused()[0] > 0, pending=pending)
            chaos.kill("worker-1")
            _refuse(mock, chaos)
            chaos.start("worker-1", wait=False)
            chaos.flowing(200, _PATIENCE)
            taken, scripted = mock.refused()
            chaos.remark(f"a request refused, of {scripted} that the script has for a round", taken)
            mock.heal()
        stage.result.notes.append(f"workers that ended by themselves: {chaos.exits}")


def _answers_slowly(chaos: ChaosWard, topic: str) -> bool:
    """Tell whether a question that each leader of the topic must answer takes as long as a slow broker's answer."""
    begun = time.monotonic()
    chaos.written(topic)
    return time.monotonic() - begun >= _SLOW_MS / 1000


def _refuse(mock: MockCluster, chaos: ChaosWard) -> None:
    for api, codes in _ERRORS.items():
        mixed = [code for code in codes for code in (code, 0)]
        chaos.random.shuffle(mixed)
        mock.refuse(api, mixed)


@scenario("mock-leaders-move", most_rounds=10, ward_rounds=2, engines=_MOCK)
def leaders_move(stage: Stage) -> None:
    """Give partitions and the group to other brokers under load, again and again."""
    mock = _mock(stage)
    with stage.ward(rate=60.0) as chaos:
        for _ in stage.rounds(chaos):
            for _ in range(4):
                topics = chaos.ward.topics
                for topic in (topics.observations, topics.alert_events, topics.scores, chaos.changelog):
                    for partition in range(PARTITIONS):
                        mock.lead(topic, partition, chaos.random.randint(1, 3))
                mock.coordinate(chaos.ward.settings.worker.group, chaos.random.randint(1, 3))
                chaos.note("leaders and coordinator moved", hit=True)  # the mock says so itself, each time
                chaos.flowing(60, _PATIENCE)
            chaos.kill_uncommitted("worker-1")
