"""Where a measurement takes place: topics of its own on a broker, a producer, and readers of what comes out."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka import TopicPartition

from agents.topics import Topics, TopicSpec, topic_specs
from agents.worker_config import partition_of
from monitor import clients
from monitor.bench.load import Sample
from monitor.bench.plain_loop import changelog_of
from monitor.errors import Failure
from monitor.publishing import PRODUCER_OPTIONS
from monitor.sections import KafkaSettings
from monitor.settings import Settings
from monitor.topic_admin import create_topics

__all__ = ["Grounds", "Reader"]

_FLUSH_EVERY = 20_000  # records


@dataclass(frozen=True)
class Grounds:
    """Topics under a prefix of their own, and the settings of workers on them."""

    settings: Settings
    bootstrap: str

    @classmethod
    def new(cls, settings: Settings, bootstrap: str, policy: Path | None = None) -> Grounds:
        """Make topics; with `policy` the workers decide by that file. Raises Failure."""
        if settings.kafka.security_protocol != "PLAINTEXT":
            msg = "bench starts workers by configuration files, which must hold no secrets: give it a plain listener"
            raise Failure(msg)
        name = f"bench-{uuid.uuid4().hex[:8]}"
        changed = {
            "kafka": KafkaSettings(bootstrap_servers=bootstrap),
            "topics": settings.topics.model_copy(update={"prefix": f"{name}."}),
            "worker": settings.worker.model_copy(update={"group": name}),
            "policy": settings.policy if policy is None else settings.policy.model_copy(update={"file": policy}),
        }
        here = settings.model_copy(update=changed)
        create_topics(bootstrap, here, topic_specs(Topics(here.topics.prefix)))
        return cls(here, bootstrap)

    @property
    def topics(self) -> Topics:
        """The topics' names."""
        return Topics(self.settings.topics.prefix)

    @property
    def partitions(self) -> int:
        """Partitions of each topic that is keyed by patient."""
        return self.settings.topics.partitions

    def for_plain_loop(self, name: str) -> Topics:
        """Make topics for a plain loop that reads the same observations; return their names."""
        topics = Topics(f"{self.settings.topics.prefix}{name}.")
        changelog = TopicSpec(changelog_of(topics), {"cleanup.policy": "compact"})
        create_topics(self.bootstrap, self.settings, (*topic_specs(topics), changelog))
        return topics

    def producer(self, **options: Any) -> Any:
        """Return a producer; the caller closes it."""
        return clients.producer(self.settings.kafka, self.bootstrap, **{**PRODUCER_OPTIONS, **options})

    def send(self, samples: Iterable[Sample]) -> int:
        """Publish observations, and return how many, once the broker has acknowledged all."""
        producer = self.producer()
        try:
            count = 0
            for count, (key, value) in enumerate(samples, start=1):
                at = partition_of(key, self.partitions)
                producer.send(self.topics.observations, key=key, value=value, partition=at)
                if count % _FLUSH_EVERY == 0:
                    producer.flush()
            producer.flush()
        finally:
            producer.close()
        return count


class Reader:
    """Reads topics from now on."""

    def __init__(self, grounds: Grounds, topics: Iterable[str]) -> None:
        self._client = clients.consumer(grounds.settings.kafka, grounds.bootstrap, fetch_max_wait_ms=10)
        places = [TopicPartition(topic, number) for topic in topics for number in range(grounds.partitions)]
        self._client.assign(places)
        self._client.seek_to_end(*places)
        for place in places:
            self._client.position(place)

    def poll(self, seconds: float) -> list[Any]:
        """Return the records that have come, at once where there are any, and after `seconds` at the latest."""
        found = self._client.poll(timeout_ms=round(seconds * 1000))
        return [record for records in found.values() for record in records]

    def close(self) -> None:
        """Stop reading."""
        self._client.close(autocommit=False)
