"""What a worker tells the service around it, a chunk at a time: counts for metrics, never a patient's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agents.intake import Intake
from agents.ward import WardCounts

__all__ = ["CHECKS", "ChunkReport", "Observer", "SilentObserver", "Status"]


CHECKS = ("broker", "event_loop", "rebalancing", "recovering", "starting", "stopping")  # names in `Status.failing`


@dataclass(frozen=True)
class ChunkReport:
    """What came of one chunk of one partition."""

    records: int = 0
    accepted: int = 0  # observations that entered a stay
    replayed: int = 0  # log records that the state held already, as after a restart
    repeated: int = 0  # observations that changed nothing
    superseded: int = 0  # measurements of closed steps that a newer one had overtaken
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason
    steps_closed: int = 0
    risks: int = 0  # provisional risks computed
    alerts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)  # by (kind, transition, priority)
    state_resets: Mapping[str, int] = field(default_factory=dict)  # by reason
    intake: Intake = field(default_factory=Intake)  # what the hours that closed brought of each vital sign
    model_seconds: float = 0.0
    seconds: float = 0.0  # the whole chunk, broker acknowledgements included
    append_to_alert_seconds: tuple[float, ...] = ()  # from Kafka's append to the alert's acknowledgement
    append_to_risk_seconds: tuple[float, ...] = ()  # from Kafka's append of the newest observation to its risk's
    time_to_alert_seconds: tuple[float, ...] = ()  # from the measurement's own time to the alert's acknowledgement


@dataclass(frozen=True)
class Status:
    """Whether the worker lives and is ready, and the plain names of the checks that fail."""

    live: bool
    ready: bool
    failing: tuple[str, ...] = ()


class Observer(Protocol):
    """Called from the worker's event loop: must return at once and never raise."""

    def chunk_done(self, report: ChunkReport) -> None:
        """One chunk has been processed and acknowledged."""

    def ward_counted(self, counts: WardCounts, state_bytes: int) -> None:
        """How many stays this worker watches now, how many alerts are open, and what the states weigh."""

    def thresholds_shown(self, by_unit: Mapping[str, float]) -> None:
        """From which risk on patients of each unit are alerted now; of a bounded number of units."""

    def loop_turned(self) -> None:
        """Note that the event loop turns: called every second while it does."""

    def lag_measured(self, partition: int, records: int) -> None:
        """How many records of the observations' partition wait; -1 when the partition left this worker."""

    def recovering(self, patients: int, state_bytes: int) -> None:
        """Note how many patients' states are back by now, and how many bytes of changelogs were read for them."""

    def recovered(self, seconds: float, patients: int) -> None:
        """Note that the state of all assigned partitions is back."""


class SilentObserver:
    """An observer that does nothing, for tests and tools."""

    def chunk_done(self, report: ChunkReport) -> None:
        """Do nothing."""

    def ward_counted(self, counts: WardCounts, state_bytes: int) -> None:
        """Do nothing."""

    def thresholds_shown(self, by_unit: Mapping[str, float]) -> None:
        """Do nothing."""

    def loop_turned(self) -> None:
        """Do nothing."""

    def lag_measured(self, partition: int, records: int) -> None:
        """Do nothing."""

    def recovering(self, patients: int, state_bytes: int) -> None:
        """Do nothing."""

    def recovered(self, seconds: float, patients: int) -> None:
        """Do nothing."""
