"""Three nodes of Apache Kafka on loopback: replication 3, and two replicas must have a record."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.stage import Broker

__all__ = ["new_cluster"]


def new_cluster(folder: Path) -> Broker:
    raise NotImplementedError
