"""What an erased patient leaves behind, with its last day."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agents.topics import CHANGELOG_CONFIG, Topics, topic_specs
from monitor.remains import remains_of

_NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_CONFIGS: dict[str, Mapping[str, str]] = {spec.name: spec.config for spec in topic_specs(Topics())}


@pytest.mark.parametrize(
    ("topic", "day"),
    [
        ("vitals.observations.v1", "until 2026-01-16"),  # 14 days, and a segment of one
        ("alerts.commands.v1", "until 2026-02-01"),
        ("vitals.rejected.v1", "until 2026-03-03"),
        ("alerts.events.v1", "until 2028-01-08"),  # 730 days and 7
        ("stays.admissions.v1", "by 2026-01-16"),
        ("risk.scores.v1", "by 2026-01-02"),
        ("alerts.state.v1", "by 2026-01-02"),
    ],
)
def test_every_topic_with_data_of_patients_has_a_last_day(topic: str, day: str) -> None:
    assert day in remains_of(topic, _CONFIGS[topic], _NOW_MS).what


def test_the_changelog_has_one_too() -> None:
    assert "by 2026-01-02" in remains_of("changelog", CHANGELOG_CONFIG, _NOW_MS).what


def test_a_longer_segment_makes_it_later() -> None:
    config = {**_CONFIGS["vitals.observations.v1"], "segment.ms": str(7 * 86_400_000)}
    assert "until 2026-01-22" in remains_of("t", config, _NOW_MS).what


def test_what_the_cluster_never_does_has_no_date() -> None:
    unbounded = {**_CONFIGS["risk.scores.v1"], "max.compaction.lag.ms": str(2**63 - 1)}
    assert "max.compaction.lag.ms is not set" in remains_of("t", unbounded, _NOW_MS).what
    for kept in ("-1", str(2**63 - 1)):
        assert "for ever" in remains_of("t", {"cleanup.policy": "delete", "retention.ms": kept}, _NOW_MS).what
