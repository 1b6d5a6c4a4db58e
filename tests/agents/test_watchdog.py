"""The stall detector: only a position that stands still while records wait, and only for too long."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from agents.chunk import Chunk
from agents.watchdog import STALL_SECONDS, StallDetector, progress_before
from tests.agents.logs import numbered, observation


def told(detector: StallDetector, position: Hashable, now: float, *, waiting: bool = True) -> bool:
    return detector.stalled("partition", position, waiting=waiting, now=now)


def test_standing_still_with_work_waiting_for_longer_than_allowed_is_a_stall() -> None:
    detector = StallDetector(60)
    assert [told(detector, 5, now) for now in (0, 30, 60, 61)] == [False, False, False, True]


def test_progress_starts_the_time_anew() -> None:
    detector = StallDetector(60)
    assert not any(told(detector, position, position * 50.0) for position in range(10))


def test_a_quiet_partition_never_stalls() -> None:
    detector = StallDetector(60)
    assert not any(told(detector, 5, now, waiting=False) for now in range(0, 601, 50))
    assert [told(detector, 5, now) for now in (601, 660, 661)] == [False, False, True]


def test_partitions_are_watched_each_for_itself() -> None:
    detector = StallDetector(60)
    for now in (0.0, 50.0, 100.0):
        assert not detector.stalled("moving", now, waiting=True, now=now)
        stalled = detector.stalled("standing", 1, waiting=True, now=now)
    assert stalled


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 40)), max_size=30))
def test_a_stall_is_a_run_of_waiting_at_one_position_longer_than_allowed(
    story: list[tuple[int, bool, int]],
) -> None:
    detector = StallDetector()
    now, since = 0.0, 0.0
    before: int | None = None
    for position, waiting, seconds in story:
        now += seconds
        if position != before or not waiting:
            before, since = position, now
        assert told(detector, position, now, waiting=waiting) == (waiting and now - since > STALL_SECONDS)


def test_a_chunk_that_waits_for_earlier_ones_does_not_stand_still_and_one_that_was_overtaken_does() -> None:
    earlier, mine, later = (Chunk(numbered([observation("p", 0, heart_rate=80)])) for _ in range(3))
    earlier.started, mine.started, later.started = 1.0, 2.0, 3.0
    seen = progress_before(mine.started, [earlier, later])
    later.progress = 1
    assert progress_before(mine.started, [earlier, later]) == seen
    earlier.progress = 1
    assert progress_before(mine.started, [earlier, later]) != seen
    earlier.finish()
    assert progress_before(mine.started, [later]) == progress_before(mine.started, [])
