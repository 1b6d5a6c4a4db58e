"""Both local brokers, really started: data, restarts, kills, and how other commands find them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.topics import TopicSpec
from monitor.brokers import find_running, open_broker
from monitor.brokers.probe import answers
from monitor.brokers.process import BrokerProcess
from monitor.clients import consumer, producer
from monitor.errors import Failure
from monitor.sections import KafkaSettings
from monitor.settings import Settings, load_settings
from monitor.topic_admin import create_topics
from tests.brokers import ENGINES, new_broker
from tests.waiting import until

TOPIC = "kept"


@pytest.fixture(params=ENGINES)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    """Yield a broker that runs; it is stopped at the end in whatever state the test leaves it."""
    made = new_broker(request.param, tmp_path / "broker")
    made.start()
    yield made
    made.stop()


def settings_of(broker: BrokerProcess) -> Settings:
    return load_settings(None, {"broker.engine": broker.engine, "broker.data_dir": broker.data_dir})


def write(bootstrap: str, *values: bytes) -> None:
    settings = load_settings(None, {"topics.partitions": 1})
    create_topics(bootstrap, settings, [TopicSpec(TOPIC, {})])
    sender = producer(KafkaSettings(), bootstrap)
    for sent in [sender.send(TOPIC, value=value) for value in values]:
        sent.get(30)
    sender.close()


def read(bootstrap: str, count: int) -> list[bytes]:
    reader = consumer(KafkaSettings(), bootstrap, TOPIC)
    values: list[bytes] = []

    def enough() -> bool:
        for records in reader.poll(200).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    until(enough, what=f"{count} records")
    reader.close()
    return values


def test_it_keeps_its_data_and_port_over_a_clean_restart(broker: BrokerProcess) -> None:
    address = broker.bootstrap_servers
    write(address, b"one", b"two")
    assert read(address, 2) == [b"one", b"two"]
    code = broker.stop()
    assert code in broker.clean_exits
    assert not answers(address)
    assert not (broker.data_dir / "broker.json").exists()
    broker.start()
    assert broker.bootstrap_servers == address
    assert read(address, 2) == [b"one", b"two"]


def test_it_comes_back_on_the_same_data_and_port_after_a_kill(broker: BrokerProcess) -> None:
    address = broker.bootstrap_servers
    write(address, b"one")
    if broker.engine == "embedded":  # it writes its state about a second after a change
        until(lambda: _mentions(broker.data_dir / "embedded" / "kafka.json", TOPIC), what="the snapshot")
    broker.kill()
    assert find_running(broker.data_dir) is None
    broker.start()
    assert broker.bootstrap_servers == address
    assert read(address, 1) == [b"one"]


def _mentions(path: Path, word: str) -> bool:
    return path.exists() and word in path.read_text()


def test_two_never_share_a_folder_and_the_second_is_given_the_one_that_runs(broker: BrokerProcess) -> None:
    running = find_running(broker.data_dir)
    assert running is not None
    assert (running.engine, running.pid) == (broker.engine, broker.pid)
    with open_broker(settings_of(broker)) as bootstrap:
        assert bootstrap == broker.bootstrap_servers
    assert answers(broker.bootstrap_servers), "who only found it must not stop it"
    with pytest.raises(Failure, match="another process runs a broker on"):
        new_broker(broker.engine, broker.data_dir).start()
    assert answers(broker.bootstrap_servers)


def test_a_run_file_without_its_broker_is_not_believed(embedded_kafka: str, tmp_path: Path) -> None:
    # A living process and an address that answers, but nobody holds this folder: a stale file after ids were reused.
    stale = {"engine": "embedded", "pid": os.getpid(), "bootstrap_servers": embedded_kafka}
    for text in (json.dumps(stale), "", "{", '{"engine": "kafka"}', "[]"):
        (tmp_path / "broker.json").write_text(text)
        assert find_running(tmp_path) is None


@pytest.mark.parametrize("engine", ENGINES)
def test_it_ends_with_the_process_that_started_it(engine: str, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux ties a child to its parent")
    new_broker(engine, tmp_path / "unused")
    data = tmp_path / "broker"
    environment = {**os.environ, "SEPSIS_MONITOR_BROKER__DATA_DIR": str(data)}
    parent = subprocess.Popen(
        [sys.executable, "-m", "monitor", "broker", "--engine", engine], env=environment, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    address = parent.stdout.readline().decode().strip()
    assert answers(address)
    write(address, b"one")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not answers(address, timeout=0.5), seconds=60, what="the end of the orphan")
    successor = new_broker(engine, data)
    until(successor.try_lock, seconds=60, what="the release of the data folder")
    successor.start()
    try:
        assert successor.bootstrap_servers == address
        assert read(address, 1) == [b"one"], "the orphan was stopped cleanly"
    finally:
        successor.stop()


def test_a_fresh_broker_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_broker(load_settings(None, {"broker.engine": "embedded"}), fresh=True) as bootstrap:
        write(bootstrap, b"one")
        assert list(tmp_path.iterdir())
    assert not answers(bootstrap)
    assert not list(tmp_path.iterdir())


def test_one_that_is_started_for_a_command_alone_is_told_of_and_one_that_runs_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(None, {"broker.engine": "embedded", "broker.data_dir": tmp_path})
    with pytest.raises(Failure, match="no cluster is configured"), open_broker(settings, alone="refuse"):
        pass
    with open_broker(settings, alone="tell"):  # the refusal has given the folder up
        assert "WARNING: no cluster is configured" in capsys.readouterr().err
        with open_broker(settings, alone="tell"), open_broker(settings, alone="refuse"):
            assert "WARNING" not in capsys.readouterr().err


def test_a_configured_cluster_is_used_as_it_is(tmp_path: Path) -> None:
    settings = load_settings(None, {"kafka.bootstrap_servers": "broker.example:9092", "broker.data_dir": tmp_path})
    for fresh in (False, True):
        with open_broker(settings, fresh=fresh) as bootstrap:
            assert bootstrap == "broker.example:9092"
    assert not list(tmp_path.iterdir())


def test_the_embedded_broker_does_not_stand_in_for_kafka(tmp_path: Path) -> None:
    new_broker("kafka", tmp_path)
    embedded = new_broker("embedded", tmp_path)
    embedded.start()
    try:
        settings = load_settings(None, {"broker.engine": "kafka", "broker.data_dir": tmp_path})
        with (
            pytest.raises(Failure, match=r"broker\.engine is kafka, but the embedded broker runs"),
            open_broker(settings),
        ):
            pass
    finally:
        embedded.stop()


def test_a_port_that_is_taken_is_named(embedded_kafka: str, tmp_path: Path) -> None:
    port = int(embedded_kafka.rpartition(":")[2])
    settings: dict[str, Any] = {"broker.engine": "embedded", "broker.data_dir": tmp_path, "broker.port": port}
    with (
        pytest.raises(Failure, match=f"port {port} on 127.0.0.1 is taken"),
        open_broker(load_settings(None, settings)),
    ):
        pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings(None, {"broker.engine": "embedded", "broker.data_dir": tmp_path / "file" / "data"})
    with pytest.raises(Failure, match=r"cannot use .* set broker\.data_dir"), open_broker(settings):
        pass


def test_a_broker_that_fails_to_start_says_what_it_said(tmp_path: Path) -> None:
    broker = new_broker("embedded", tmp_path)
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "kafka.json").write_text("not the state of a broker")
    with pytest.raises(Failure) as caught:
        broker.start()
    assert "GLIBC" not in str(caught.value)
    assert "embedded broker ended with exit code" in str(caught.value)
