"""The mock cluster: what a client was told is kept stands in its log, whichever error came before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.evidence import read_topic
from tests.chaos.feed import producer
from tests.chaos.mock_cluster import ONE_AT_A_TIME, MockCluster
from tests.chaos.scenarios.mocked import PRODUCE_ERRORS

_ROUND_TRIP_MS = 40  # far longer than the pause between two records: writes would overlap, were they allowed to
_RECORDS = 60


@pytest.fixture
def mock() -> Iterator[MockCluster]:
    cluster = MockCluster()
    cluster.start()
    cluster.make_topics(["log"], 1)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.parametrize("code", PRODUCE_ERRORS)
def test_a_producer_with_one_write_under_way_is_told_the_truth_after_any_error(mock: MockCluster, code: int) -> None:
    gateway = producer(mock.bootstrap_servers, **ONE_AT_A_TIME)
    told: list[tuple[int | None, bytes | None]] = []

    def note(error: Any, message: Any) -> None:
        assert error is None, error
        told.append((message.offset(), message.value()))

    gateway.produce("log", value=b"first", on_delivery=note)
    assert gateway.flush(30) == 0  # connected: what follows is many writes, not one
    for node in (1, 2, 3):
        mock.slow(node, _ROUND_TRIP_MS)
    mock.refuse("Produce", [0, code, 0, code])
    for number in range(_RECORDS):
        gateway.produce("log", value=b"%d" % number, on_delivery=note)
        gateway.poll(0)
        time.sleep(0.004)
    assert gateway.flush(30) == 0
    mock.heal()
    assert told == [(record.offset, record.value) for record in read_topic(mock.bootstrap_servers, "log")]
    assert len(told) == 1 + _RECORDS


def test_how_many_refusals_of_a_script_were_taken_is_known(mock: MockCluster) -> None:
    assert mock.refused() == (0, 0)
    mock.refuse("Produce", [7, 0])
    mock.refuse("Produce", [0] * 200 + [7])
    mock.refuse("OffsetCommit", [16])
    assert mock.refused() == (0, 3)
    gateway = producer(mock.bootstrap_servers, **ONE_AT_A_TIME)
    gateway.produce("log", value=b"first")
    assert gateway.flush(30) == 0
    assert mock.refused() == (1, 3)
    mock.heal()
    assert mock.refused() == (0, 0)
