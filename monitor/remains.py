"""What becomes of an erased patient's records on a topic, by the topic's settings: words with a date."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Remains", "remains_of"]

_DAY_MS = 86_400_000
_SWEEP_MS = (
    3_600_000  # Kafka looks every few minutes, and deletes files a minute later; a broker may just have restarted
)
_NEVER_MS = 1000 * 365 * _DAY_MS  # as good as for ever; Kafka's own word is the largest of its numbers
_SEGMENT_MS = str(7 * _DAY_MS)  # Kafka's default


@dataclass(frozen=True)
class Remains:
    """What becomes of a patient's records on one topic."""

    topic: str
    what: str


def remains_of(topic: str, config: Mapping[str, str], now_ms: int) -> Remains:
    """Return what remains on a topic of what has been written to it until now, by its settings (Kafka's own keys)."""
    if "delete" in config.get("cleanup.policy", "delete"):
        return Remains(topic, _aged_out(config, now_ms))
    gone_ms = _compacted_after(config)
    when = f"by {_day(now_ms + gone_ms)}" if gone_ms < _NEVER_MS else "some day: max.compaction.lag.ms is not set"
    return Remains(topic, f"tombstone; what stood there is gone with the next compaction, {when}")


def _aged_out(config: Mapping[str, str], now_ms: int) -> str:
    """Return the last day: a segment goes as a whole, so that its oldest record waits for its youngest."""
    kept_ms = int(config.get("retention.ms", -1))
    if not 0 <= kept_ms < _NEVER_MS:
        return "kept for ever: retention.ms is not set"
    longest_ms = kept_ms + int(config.get("segment.ms", _SEGMENT_MS)) + _SWEEP_MS
    return f"kept until {_day(now_ms + longest_ms)} at most"


def _compacted_after(config: Mapping[str, str]) -> int:
    """Return after how long the broker must have compacted: it leaves out the segment that is being written."""
    most_ms = int(config.get("max.compaction.lag.ms", _NEVER_MS))
    least_ms = int(config.get("min.compaction.lag.ms", 0))
    segment_ms = min(int(config.get("segment.ms", _SEGMENT_MS)), most_ms)
    return max(most_ms, least_ms + segment_ms) + _SWEEP_MS


def _day(moment_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment_ms / 1000))
