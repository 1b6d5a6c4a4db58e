"""A topic of alerts on the embedded broker, for the commands that follow it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec
import pytest

from agents.messages import AlertEvent
from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.settings import Settings, load_settings
from monitor.topic_admin import create_topics

__all__ = ["publish", "settings", "variables"]


@pytest.fixture
def settings(embedded_kafka: str) -> Settings:
    """Topics under a prefix of their own, made and empty."""
    overrides = {"kafka.bootstrap_servers": embedded_kafka, "topics.prefix": f"{uuid.uuid4().hex}."}
    settings = load_settings(None, overrides)
    create_topics(embedded_kafka, settings, topic_specs(Topics(settings.topics.prefix)))
    return settings


def variables(settings: Settings) -> dict[str, str]:
    """Return the environment of a command that is to follow these topics."""
    assert settings.kafka.bootstrap_servers is not None
    return {
        "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "SEPSIS_MONITOR_TOPICS__PREFIX": settings.topics.prefix,
    }


def publish(settings: Settings, events: Sequence[AlertEvent | bytes]) -> None:
    """Publish alert events under their patients' ids, and anything else under an empty key."""
    assert settings.kafka.bootstrap_servers is not None
    producer = clients.producer(settings.kafka, settings.kafka.bootstrap_servers)
    for event in events:
        key, value = (
            (b"", event) if isinstance(event, bytes) else (event.patient_id.encode(), msgspec.json.encode(event))
        )
        producer.send(Topics(settings.topics.prefix).alert_events, key=key, value=value)
    producer.close()
