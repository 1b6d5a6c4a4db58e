"""The suite's own parts: nothing is left untried, and a broken broker's answers can be read."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.commit import OffsetCommitRequest_v2, OffsetCommitResponse_v2
from aiokafka.protocol.group import HeartbeatRequest_v1, HeartbeatResponse_v1
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7, ProduceResponse_v8

from tests.chaos import scenarios, stage
from tests.chaos.__main__ import engines_for
from tests.chaos.crash_points import CRASH_POINTS
from tests.chaos.crew import Fault
from tests.chaos.judge import ANOMALIES
from tests.chaos.mutants import MUTANTS
from tests.chaos.mutation import REVEALED_BY, Found
from tests.chaos.nursery import nursery
from tests.chaos.proxy import proxy_hides
from tests.chaos.refusals import Asked, refusal
from tests.chaos.report import bound, table
from tests.chaos.scenarios.crashes import POINTS, third_of
from tests.chaos.scenarios.losses import batches, tear
from tests.chaos.stage import SCENARIOS, Result
from tests.chaos.suspending import stands_still, suspended_process
from tests.waiting import until


def test_every_mutant_has_a_scenario_that_reveals_it() -> None:
    assert scenarios.__all__
    assert REVEALED_BY.keys() == MUTANTS.keys()
    assert {revealing.scenario for revealing in REVEALED_BY.values()} <= SCENARIOS.keys()
    assert all(revealing.anomalies and revealing.anomalies <= set(ANOMALIES) for revealing in REVEALED_BY.values())


def test_a_mutant_is_found_by_what_tells_of_it_alone(tmp_path: Path) -> None:
    result = Result("two-chunkings", seeds=[1])
    found = Found("batch-dependent", result)
    result.anomalies["lost-event"] = 3
    assert "NOT FOUND" in found.line()
    stage.Stage(stage.Grounds("a:9092", tmp_path, "kafka"), result, [1]).demand(False, "state-regress", "its own")
    assert "NOT FOUND" in found.line()
    result.anomalies["state-regress"] += 2
    assert found.line().endswith("found: state-regress 2 (beside it lost-event 3)")


def test_the_twelve_instants_are_all_there() -> None:
    numbers = {meaning.partition(":")[0] for meaning in CRASH_POINTS.values()}
    assert {str(number) for number in range(1, 13)} <= numbers


@pytest.mark.parametrize("begin", [0, 9000])
def test_three_rounds_have_all_instants_and_each_has_a_third(begin: int) -> None:
    thirds = [third_of(POINTS, seed) for seed in range(begin, begin + 3)]
    assert sorted(point for third in thirds for point in third) == sorted(POINTS)
    assert {len(third) for third in thirds} == {4, 5}


def test_a_log_is_torn_off_in_a_batch_behind_what_is_to_be_kept(tmp_path: Path) -> None:
    segment = tmp_path / "00000000000000000000.log"
    segment.write_bytes(b"".join(struct.pack(">qi", base, 88) + bytes(88) for base in (0, 5, 9)))
    assert [base for base, _, _ in batches(segment)] == [0, 5, 9]
    random = Random(1)  # noqa: S311 (a scenario, no secret)
    assert not tear(tmp_path, 10, random)
    assert tear(tmp_path, 9, random)
    assert segment.stat().st_size == 250


def test_a_nursery_starts_programs_and_tells_of_their_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    good = nursery().start("tests.waiting", environment, tmp_path / "good.log")
    assert good.wait(30) == 0
    bad = nursery().start("tests.chaos.not_there", environment, tmp_path / "bad.log")
    assert bad.wait(30) == 1
    assert "not_there" in (tmp_path / "bad.log").read_text()
    ended = nursery().start("monitor", environment | {"SEPSIS_MONITOR_HTTP__PORT": "none"}, tmp_path / "worker.log")
    assert ended.wait(30) == 1
    assert "http.port" in (tmp_path / "worker.log").read_text()


def _asked(api: int, version: int, body: bytes) -> Asked:
    client = b"worker"
    return Asked(api, version, 7, struct.pack(">hhih", api, version, 7, len(client)) + client + body)


_PRODUCE = ProduceRequest_v7(None, -1, 1000, [("alerts.events.v1", [(2, b"batch")])]).encode()
_COMMIT = OffsetCommitRequest_v2("g", 1, "m", -1, [("vitals.observations.v1", [(3, 40, "")])]).encode()
_BEAT = HeartbeatRequest_v1("g", 1, "m").encode()


@pytest.mark.parametrize(
    ("api", "version", "body", "response"),
    [
        (0, 7, _PRODUCE, ProduceResponse_v7),
        (0, 8, _PRODUCE, ProduceResponse_v8),
        (8, 2, _COMMIT, OffsetCommitResponse_v2),
        (12, 1, _BEAT, HeartbeatResponse_v1),
    ],
)
def test_a_refusal_names_every_partition_with_its_code(api: int, version: int, body: bytes, response: type) -> None:
    asked = _asked(api, version, body)
    answer = io.BytesIO(refusal(asked, 16))
    assert struct.unpack(">i", answer.read(4)) == (7,)
    decoded = response.decode(answer)  # type: ignore[attr-defined]
    assert answer.read() == b""
    if api == 12:
        assert decoded.error_code == 16
    else:
        ((topic, (part,)),) = decoded.topics
        assert asked.names(topic)
        assert part[:2] == ({0: 2, 8: 3}[api], 16)


@pytest.mark.parametrize(
    ("bootstrap", "brokers", "why_not"),
    [
        ("a:9092", {"a:9092"}, None),
        ("lb:9092", {"a:9092"}, None),
        ("a:9092,b:9092", {"a:9092", "b:9092"}, "a single seed server"),
        ("a:9092,b:9092", {"a:9092"}, "a single seed server"),
        ("a:9092", {"a:9092", "b:9092", "c:9092"}, "the cluster has 3"),
        ("a:9092", {"a:19092"}, "the seed server's port 9092, not 19092"),
    ],
)
def test_one_proxy_hides_one_broker(bootstrap: str, brokers: set[str], why_not: str | None) -> None:
    said = proxy_hides(bootstrap, brokers)
    assert (said is None) if why_not is None else (why_not in (said or ""))


def test_a_scenario_with_a_proxy_is_skipped_on_a_cluster_of_several_seed_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "broker_addresses", lambda _: {"a:9092", "b:9092"})
    for name in ("request-errors", "crash-points-slow-alerts", "kills-slow-alerts", "killed-while-alerts-wait"):
        result = stage.play(SCENARIOS[name], stage.Grounds("a:9092,b:9092", tmp_path, "foreign"), [1])
        assert "needs a single seed server" in (result.skipped or ""), result
        assert not result.failed


@pytest.mark.parametrize(
    ("names", "engines"),
    [
        (["kills", "zombie"], ["kafka"]),
        (["kills", "leader-killed"], ["kafka", "cluster"]),
        (["leader-killed"], ["cluster"]),
        (["mock-slow-brokers", "crash-points"], ["kafka", "mock"]),
    ],
)
def test_a_scenario_starts_the_first_broker_that_it_can_take_place_on(names: list[str], engines: list[str]) -> None:
    assert engines_for(names) == engines


@pytest.mark.parametrize(("said", "copies"), [(None, "3"), ("2", "2")])
def test_topics_have_as_many_copies_as_there_are_brokers_unless_the_environment_says(
    said: str | None, copies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object, **settings: str) -> None:
        raise stage.Skipped(settings[stage.COPIES])

    monkeypatch.setattr(stage, "open_chaos_ward", opened)
    monkeypatch.delenv(stage.COPIES, raising=False)
    if said is not None:
        monkeypatch.setenv(stage.COPIES, said)
    grounds = stage.Grounds("a:9092,b:9092,c:9092", tmp_path, "foreign", copies=3)
    assert stage.play(SCENARIOS["kills"], grounds, [1]).skipped == copies


def test_only_what_hit_is_counted_as_a_fault(tmp_path: Path) -> None:
    result = Result("kills")
    faults = [
        Fault("SIGKILL", 5, killed=True),
        Fault("in graceful stop", 7, hit=False),
        Fault("SIGTERM", -1),  # the broker could not say
    ]
    ward: Any = SimpleNamespace(faults=faults, replays=lambda: 3.0, replayed=0.0)
    stage.Stage(stage.Grounds("a:9092", tmp_path, "kafka"), result, [1])._close_round(ward)
    assert (result.faults, result.kills, result.pending) == (2, 1, 5)
    assert result.empty == ["seed 1: in graceful stop did not hit"]


def test_whether_a_process_stands_still_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not stands_still(process.pid)
        with suspended_process(process.pid):
            until(lambda: stands_still(process.pid), seconds=10)
        until(lambda: not stands_still(process.pid), seconds=10)
        process.kill()


def test_an_empty_or_skipped_scenario_is_never_told_as_passed() -> None:
    skipped, empty = Result("a", skipped="no broker"), Result("b", seeds=[1], empty=["seed 1: no fault was made"])
    lines = table([skipped, empty], head=False, details=True)
    assert "SKIPPED: no broker" in lines
    assert "EMPTY" in lines
    assert empty.failed
    assert bound(100) == 0.03
