"""Three nodes of Apache Kafka on loopback: replication 3, and a record counts once two replicas have it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from monitor import clients
from monitor.brokers.apache import ApacheBroker, new_cluster_id
from monitor.brokers.probe import free_port
from monitor.settings import load_settings

__all__ = ["NODES", "Cluster", "new_cluster"]

NODES = 3
_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.bootstrap.servers={controllers}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={folder}
auto.create.topics.enable=false
num.partitions=4
default.replication.factor=3
min.insync.replicas=2
offsets.topic.num.partitions=4
offsets.topic.replication.factor=3
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=33554432
broker.session.timeout.ms=6000
"""


class Node(ApacheBroker):
    """One of them; it answers once the others are there too."""

    def __init__(self, folder: Path, number: int, port: int, configure: Callable[[Node], str]) -> None:
        home = load_settings(None, {"broker.engine": "kafka"}).broker
        super().__init__(folder, kafka_home=home.kafka_home, java_home=home.java_home, port=port)
        self.number = number
        self._configure = configure

    def launch(self) -> None:
        """Start the process without waiting for its answer."""
        assert self.try_lock(), f"{self.data_dir} is in use"
        self._prepare()
        self._launch()

    def await_answer(self) -> None:
        """Return when it answers. Raises Failure."""
        self._await_answer()

    def start(self) -> None:
        """Start again, the others being there."""
        self.launch()
        self.await_answer()

    def _format(self) -> None:
        """Leave that to the cluster, which does all of them at once."""

    def _prepare(self) -> None:
        super()._prepare()
        self._config.write_text(self._configure(self), encoding="utf-8")

    def format_with(self, cluster: str, controllers: str) -> None:
        """Format the data folder as a member of a cluster."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._prepare()
        command = [
            self._script("kafka-storage.sh"),
            "format",
            "-t",
            cluster,
            "-I",
            controllers,
            "-c",
            str(self._config),
        ]
        subprocess.run(command, env=dict(self._environment()), capture_output=True, check=True, timeout=120)


class Cluster:
    """Has the life of one broker; `nodes` are the single ones."""

    def __init__(self, folder: Path) -> None:
        self._controllers = [free_port() for _ in range(NODES)]
        self._folder = folder
        ports = [free_port() for _ in range(NODES)]
        self.nodes = [Node(folder / f"node-{n}", n, ports[n - 1], self._configure) for n in range(1, NODES + 1)]
        self._formatted = False

    @property
    def bootstrap_servers(self) -> str:
        """Where all of them listen."""
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def start(self) -> None:
        """Start all that do not run, at once: one alone has no quorum."""
        if not self._formatted:
            self._format()
        down = [node for node in self.nodes if node.pid is None]
        for node in down:
            node.launch()
        for node in down:
            node.await_answer()

    def stop(self) -> None:
        """Stop all at once: the last two could not elect anybody, and would wait for each other."""
        threads = [threading.Thread(target=node.stop) for node in self.nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def kill(self) -> None:
        """SIGKILL all."""
        for node in self.nodes:
            node.kill()

    def _format(self) -> None:
        cluster = new_cluster_id()
        controllers = ",".join(
            f"{n}@127.0.0.1:{port}:{new_cluster_id()}" for n, port in enumerate(self._controllers, start=1)
        )
        for node in self.nodes:
            node.format_with(cluster, controllers)
        self._formatted = True

    def _configure(self, node: Node) -> str:
        return _PROPERTIES.format(
            node=node.number,
            controllers=",".join(f"127.0.0.1:{port}" for port in self._controllers),
            port=node.port,
            controller=self._controllers[node.number - 1],
            folder=node.data_dir / "kafka",
        )

    def leader(self, topic: str, partition: int) -> Node:
        """Return the node that leads a partition."""
        found = self._admin().list_topics(topic, timeout=30).topics[topic].partitions[partition].leader
        return self.nodes[found - 1]

    def follower(self, topic: str, partition: int) -> Node:
        """Return a node that follows a partition's leader."""
        described = self._admin().list_topics(topic, timeout=30).topics[topic].partitions[partition]
        return self.nodes[next(n for n in described.isrs if n != described.leader) - 1]

    def controller(self) -> Node:
        """Return the node that is the active controller: the leader of the cluster's own log."""
        admin = clients.admin(load_settings(None, {}).kafka, self.bootstrap_servers)
        try:
            (quorum,) = admin.describe_metadata_quorum()["topics"]
            return self.nodes[int(quorum["partitions"][0]["leader_id"]) - 1]
        finally:
            admin.close()

    def whole(self, topics: Sequence[str]) -> bool:
        """Tell whether every partition of these topics has all its replicas in sync."""
        try:
            found = self._admin().list_topics(timeout=10).topics
        except KafkaException:
            return False
        return all(len(part.isrs) == NODES for topic in topics for part in found[topic].partitions.values())

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})


def new_cluster(folder: Path) -> Cluster:
    """Return a cluster that is not started yet."""
    return Cluster(folder)
