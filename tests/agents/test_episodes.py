"""When episodes begin and end, and the ids of alerts, against plain loops and uuid5."""

from __future__ import annotations

import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agents.episodes import Turn, alert_id, event_id, rejection_id, risk_turn
from agents.policy import Policy
from agents.rules import terms_of
from tests.agents.logs import MINUTE, START, between

RAISE, RESOLVE = 0.06, 0.04
POLICY = between(RAISE, RESOLVE)
_RISKS = st.sampled_from([0.0, 0.039999, 0.04, 0.05, 0.059999, 0.06, 0.9])
_STEPS = st.lists(st.tuples(_RISKS, st.booleans(), st.integers(0, 9)), max_size=40)


def turned(
    policy: Policy, on: list[bool], since: list[int], *, risk: list[float], known: list[bool], at: int = START
) -> Turn:
    n = len(on)
    return risk_turn(
        terms_of(policy),
        on=np.array(on),
        since_ms=np.array(since, dtype=np.int64),
        risk=np.array(risk),
        assessable=np.array(known),
        ended_ms=np.zeros(n, dtype=np.int64),
        held_ms=np.zeros(n, dtype=np.int64),
        clock_ms=np.full(n, at, dtype=np.int64),
    )


@given(_STEPS, st.sampled_from([0, 5]), st.sampled_from([0, 7]))
def test_one_episode_after_the_other_by_hysteresis_and_minimum_duration(
    steps: list[tuple[float, bool, int]], up: int, down: int
) -> None:
    policy = structs.replace(POLICY, raise_minutes=up, resolve_minutes=down)
    on, since = [False], [0]
    expected, against_from, minute = False, None, 0
    for risk, known, later in steps:
        minute += later
        now = turned(policy, on, since, risk=[risk], known=[known], at=START + minute * MINUTE)
        before = expected
        if known and (risk < RESOLVE if expected else risk >= RAISE):
            against_from = minute if against_from is None else against_from
            if minute - against_from >= (down if expected else up):
                expected, against_from = not expected, None
        elif known:
            against_from = None
        assert (bool(now.began[0]), bool(now.ended[0])) == (expected and not before, before and not expected)
        on, since = now.on(np.array(on)).tolist(), now.since_ms.tolist()
        assert on == [expected]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.booleans()), min_size=1, max_size=8))
def test_stays_are_decided_each_for_itself(stays: list[tuple[bool, float, bool]]) -> None:
    on, risk, known = (list(column) for column in zip(*stays, strict=True))
    together = turned(POLICY, on, [0] * len(on), risk=risk, known=known)
    for i in range(len(stays)):
        alone = turned(POLICY, on[i : i + 1], [0], risk=risk[i : i + 1], known=known[i : i + 1])
        assert (alone.began[0], alone.ended[0]) == (together.began[i], together.ended[i])


def test_equal_thresholds_still_never_begin_and_end_at_once() -> None:
    both = turned(between(0.05, 0.05), [True, False], [0, 0], risk=[0.05, 0.05], known=[True, True])
    assert (both.began.tolist(), both.ended.tolist()) == ([False, True], [False, False])


def test_ids_are_uuid5_and_the_same_for_ever() -> None:
    alert = alert_id("p000018", "p000018-1", 1_795_341_600_000, "sepsis_risk", 1)
    assert alert == "9f645011-4f13-5e22-aa40-c0bac1f33490"
    assert uuid.UUID(alert).version == 5
    assert event_id(alert, 2) == str(uuid.uuid5(uuid.UUID(alert), "2"))


def test_ids_differ_by_stay_kind_episode_and_sequence() -> None:
    ids = [
        alert_id(patient, stay, start, kind, episode)
        for patient in ("p", "q")
        for stay in ("p-1", "p-2", "p-11")
        for start in (0, 1)
        for kind in ("sepsis_risk", "monitoring_lost")
        for episode in (1, 2, 11)
    ]
    events = [event_id(alert, sequence) for alert in ids for sequence in (1, 2)]
    answers = [rejection_id(patient, command) for patient in ("p", "q") for command in ("c", "d")]
    assert len({*ids, *events, *answers}) == len(ids) + len(events) + len(answers)
