"""The decision to raise and to resolve, and the ids of alerts, against plain loops and uuid5."""

from __future__ import annotations

import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.episodes import alert_id, event_id, moves
from tests.agents.logs import between

RAISE, RESOLVE = 0.06, 0.04
POLICY = between(RAISE, RESOLVE)
_STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.039999, 0.04, 0.05, 0.059999, 0.06, 0.9]), st.booleans()), max_size=40
)


@given(_STEPS)
def test_one_episode_after_the_other_by_hysteresis(steps: list[tuple[float, bool]]) -> None:
    alerting = np.zeros(1, dtype=np.bool_)
    expected = False
    for risk, assessable in steps:
        moved = moves(POLICY, alerting, np.array([risk]), np.array([assessable]))
        raised, resolved = bool(moved.raised[0]), bool(moved.resolved[0])
        if not assessable:
            assert (raised, resolved) == (False, False)
        elif expected:
            assert (raised, resolved) == (False, risk < RESOLVE)
            expected = risk >= RESOLVE
        else:
            assert (raised, resolved) == (risk >= RAISE, False)
            expected = risk >= RAISE
        alerting = moved.alerting(alerting)
        assert alerting.tolist() == [expected]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.booleans()), min_size=1, max_size=8))
def test_stays_are_decided_each_for_itself(stays: list[tuple[bool, float, bool]]) -> None:
    alerting, risk, assessable = (np.array(column) for column in zip(*stays, strict=True))
    together = moves(POLICY, alerting, risk, assessable)
    for i in range(len(stays)):
        alone = moves(POLICY, alerting[i : i + 1], risk[i : i + 1], assessable[i : i + 1])
        assert (alone.raised[0], alone.resolved[0]) == (together.raised[i], together.resolved[i])


def test_equal_thresholds_still_never_raise_and_resolve_at_once() -> None:
    policy = between(0.05, 0.05)
    both = moves(policy, np.array([True, False]), np.array([0.05, 0.05]), np.array([True, True]))
    assert (both.raised.tolist(), both.resolved.tolist()) == ([False, True], [False, False])


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
    assert len({*ids, *events}) == len(ids) + len(events)
