"""`alerts --group`: followers that share the alerts on Apache Kafka, and one at a time on the embedded local broker."""

from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.positions import GroupPositions
from monitor.settings import load_settings
from monitor.topic_admin import create_topics
from tests.brokers import new_broker
from tests.monitor.alert_examples import alert
from tests.waiting import until

SECONDS = 60


class Ward:
    """Topics of alerts, and followers of them whose output goes to files."""

    def __init__(self, bootstrap: str, folder: Path, **environment: str) -> None:
        self.bootstrap, self.folder, self.group = bootstrap, folder, f"pager-{uuid.uuid4().hex}"
        self.environment = {**os.environ, **environment}
        prefix = environment["SEPSIS_MONITOR_TOPICS__PREFIX"]
        self.settings = load_settings(None, {"kafka.bootstrap_servers": bootstrap, "topics.prefix": prefix})
        self.topics = Topics(prefix)
        create_topics(bootstrap, self.settings, topic_specs(self.topics))
        self.followers: dict[str, subprocess.Popen[bytes]] = {}

    def follow(self, name: str, *arguments: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Start a follower of the group; it prints into a file, or into `stdout`."""
        command = [sys.executable, "-m", "monitor", "alerts", "--json", "--group", self.group, *arguments]
        with (self.folder / name).open("wb") as out, (self.folder / f"{name}.err").open("wb") as errors:
            process = subprocess.Popen(command, env=self.environment, stdout=stdout or out, stderr=errors)
        self.followers[name] = process
        return process

    def once(self, *arguments: str) -> list[str]:
        """Return the ids that a follower prints up to the topic's end."""
        name = uuid.uuid4().hex
        assert self.follow(name, *arguments).wait(SECONDS) == 0, self.errors(name)
        return self.printed(name)

    def printed(self, *names: str) -> list[str]:
        """Return the ids of the events that followers have printed, in the order of each."""
        lines = [line for name in names for line in (self.folder / name).read_text().splitlines(keepends=True)]
        return [json.loads(line)["event_id"] for line in lines if line.endswith("\n")]

    def wait_printed(self, count: int, *names: str) -> None:
        """Wait until followers have printed so many events together."""
        until(lambda: len(self.printed(*names)) >= count, what=f"{count} events printed by {names}")

    def errors(self, name: str) -> str:
        """Return what a follower has said on stderr."""
        return (self.folder / f"{name}.err").read_text()

    def publish(self, ids: Sequence[str]) -> None:
        """Publish an event of each id, spread over the partitions."""
        producer = clients.producer(self.settings.kafka, self.bootstrap)
        for name in ids:
            producer.send(self.topics.alert_events, key=name.encode(), value=msgspec.json.encode(alert(event_id=name)))
        producer.close()

    def committed(self) -> int:
        """Return how many records the group has behind it, over all partitions."""
        admin = clients.admin(self.settings.kafka, self.bootstrap)
        try:
            return sum(GroupPositions(admin, self.group).committed(self.topics.alert_events).values())
        finally:
            admin.close()

    def close(self) -> None:
        """Kill what still follows."""
        for process in self.followers.values():
            process.kill()
            process.wait()


@pytest.fixture
def ward(apache_kafka: str, tmp_path: Path) -> Iterator[Ward]:
    environment = {
        "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": apache_kafka,
        "SEPSIS_MONITOR_TOPICS__PREFIX": f"{uuid.uuid4().hex}.",
    }
    ward = Ward(apache_kafka, tmp_path, **environment)
    yield ward
    ward.close()


def ids(word: str, count: int) -> list[str]:
    return [f"{word}-{number}" for number in range(count)]


def test_followers_share_the_events_and_one_that_was_killed_is_replaced(ward: Ward) -> None:
    for name in ("a", "b"):
        ward.follow(name, "--follow")
    sent: list[str] = []
    # Until both have printed some, for the second one may still be joining.
    while not (ward.printed("a") and ward.printed("b")):
        assert len(sent) < 2000, (ward.errors("a"), ward.errors("b"))
        wave = ids(f"after{len(sent)}", 20)
        ward.publish(wave)
        sent += wave
        ward.wait_printed(len(sent), "a", "b")
    assert Counter(ward.printed("a", "b")) == Counter(sent)
    until(lambda: ward.committed() == len(sent), what="the positions committed")

    ward.followers["a"].kill()
    ward.followers["a"].wait()
    began, before = time.monotonic(), len(ward.printed("b"))
    ward.publish(ids("late", 20))
    ward.wait_printed(before + 20, "b")
    assert time.monotonic() - began < 20
    assert Counter(ward.printed("b")[before:]) == Counter(ids("late", 20))
    ward.followers["b"].send_signal(signal.SIGTERM)
    assert ward.followers["b"].wait(SECONDS) == 0
    assert ward.once() == []
    assert "Traceback" not in ward.errors("a") + ward.errors("b")


def test_the_start_counts_only_where_the_group_has_no_position(ward: Ward) -> None:
    ward.publish(ids("early", 8))
    assert ward.once("--from", "now") == []
    ward.publish(ids("late", 8))
    assert sorted(ward.once("--from", "beginning")) == ids("late", 8)


def test_a_follower_that_the_group_has_given_up_goes_on_and_no_event_is_lost(ward: Ward) -> None:
    """It is stopped with its output full, for longer than the session; its commit comes too late and is refused."""
    reader, writer = os.pipe()
    slow = ward.follow("slow", "--follow", stdout=writer)
    os.close(writer)
    ward.publish(ids("many", 200))
    until(lambda: _waiting(reader) > 30_000, what="the pipe full")  # of 16 pages, each holds whole lines only
    slow.send_signal(signal.SIGSTOP)
    other = ward.follow("other", "--follow")
    until(lambda: ward.committed() == 200, what="the other one has taken over")
    slow.send_signal(signal.SIGCONT)
    seen: list[str] = []
    drain = threading.Thread(target=_collect, args=(reader, seen))
    drain.start()
    until(lambda: "commit_refused" in ward.errors("slow"), what="its commit refused")
    other.send_signal(signal.SIGTERM)
    assert other.wait(SECONDS) == 0
    ward.publish(ids("more", 20))
    wanted = {*ids("many", 200), *ids("more", 20)}
    until(lambda: {*seen, *ward.printed("other")} == wanted, what="every event printed by one or the other")
    slow.send_signal(signal.SIGTERM)
    assert slow.wait(SECONDS) == 0, ward.errors("slow")
    drain.join()
    assert len(seen) == len(set(seen))
    assert "Traceback" not in ward.errors("slow")


def _waiting(reader: int) -> int:
    """Return the bytes that wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]


def _collect(reader: int, seen: list[str]) -> None:
    with os.fdopen(reader) as lines:
        for line in lines:
            seen.append(json.loads(line)["event_id"])


def test_on_the_embedded_local_broker_a_killed_follower_is_replaced_at_once(tmp_path: Path) -> None:
    broker = new_broker("embedded", tmp_path / "broker")
    broker.start()
    environment = {
        "SEPSIS_MONITOR_BROKER__DATA_DIR": str(tmp_path / "broker"),
        "SEPSIS_MONITOR_TOPICS__PREFIX": "",
    }
    ward = Ward(broker.bootstrap_servers, tmp_path, **environment)
    try:
        ward.publish(ids("early", 8))
        ward.follow("a", "--follow")
        until(lambda: len(ward.printed("a")) == 8 == ward.committed(), what="the first follower")
        ward.followers["a"].kill()
        ward.followers["a"].wait()
        ward.publish(ids("late", 8))
        began = time.monotonic()
        assert sorted(ward.once()) == ids("late", 8)
        assert time.monotonic() - began < 5  # and not the session timeout
    finally:
        ward.close()
        broker.stop()
