"""A controller that is killed and started again at any hour moves what an undisturbed one moves, once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.messages import AlertEvent, RiskScore, UnitThreshold
from agents.policy import Budget
from monitor.budget.burden import Burden, milliseconds_of
from monitor.budget.controller import look
from monitor.budget.thresholds import Thresholds
from tests.monitor.budget.wards import POLICY, admitted, ended, marked, ms, seen

WINDOW, HOURS, BEDS = 6, 60, 8
ICU = msgspec.structs.replace(
    POLICY, budget=Budget(3.0, 0.005, 0.08, window_hours=WINDOW, least_patient_days=0.5, tolerance=0.1, step=0.3)
)


class _Topics:
    """What stands in the topics: all alert events, but of each stay only the newest score, as compaction leaves it."""

    def __init__(self) -> None:
        self.events: list[AlertEvent] = []
        self.scores: dict[str, RiskScore] = {}
        self.thresholds: list[UnitThreshold] = []

    def read(self) -> tuple[Burden, Thresholds]:
        burden, thresholds = Burden(), Thresholds()
        for name, score in self.scores.items():
            burden.take_admission(admitted(name, 0, "A"))
            burden.take_score(score)
        for event in self.events:
            burden.take_event(event)
        for record in self.thresholds:
            thresholds.take(record)
        return burden, thresholds


def _moves(alerts: Sequence[tuple[int, bool]], restarts: frozenset[int]) -> list[UnitThreshold]:
    """Live through the hours; `alerts` end at an hour each, and are right or not."""
    topics = _Topics()
    burden, thresholds = topics.read()
    for hour in range(1, HOURS):
        if hour in restarts:
            burden, thresholds = topics.read()
        news = [ended(f"a{n}", hour - 0.5) for n, (at, _) in enumerate(alerts) if at == hour]
        news += [marked(f"a{n}", hour - 0.4, "true") for n, (at, right) in enumerate(alerts) if at == hour and right]
        for event in news:
            burden.take_event(event)
        topics.events += news
        for bed in range(BEDS):
            score = topics.scores[f"p{bed}"] = seen(f"p{bed}", hour)
            burden.take_admission(admitted(f"p{bed}", 0, "A"))
            burden.take_score(score)
        (found,) = look(burden.by_unit(), thresholds, lambda _: ICU, complete_from_ms=0, now_ms=ms(hour))
        if found.record is not None:
            topics.thresholds.append(found.record)
            thresholds.take(found.record)
    return topics.thresholds


def test_there_is_something_to_move() -> None:
    quiet, busy = _moves([], frozenset()), _moves([(hour % HOURS, False) for hour in range(200)], frozenset())
    assert [each.raise_threshold for each in quiet][-1] == 0.005
    assert [each.raise_threshold for each in busy][-1] == 0.08


ALERTS = st.lists(st.tuples(st.integers(1, HOURS - 1), st.booleans()), max_size=80)


@settings(max_examples=60, deadline=None)
@given(alerts=ALERTS, restarts=st.frozensets(st.integers(1, HOURS - 1), max_size=HOURS))
def test_restarts_change_nothing(alerts: list[tuple[int, bool]], restarts: frozenset[int]) -> None:
    assert _moves(alerts, restarts) == _moves(alerts, frozenset())


@settings(max_examples=60, deadline=None)
@given(alerts=ALERTS)
def test_a_threshold_moves_at_most_once_a_window_and_stays_within_its_limits(alerts: list[tuple[int, bool]]) -> None:
    moves = _moves(alerts, frozenset())
    times = [milliseconds_of(each.counted_until) for each in moves]
    assert all(later - earlier >= WINDOW * 3_600_000 for earlier, later in pairwise(times))
    at = [POLICY.raise_threshold, *(each.raise_threshold for each in moves)]
    assert all(0.005 <= each <= 0.08 for each in at)
    assert all(before / 1.3001 <= after <= before * 1.3001 for before, after in pairwise(at))
