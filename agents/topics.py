"""The eight public topics: their names, what is kept of them and for how long.

Names are `<domain>.<entity>.v<major>`; `topics.prefix` of the configuration goes before each, for a cluster that
others share. All topics that are keyed by patient have the same number of partitions, because the partition of a
patient's log decides which worker owns the patient. Thresholds of units, which are few, stand in a single one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CHANGELOG_CONFIG", "TopicSpec", "Topics", "topic_specs"]

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
# Whoever reads a compacted topic from its beginning (a board, a worker that takes patients over) waits for every record
# that is not compacted yet, and the broker never compacts the segment that it writes to. Kafka's defaults (1 GiB or 7
# days a segment, half of the log dirty) would have a worker of 20,000 patients read gigabytes.
_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(10 * _MINUTE_MS),
    "min.cleanable.dirty.ratio": "0.1",
}
# An admission event counts once a worker has appended it to the patient's log: until then a later one must not take its
# place, however long the workers are away.
_ADMISSIONS = {
    "cleanup.policy": "compact",
    "segment.ms": str(_DAY_MS),
    "min.compaction.lag.ms": str(14 * _DAY_MS),
    "max.compaction.lag.ms": str(15 * _DAY_MS),
}
# What was erased has a tombstone, and must be gone by a day that can be named: not when there is enough to compact.
_LATEST = {**_COMPACTED, "max.compaction.lag.ms": str(_DAY_MS)}
# State records of a patient come with every observation. A quarter of an hour is kept whole: within it the worker that
# was thought dead, and wrote a stale record on its way out, has been started again, and the recovery that comes with
# that has put the right record last (`agents.table`).
CHANGELOG_CONFIG = {**_LATEST, "min.compaction.lag.ms": str(15 * _MINUTE_MS)}
# A gateway gone wild must not be stopped by the broker, where nobody sees it, but be refused here, where it is kept.
_LARGEST_OBSERVATION = {"max.message.bytes": str(8 * 1024 * 1024)}
# A threshold that a controller woken too late has put over a newer one is put right well within this time.
_THRESHOLDS = {**_COMPACTED, "min.compaction.lag.ms": str(15 * _MINUTE_MS)}
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

    @property
    def budgets(self) -> str:
        """The raise threshold that each unit's measured burden has led to."""
        return self.prefix + "budgets.thresholds.v1"


@dataclass(frozen=True)
class TopicSpec:
    """One topic to create: its full name and its broker settings (Kafka's own keys)."""

    name: str
    config: Mapping[str, str]
    partitions: int | None = None  # where it is not `topics.partitions`


def _by_time(days: int, segment_days: int = 1) -> dict[str, str]:
    """Return the settings of a history: a record lives for `days`, and up to `segment_days` longer."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(days * _DAY_MS),
        "segment.ms": str(segment_days * _DAY_MS),
    }


def topic_specs(topics: Topics) -> tuple[TopicSpec, ...]:
    """Return what `sepsis-monitor topics create` creates, in the order of the contract."""
    return (
        TopicSpec(topics.observations, _by_time(14) | _LARGEST_OBSERVATION),
        TopicSpec(topics.admissions, _ADMISSIONS | _LARGEST_OBSERVATION),
        TopicSpec(topics.scores, _LATEST),
        # With a segment a day it would be 730 of them a partition, each with two indices that a broker keeps mapped.
        TopicSpec(topics.alert_events, _by_time(730, segment_days=7)),
        TopicSpec(topics.alert_state, _LATEST),
        TopicSpec(topics.alert_commands, _by_time(30)),
        TopicSpec(topics.rejected, _by_time(60) | _LARGEST_REJECTED),
        TopicSpec(topics.budgets, _THRESHOLDS, partitions=1),
    )
