"""Alerts that nobody answers: kept after the fall, the same when the risk is back, and over in time."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from agents.policy import Policy
from agents.rules import terms_of
from monitor.unattended import Hour, UnattendedAlerts

HOUR = 3_600_000
POLICY = Policy("test", "1", "sha256:0", 0.5, 0.3, latching=True, latch_hours=3)


def lives(policy: Policy, risks: list[float | None]) -> str:
    """Return a letter for each hour of one stay: a new alert, one that is open, or none; `None` is no observation."""
    alerts, told = UnattendedAlerts(1), ""
    for at, risk in enumerate(risks, start=1):
        there = np.array([risk is not None])
        raised, ended = alerts.turn(
            terms_of(policy), Hour(np.array([risk or 0.0]), there, there, np.array([at * HOUR]))
        )
        assert not (raised & ended).any()
        told += "N" if raised[0] else "o" if alerts.open[0] else "."
    return told


@pytest.mark.parametrize(
    ("risks", "latched", "plain"),
    [
        ([0.6, 0.1, 0.1, 0.1, 0.1, 0.6], "Nooo.N", "N....N"),
        ([0.6, 0.1, 0.6, 0.1, 0.1, 0.1], "Nooooo", "N.N..."),
        ([0.6, 0.1, None, None, None, 0.1], "Noooo.", "N....."),
        ([0.6, 0.1, 0.1, 0.1, 0.6, 0.6], "Nooooo", "N...No"),
        ([0.6, 0.1, None, None, 0.6], "Noooo", "N...N"),
    ],
)
def test_an_alert_is_kept_for_its_hours_and_comes_back_as_itself(
    risks: list[float | None], latched: str, plain: str
) -> None:
    assert lives(POLICY, risks) == latched
    assert lives(structs.replace(POLICY, latching=False), risks) == plain
    assert lives(structs.replace(POLICY, latch_hours=0), risks) == plain


def test_who_comes_into_a_bed_begins_without_the_alert_before() -> None:
    alerts, there = UnattendedAlerts(1), np.array([True])
    for at, risk in enumerate([0.6, 0.1], start=1):
        alerts.turn(terms_of(POLICY), Hour(np.array([risk]), there, there, np.array([at * HOUR])))
    assert alerts.open[0]
    alerts.admit(0)
    assert not alerts.open[0]
    assert alerts.turn(terms_of(POLICY), Hour(np.array([0.6]), there, there, np.array([3 * HOUR])))[0][0]
