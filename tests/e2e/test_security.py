"""The whole pipeline on a secured cluster: each part is who it says, may do what is documented, and nothing more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kafka.errors import KafkaError

from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.access import ROLES, grants
from monitor.brokers.probe import free_port
from monitor.catalogue import CERTIFICATE_EXPIRY
from monitor.cli import main
from monitor.sections import KafkaSettings
from monitor.settings import load_settings
from tests.e2e.test_pipeline import to_frame
from tests.e2e.ward import Ward, real_stays
from tests.monitor.guarded import PASSWORD, PLAIN_USER, GuardedBroker, guarded_broker
from tests.monitor.notify.hooks import hook, write_receivers
from tests.waiting import until

_TOPICS = Topics("icu.")
_GROUP = "icu-workers"
_STRANGER, _NEWCOMER, _LATECOMER = "stranger", "newcomer", "latecomer"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    found = guarded_broker(tmp_path_factory.mktemp("guarded"))
    found.start()
    try:
        found.add_users([*ROLES, _STRANGER, _NEWCOMER, _LATECOMER])
        for role in ROLES:
            found.grant(f"User:{role}", [one for one in grants(_TOPICS, _GROUP) if one.role == role])
        yield found
    finally:
        found.stop()


@dataclass(frozen=True)
class Part:
    """A part of the service, as a user of the cluster."""

    broker: GuardedBroker
    user: str
    mechanism: str = "SCRAM-SHA-512"
    password: str = PASSWORD

    @property
    def kafka(self) -> dict[str, str]:
        """Settings of its connection."""
        return {
            "bootstrap_servers": f"127.0.0.1:{self.broker.sasl_port}",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
            "ssl_cafile": str(self.broker.authority),
        }

    @property
    def settings(self) -> KafkaSettings:
        """The same, as settings."""
        return load_settings(None, {f"kafka.{key}": value for key, value in self.kafka.items()}).kafka

    @property
    def environment(self) -> dict[str, str]:
        """The same, as the environment of a command."""
        return {
            **{f"SEPSIS_MONITOR_KAFKA__{key.upper()}": value for key, value in self.kafka.items()},
            "SEPSIS_MONITOR_TOPICS__PREFIX": _TOPICS.prefix,
            "SEPSIS_MONITOR_WORKER__GROUP": _GROUP,
        }

    def with_password_in(self, folder: Path) -> dict[str, str]:
        """Return the environment with the password in a file."""
        file = folder / "password"
        file.write_text(f"{self.password}\n")
        variables = dict(self.environment)
        del variables["SEPSIS_MONITOR_KAFKA__SASL_PLAIN_PASSWORD"]
        return {**variables, "SEPSIS_MONITOR_KAFKA__SASL_PLAIN_PASSWORD_FILE": str(file)}

    def say(self, *words: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(main, list(words), env=self.environment)


def may_write(part: Part, topic: str) -> bool:
    sender = clients.producer(part.settings, part.kafka["bootstrap_servers"])
    try:
        sender.send(topic, key=b"p", value=b"{}").get(timeout=20)
    except KafkaError as error:
        if "AuthorizationFailed" not in repr(error):  # of the topic's, or the cluster's where a user may write nowhere
            raise
        return False
    finally:
        sender.close(timeout=5)
    return True


def test_the_pipeline_works_with_the_documented_rights_and_no_others(broker: GuardedBroker, tmp_path: Path) -> None:
    admin, worker, gateway = Part(broker, "admin"), Part(broker, "worker"), Part(broker, "gateway", "SCRAM-SHA-256")
    canary, subscriber = Part(broker, "canary"), Part(broker, "subscriber")
    created = admin.say("topics", "create", "--json")
    assert created.exit_code == 0, created.output
    assert {topic["state"] for topic in json.loads(created.stdout)} == {"created"}
    settings = load_settings(None, {"topics.prefix": _TOPICS.prefix, "worker.group": _GROUP})
    more = {"SEPSIS_MONITOR_WORKER__DATA_DIR": str(tmp_path / "data")}
    ward = Ward(settings, broker.bootstrap_servers, tmp_path, {**worker.with_password_in(tmp_path), **more})
    try:
        ward.start()
        ward.wait_ready()
        sung = canary.say("canary", "--once", "--json")
        file = tmp_path / "stays.parquet"
        to_frame(real_stays(6, seed=5)).write_parquet(file)
        sent = gateway.say("replay", str(file))
        assert sent.exit_code == 0, sent.output
        command(Part(broker, "staff"), "p1")
        ward.drain()
        followed = subscriber.say("alerts", "--json")
        shared = subscriber.say("alerts", "--json", "--group", f"{_GROUP}-subscriber-pager")
        posted, taken = notified(subscriber, tmp_path)
        shown = Part(broker, "board").say("board", "--once")
        handed = Part(broker, "board").say("handover", "--json")
        looked = Part(broker, "budget").say("budget", "--once", "--json")
        put_back = Part(broker, "budget").say("budget", "--reset", "--json")
        audited = audit(Part(broker, "auditor"))
        erased = Part(broker, "eraser").say("forget", real_stays(6, seed=5).patient_ids[0], "--yes")
        assert ward.terminate() == 0
    finally:
        for process in ward.workers.values():
            process.kill()
            process.wait()
    for said in (sung, erased, followed, shared, posted, shown, handed, looked, put_back, *audited):
        assert said.exit_code == 0, said.output
        assert PASSWORD not in said.output
    assert json.loads(sung.stdout)["missed"] == []
    assert json.loads(handed.stdout)["last_shift"]["patient_days"] > 0
    alerts = [json.loads(line) for line in followed.stdout.splitlines()]
    assert len(alerts) == len([event for event in ward.values(_TOPICS.alert_events) if not event["test"]])
    assert sorted(shared.stdout.splitlines()) == sorted(followed.stdout.splitlines())
    assert json.loads(audited[0].stdout)["before"]["alerts"] == sepsis_alerts(alerts)
    assert audited[1].stdout.splitlines() == followed.stdout.splitlines()[:3]
    # The notifier posts test alerts too: a receiver that does not want them says so.
    assert {alert["event_id"] for alert in alerts} <= taken
    assert ("rejected", "unknown_alert") in {(alert["transition"], alert["reason"]) for alert in alerts}
    assert len(ward.records(_TOPICS.scores)) > 6
    assert PASSWORD not in ward.log()
    assert "uthoriz" not in ward.log()


def audit(part: Part) -> list[Result]:
    """Do what an auditor does: simulate over the log, follow alerts, look at the ward; read every topic."""
    known = load_settings(None, {f"kafka.{key}": value for key, value in part.kafka.items()})
    reader = Ward(known, part.kafka["bootstrap_servers"], Path(), {})
    read = {spec.name: len(reader.records(spec.name)) for spec in topic_specs(_TOPICS)}
    assert read[_TOPICS.observations] > read[_TOPICS.alert_commands] > 0
    return [
        part.say("simulate", "--json"),
        part.say("alerts", "--json", "--follow", "--max", "3"),
        part.say("handover", "--json"),
        part.say("board", "--once"),
        part.say("topics", "list"),
    ]


def sepsis_alerts(alerts: list[dict[str, Any]]) -> int:
    """Return how many alerts of sepsis were raised, tests not among them."""
    return sum(alert["kind"] == "sepsis_risk" and alert["transition"] == "raised" for alert in alerts)


def notified(part: Part, folder: Path) -> tuple[Result, set[str]]:
    """Post all alert events to a webhook; return what the command said, and which events arrived."""
    with hook() as pager:
        file = write_receivers(folder, f'[[receivers]]\nname = "pager"\nurl = "{pager.url}"\nsecret_file = "secret"\n')
        said = part.say("notify", str(file), "--state", str(folder / "outbox"), "--from", "beginning", "--once")
    return said, {request.event["event_id"] for request in pager.taken()}


def command(part: Part, patient: str) -> None:
    said = {
        "command_id": "board-1",
        "patient_id": patient,
        "alert_id": "9f645011-4f13-5e22-aa40-c0bac1f33490",
        "type": "acknowledge",
        "time": datetime.now(UTC).isoformat(),
    }
    sender = clients.producer(part.settings, part.kafka["bootstrap_servers"])
    sender.send(_TOPICS.alert_commands, key=patient.encode(), value=json.dumps(said).encode()).get(timeout=20)
    sender.close()


def test_each_part_may_write_where_it_must_and_nowhere_else(broker: GuardedBroker) -> None:
    Part(broker, "admin").say("topics", "create")
    wanted = {
        (one.role, one.name) for one in grants(_TOPICS, _GROUP) if one.resource == "topic" and "Write" in one.operations
    }
    for role in ("gateway", "canary", "subscriber", "board", "staff", "admin", "budget"):
        for topic in (_TOPICS.observations, _TOPICS.alert_events, _TOPICS.alert_commands, _TOPICS.budgets):
            assert may_write(Part(broker, role), topic) == ((role, topic) in wanted), (role, topic)
    for spec in topic_specs(_TOPICS):
        assert not may_write(Part(broker, "auditor"), spec.name), spec.name


def test_who_has_no_rights_is_told_so_in_one_line(broker: GuardedBroker, tmp_path: Path) -> None:
    stranger = Part(broker, _STRANGER)
    file = tmp_path / "stays.parquet"
    to_frame(real_stays(1, seed=5)).write_parquet(file)
    for words in (("topics", "create"), ("replay", str(file)), ("alerts",), ("board", "--once"), ("canary", "--once"),
                  ("forget", "p1", "--yes")):  # fmt: skip
        said = stranger.say(*words)
        told = [line for line in said.stderr.splitlines() if not line.startswith("{")]  # log lines stand beside it
        assert (said.exit_code, len(told)) == (1, 1), (words, said.output)


def test_a_worker_asks_again_until_its_password_and_its_rights_are_there(broker: GuardedBroker, tmp_path: Path) -> None:
    Part(broker, "admin").say("topics", "create")
    newcomer = replace(Part(broker, _NEWCOMER), password=PASSWORD[::-1])
    more = {"SEPSIS_MONITOR_WORKER__DATA_DIR": str(tmp_path / "data")}
    ward = Ward(load_settings(), broker.bootstrap_servers, tmp_path, {**newcomer.environment, **more})
    ward.start()
    try:
        admit(broker, newcomer, "worker", ward.ports["worker-1"], ward.log)
        ward.wait_ready()
        assert ward.terminate() == 0
    finally:
        ward.workers["worker-1"].kill()
        ward.workers["worker-1"].wait()
    assert newcomer.password not in ward.log()


def test_a_canary_waits_for_its_password_and_its_rights_too(broker: GuardedBroker, tmp_path: Path) -> None:
    Part(broker, "admin").say("topics", "create")
    latecomer, port, log = replace(Part(broker, _LATECOMER), password=PASSWORD[::-1]), free_port(), tmp_path / "log"
    environment = {**os.environ, **latecomer.environment, "SEPSIS_MONITOR_HTTP__PORT": str(port)}
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "canary"], env=environment, stdout=said, stderr=said
        )
    try:
        admit(broker, latecomer, "canary", port, log.read_text)
        until(lambda: failing_at(port) != ["broker"], seconds=60, what=log.read_text()[-2000:])
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert latecomer.password not in log.read_text()


def admit(broker: GuardedBroker, part: Part, role: str, port: int, log: Callable[[], str]) -> None:
    """See that a waiting program tells of its wrong password, then of its missing rights; mend each once it has."""
    until(lambda: "cluster_unavailable" in log(), seconds=60, what="the wrong password told of")
    assert "kafka.sasl_plain_password" in log()
    assert failing_at(port) == ["broker"]
    broker.add_users([part.user], part.password)
    until(lambda: "refused to create the topic" in log(), seconds=60, what="missing rights told of")
    assert failing_at(port) == ["broker"]
    broker.grant(f"User:{part.user}", [one for one in grants(_TOPICS, _GROUP) if one.role == role])


def failing(ward: Ward) -> list[str]:
    """Return the checks for which /readyz says that the worker is not ready."""
    return failing_at(ward.ports["worker-1"])


def failing_at(port: int) -> list[str]:
    """Return the checks for which a program on this port says that it is not ready."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
    assert caught.value.code == 503
    found: list[str] = json.loads(caught.value.read())
    return found


@pytest.mark.parametrize("connect", [clients.admin, clients.producer, clients.consumer])
def test_every_client_knows_every_way_to_log_in(broker: GuardedBroker, connect: Any) -> None:
    for user, mechanism in ((PLAIN_USER, "PLAIN"), ("gateway", "SCRAM-SHA-256"), ("gateway", "SCRAM-SHA-512")):
        part = Part(broker, user, mechanism)
        connect(part.settings, part.kafka["bootstrap_servers"]).close()
    certificate, key = broker.certify("client")
    kafka = KafkaSettings(
        security_protocol="SSL", ssl_cafile=broker.authority, ssl_certfile=certificate, ssl_keyfile=key
    )
    connect(kafka, f"127.0.0.1:{broker.tls_port}").close()


def by_certificate(broker: GuardedBroker) -> dict[str, str]:
    """Return a worker's connection with a client certificate in a password's place."""
    certificate, key = broker.certify("worker")
    broker.grant("User:CN=worker", [one for one in grants(_TOPICS, _GROUP) if one.role == "worker"])
    said = {
        "BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.tls_port}",
        "SECURITY_PROTOCOL": "SSL",
        "SSL_CAFILE": str(broker.authority),
        "SSL_CERTFILE": str(certificate),
        "SSL_KEYFILE": str(key),
    }
    return {f"SEPSIS_MONITOR_KAFKA__{name}": value for name, value in said.items()}


def by_plain(broker: GuardedBroker) -> dict[str, str]:
    broker.grant(f"User:{PLAIN_USER}", [one for one in grants(_TOPICS, _GROUP) if one.role == "worker"])
    return Part(broker, PLAIN_USER, "PLAIN").environment


def by_scram_256(broker: GuardedBroker) -> dict[str, str]:
    return Part(broker, "worker", "SCRAM-SHA-256").environment


def expiring(ward: Ward) -> set[str]:
    """Return of which files a worker shows when their certificates expire: in some days, not before."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ward.ports['worker-2']}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = dict(re.findall(rf'^{CERTIFICATE_EXPIRY.name}{{file="(\w+)"}} (\S+)$', text, re.MULTILINE))
    assert all(float(seconds) > time.time() for seconds in found.values())
    return set(found)


@pytest.mark.parametrize("connected", [by_certificate, by_plain, by_scram_256])
def test_the_workers_engine_knows_other_ways_to_log_in(broker: GuardedBroker, tmp_path: Path, connected: Any) -> None:
    Part(broker, "admin").say("topics", "create")
    environment = {
        **connected(broker),
        "SEPSIS_MONITOR_TOPICS__PREFIX": _TOPICS.prefix,
        "SEPSIS_MONITOR_WORKER__GROUP": _GROUP,
        "SEPSIS_MONITOR_WORKER__DATA_DIR": str(tmp_path / "data"),
    }
    settings = load_settings(None, {"topics.prefix": _TOPICS.prefix, "worker.group": _GROUP})
    ward = Ward(settings, broker.bootstrap_servers, tmp_path, environment)
    ward.start("worker-2")
    try:
        ward.wait_ready("worker-2")
        assert expiring(ward) == ({"client", "ca"} if connected is by_certificate else {"ca"})
        sung = Part(broker, "canary").say("canary", "--once")
        assert sung.exit_code == 0, sung.output
        ward.drain()  # the canaries' discharges, or their alerts would still be open for the next worker
        assert ward.terminate("worker-2") == 0
    finally:
        ward.workers["worker-2"].kill()
        ward.workers["worker-2"].wait()
