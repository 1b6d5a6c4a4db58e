"""The configuration that is given as an example loads, and says what its comments say."""

from __future__ import annotations

from pathlib import Path

from monitor.settings import load_settings

_EXAMPLE = Path(__file__).parents[2] / "deploy" / "sepsis-monitor.toml"


def test_the_example_configuration_loads() -> None:
    settings = load_settings(_EXAMPLE, {})
    assert settings.kafka.bootstrap_servers == "kafka-1:9092,kafka-2:9092,kafka-3:9092"
    assert settings.topics.prefix == "icu."
    assert settings.topics.replication_factor == 3
