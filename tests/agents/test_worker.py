"""What a worker does without a broker: where keys go, and what it says of itself before it runs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from agents.observer import SilentObserver
from agents.policy import load_policy
from agents.topics import Topics
from agents.worker import Worker, WorkerConfig, partition_of
from tests.agents.logs import MODEL


@given(st.binary(min_size=1, max_size=64), st.integers(1, 64))
def test_keys_go_where_the_other_clients_put_them(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


def test_partitions_are_those_of_the_java_client() -> None:
    """Hashes from the tests of Apache Kafka's own Utils.murmur2."""
    for key, hashed in ((b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)):
        assert partition_of(key, 1000) == (hashed & 0x7FFFFFFF) % 1000


def test_a_worker_that_does_not_run_yet_lives_and_is_not_ready(tmp_path: Path) -> None:
    config = WorkerConfig("127.0.0.1:1", "group", "worker-1", Topics(), 4, tmp_path)
    status = Worker(config, MODEL, load_policy(), SilentObserver()).status()
    assert (status.live, status.ready, status.failing) == (True, False, ("starting",))
