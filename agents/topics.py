"""The seven public topics: their names, what is kept of them and for how long.

Names are `<domain>.<entity>.v<major>`; `topics.prefix` of the configuration goes before each, for a cluster that
others share. All topics that are keyed by patient have the same number of partitions, because the partition of a
patient's log decides which worker owns the patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TopicSpec", "Topics", "topic_specs"]

_DAY_MS = 86_400_000
# A gateway gone wild must not be stopped by the broker, where nobody sees it, but be refused here, where it is kept.
_LARGEST_OBSERVATION = {"max.message.bytes": str(8 * 1024 * 1024)}
_LARGEST_REJECTED = {"max.message.bytes": str(9 * 1024 * 1024)}  # with the reason's headers


@dataclass(frozen=True)
class Topics:
    """Full topic names of one deployment."""

    prefix: str = ""

    @property
    def observations(self) -> str:
        """The patients' logs: observations from gateways, and what the service appends."""
        return self.prefix + "vitals.observations.v1"

    @property
    def admissions(self) -> str:
        """Admitted, updated, transferred, discharged, merged: what the ADT feed says."""
        return self.prefix + "stays.admissions.v1"

    @property
    def scores(self) -> str:
        """The latest risk of each patient."""
        return self.prefix + "risk.scores.v1"

    @property
    def alert_events(self) -> str:
        """Every transition in the life of every alert."""
        return self.prefix + "alerts.events.v1"

    @property
    def alert_state(self) -> str:
        """The alert of each patient as it stands now."""
        return self.prefix + "alerts.state.v1"

    @property
    def alert_commands(self) -> str:
        """What people do to alerts."""
        return self.prefix + "alerts.commands.v1"

    @property
    def rejected(self) -> str:
        """Events that were refused, as they came, with the reason in the headers."""
        return self.prefix + "vitals.rejected.v1"


@dataclass(frozen=True)
class TopicSpec:
    """One topic to create: its full name and its broker settings (Kafka's own keys)."""

    name: str
    config: Mapping[str, str]


def _by_time(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


def topic_specs(topics: Topics) -> tuple[TopicSpec, ...]:
    """Return what `sepsis-monitor topics create` creates, in the order of the contract."""
    compacted = {"cleanup.policy": "compact"}
    return (
        TopicSpec(topics.observations, _by_time(14) | _LARGEST_OBSERVATION),
        TopicSpec(topics.admissions, compacted | _LARGEST_OBSERVATION),
        TopicSpec(topics.scores, compacted),
        TopicSpec(topics.alert_events, _by_time(730)),
        TopicSpec(topics.alert_state, compacted),
        TopicSpec(topics.alert_commands, _by_time(30)),
        TopicSpec(topics.rejected, _by_time(60) | _LARGEST_REJECTED),
    )
