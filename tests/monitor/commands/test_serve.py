"""The command `serve` as a process: health, metrics, a clean end, and what is said when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from agents.exits import Exit
from agents.policy import load_policy
from agents.topics import Topics
from models.artifact import Description, save_model, untrained_model
from models.manifest import Assessable, Calibration, Scale, Thresholds
from models.vital_signs import NAMES
from monitor.brokers import find_running
from monitor.brokers.probe import free_port
from monitor.catalogue import CATALOGUE
from monitor.cli import main
from monitor.clients import producer
from monitor.sections import KafkaSettings
from tests.brokers import new_broker
from tests.monitor.secured import PASSWORD, USER, secured_broker
from tests.waiting import until

PATIENT = "p0019273"  # must show in no log line and in no metric


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that nobody trained: what it says of a patient is not looked at here."""
    folder = tmp_path_factory.mktemp("model")
    description = Description(
        name="tiny",
        version="0.1.0",
        scaling={name: Scale(80.0, 20.0) for name in NAMES},
        calibration=Calibration(1.0, -3.0),
        thresholds=Thresholds(0.03, 0.08, 0.05),
        assessable=Assessable(),
        training={},
        metrics={},
    )
    save_model(folder, untrained_model(1, hidden=8).weights, description)
    return folder


class Served:
    """A worker process, on a local broker of its own unless the environment names a cluster."""

    def __init__(self, folder: Path, model: Path, **environment: str) -> None:
        self.broker_dir = folder / "broker"
        self.port = free_port()
        self.errors = folder / "stderr"
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # in systemd's place
        self.ear.bind(str(folder / "notify"))
        environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "2000000", **environment}
        merged = {**os.environ, "SEPSIS_MONITOR_BROKER__DATA_DIR": str(self.broker_dir), **environment}
        options = ["--model", str(model), "--data-dir", str(folder / "worker"), "--http-port", str(self.port)]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", "serve", *options], env=merged, stderr=errors
            )

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page, status 0 while nobody listens."""
        assert self.process.poll() is None, self.errors.read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0, ""

    def heard(self) -> list[str]:
        """Return what it has told systemd since the last call."""
        lines: list[str] = []
        while True:
            try:
                lines += self.ear.recv(4096, socket.MSG_DONTWAIT).decode().split("\n")
            except BlockingIOError:
                return lines

    def metric(self, name: str) -> float:
        """Return a metric, summed over its labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@pytest.fixture
def served(tmp_path: Path, model: Path) -> Iterator[Served]:
    worker = Served(tmp_path, model)
    yield worker
    if worker.process.poll() is None:
        worker.process.kill()
    worker.process.wait()


def send_observation(bootstrap: str) -> None:
    value = {"patient_id": PATIENT, "time": datetime.now(UTC).isoformat(), "heart_rate": 96, "temperature": 38.2}
    sender = producer(KafkaSettings(), bootstrap)
    sender.send(Topics().observations, key=PATIENT.encode(), value=json.dumps(value).encode())
    sender.send(Topics().observations, key=PATIENT.encode(), value=b"{")
    sender.close()


def test_a_worker_becomes_ready_counts_what_it_does_and_ends_cleanly(served: Served) -> None:
    until(lambda: served.get("/readyz")[0] == 200, seconds=60, what="ready")
    assert served.get("/livez") == (200, "[]\n")
    until(lambda: "READY=1" in served.heard(), what="systemd told that it is ready")
    until(lambda: served.heard() == ["WATCHDOG=1"], what="a sign of life")
    running = find_running(served.broker_dir)
    assert running is not None
    send_observation(running.bootstrap_servers)
    until(lambda: served.metric("sepsis_monitor_observations_accepted_total") == 1, what="the observation counted")
    until(lambda: served.metric("sepsis_monitor_observations_rejected_total") == 1, what="the bad one counted")
    until(lambda: served.metric("sepsis_monitor_patients_watched") == 1, what="the patient watched")
    assert served.metric("sepsis_monitor_append_to_risk_seconds_count") == 1
    text = served.get("/metrics")[1]
    assert 'sepsis_monitor_model_info{digest="sha256:' in text
    for metric in CATALOGUE:
        assert f"# TYPE {metric.name.removesuffix('_total')}" in text.replace("_total counter", " counter")
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(30) == Exit.DRAINED
    assert "STOPPING=1" in served.heard()
    log = served.errors.read_text()
    assert PATIENT not in text + log
    told = [json.loads(line) for line in log.splitlines()]  # every line is JSON
    (foreign,) = (line["meaning"] for line in told if line["event"] == "policy_of_another_model")
    assert f"chosen for the model {load_policy().model}, not for tiny 0.1.0" in foreign
    assert find_running(served.broker_dir) is None


def test_a_worker_that_is_told_to_stop_while_it_starts_ends_cleanly(served: Served) -> None:
    until(lambda: find_running(served.broker_dir), what="the broker, which comes up before the worker")
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == Exit.DRAINED, served.errors.read_text()
    assert find_running(served.broker_dir) is None


def test_a_worker_works_on_a_cluster_that_wants_a_password_over_tls(tmp_path: Path, model: Path) -> None:
    broker = secured_broker(tmp_path / "kafka")
    broker.start()
    said = {
        "BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.tls_port}",
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "PLAIN",
        "SASL_PLAIN_USERNAME": USER,
        "SASL_PLAIN_PASSWORD": PASSWORD,
        "SSL_CAFILE": str(broker.authority),
    }
    worker = Served(tmp_path, model, **{f"SEPSIS_MONITOR_KAFKA__{key}": value for key, value in said.items()})
    try:
        until(lambda: worker.get("/readyz")[0] == 200, seconds=90, what="ready")
        send_observation(broker.bootstrap_servers)
        until(lambda: worker.metric("sepsis_monitor_observations_accepted_total") == 1, what="the observation counted")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == Exit.DRAINED
    finally:
        worker.process.kill()
        worker.process.wait()
        broker.stop()


def test_a_worker_waits_for_a_cluster_that_is_not_there_yet(tmp_path: Path, model: Path) -> None:
    broker = new_broker("embedded", tmp_path / "elsewhere")
    broker.port = free_port()
    worker = Served(tmp_path, model, SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{broker.port}")
    try:
        until(lambda: worker.get("/readyz") == (503, '["broker"]\n'), what="not ready, and why")
        until(lambda: "cluster_unavailable" in worker.errors.read_text(), seconds=60, what="the reason in the log")
        assert worker.get("/livez")[0] == 200
        assert worker.metric("sepsis_monitor_failing_checks") == 1
        broker.start()
        until(lambda: worker.get("/readyz")[0] == 200, seconds=90, what="ready")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == Exit.DRAINED
    finally:
        worker.process.kill()
        worker.process.wait()
        broker.stop()
    told = [json.loads(line) for line in worker.errors.read_text().splitlines()]
    assert "check that it runs there" in next(one for one in told if one["event"] == "cluster_unavailable")["meaning"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--policy", "no-such-policy.toml"], "the policy file no-such-policy.toml cannot be read"),
        (["--instance", "a worker"], "worker.instance (command line)"),
    ],
)
def test_what_it_cannot_start_with_is_one_line(tmp_path: Path, model: Path, options: list[str], expected: str) -> None:
    environment = {"SEPSIS_MONITOR_BROKER__DATA_DIR": str(tmp_path)}
    done = CliRunner().invoke(main, ["serve", "--model", str(model), *options], env=environment)
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr


def test_a_taken_http_port_is_one_line_and_leaves_no_broker(tmp_path: Path, model: Path, embedded_kafka: str) -> None:
    port = embedded_kafka.rpartition(":")[2]
    command = [sys.executable, "-m", "monitor", "--log-level", "error", "serve", "--model", str(model)]
    environment = {**os.environ, "SEPSIS_MONITOR_BROKER__DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [*command, "--http-port", port], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"127.0.0.1:{port}: Address already in use" in done.stderr
    assert find_running(tmp_path) is None
