"""What a worker needs of the configuration, and which partition a key belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from aiokafka.partitioner import murmur2

from agents.checking import Limits
from agents.security import KafkaSecurity
from agents.topics import Topics

__all__ = ["WorkerConfig", "partition_of"]


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs of the configuration."""

    bootstrap_servers: str
    group: str
    instance: str
    topics: Topics
    partitions: int
    data_dir: Path
    limits: Limits = field(default_factory=Limits)
    replication_factor: int = 1
    security: KafkaSecurity = field(default_factory=KafkaSecurity)


@lru_cache(maxsize=65_536)  # some 250 bytes a key
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that the Java, aiokafka and kafka-python clients give a key (murmur2)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
