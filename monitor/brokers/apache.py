"""Apache Kafka itself, one node in KRaft mode, from a distribution on this machine: here promises are proved."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from monitor.brokers.java import find_java
from monitor.brokers.probe import free_port
from monitor.brokers.process import BrokerProcess
from monitor.errors import Failure

__all__ = ["ApacheBroker", "new_cluster_id"]

_FORMAT_SECONDS = 60.0
# One node, quick to start: one replica of everything, few internal partitions, no pause before a first rebalance.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={log_dirs}
auto.create.topics.enable=false
num.partitions=4
default.replication.factor=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=33554432
"""
_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.target=SYSTEM_ERR
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p %m (%c{1})%n
"""


def new_cluster_id(draw: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Return a random cluster id in Kafka's form: 16 bytes in URL-safe base 64, never with a dash in front.

    A leading dash would be read as an option by the tool that takes the id.
    """
    while True:
        cluster = base64.urlsafe_b64encode(draw().bytes).decode().rstrip("=")
        if not cluster.startswith("-"):
            return cluster


class ApacheBroker(BrokerProcess):
    """Apache Kafka on one data folder and two ports of loopback."""

    engine = "kafka"
    start_seconds = 90.0  # 4 s on a quiet machine
    stop_seconds = 90.0
    clean_exits = frozenset({0, 143})  # the JVM ends with 128 + SIGTERM after its shutdown hooks have run

    def __init__(
        self, data_dir: Path, *, kafka_home: Path | None, java_home: Path | None = None, port: int = 0
    ) -> None:
        super().__init__(data_dir, port=port)
        self._home = _distribution(kafka_home)
        self._java = find_java(java_home)

    @property
    def _config(self) -> Path:
        return self.data_dir / "server.properties"

    def _prepare(self) -> None:
        logs = self.data_dir / "kafka"
        if any(sign in str(logs) for sign in ",\\\n"):
            msg = f"Apache Kafka cannot keep data in {logs}: its configuration has no way to write that name"
            raise Failure(msg)
        controller = free_port(avoid=self.port)
        (self.data_dir / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        self._config.write_text(
            _PROPERTIES.format(port=self.port, controller=controller, log_dirs=logs), encoding="utf-8"
        )
        if not (logs / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        cluster = new_cluster_id()
        command = [self._script("kafka-storage.sh"), "format", "--standalone", "-t", cluster, "-c", str(self._config)]
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and every word is ours or a configured path
                command,
                env=dict(self._environment()),
                capture_output=True,
                text=True,
                timeout=_FORMAT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"formatting Apache Kafka's data folder {self.data_dir} took longer than {_FORMAT_SECONDS:.0f} s"
            raise Failure(msg) from error
        if done.returncode != 0:
            msg = f"cannot format Apache Kafka's data folder {self.data_dir}: {done.stderr.strip()[-400:]}"
            raise Failure(msg)

    def _command(self) -> list[str]:
        return [self._script("kafka-server-start.sh"), str(self._config)]

    def _script(self, name: str) -> str:
        return str(self._home / "bin" / name)

    def _environment(self) -> Mapping[str, str]:
        ours = {
            "KAFKA_HEAP_OPTS": "-Xms128m -Xmx512m",
            "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto",
            "EXTRA_ARGS": "-name kafkaServer",  # the distribution's default adds a log of garbage collections
        }
        fixed = {
            "JAVA_HOME": str(self._java.parent.parent),
            "LOG_DIR": str(self.data_dir / "kafka-logs"),  # the default lies within the distribution
            "KAFKA_LOG4J_OPTS": f"-Dlog4j2.configurationFile=file:{self.data_dir / 'log4j2.properties'}",
        }
        return {**ours, **os.environ, **fixed}


def _distribution(home: Path | None) -> Path:
    """Return the absolute path of a Kafka distribution, or a Failure that says how to get one."""
    how = (
        "download a binary release of Apache Kafka 4 from kafka.apache.org, unpack it and set KAFKA_HOME to its folder"
    )
    if home is None:
        msg = f"broker.engine is kafka, but KAFKA_HOME is not set: {how}, or set broker.engine to embedded"
        raise Failure(msg)
    if not (home / "bin" / "kafka-server-start.sh").is_file():
        msg = f"{home} is no distribution of Apache Kafka (it has no bin/kafka-server-start.sh): {how}"
        raise Failure(msg)
    return home.resolve()
