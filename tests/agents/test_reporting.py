"""What a worker reports of the rules in force."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from agents.observer import SilentObserver
from agents.reporting import ALL_OTHERS, MOST_SHOWN, UNKNOWN_UNIT, Reporting
from agents.rules import Rules
from agents.ward import Ward
from tests.agents.logs import between

COMMON = between(0.5, 0.4)


class Shown(SilentObserver):
    """Keeps what it is shown of thresholds."""

    def __init__(self) -> None:
        self.shown: list[Mapping[str, float]] = []

    def thresholds_shown(self, by_unit: Mapping[str, float]) -> None:
        """Keep it."""
        self.shown.append(by_unit)


def test_thresholds_are_shown_by_unit_when_they_have_changed_and_of_a_bounded_number() -> None:
    observer = Shown()
    reporting = Reporting(observer, Ward())
    reporting.show_rules([])
    rules = Rules(COMMON, {"MICU": between(0.3, 0.2), "": between(0.2, 0.1), "as all": COMMON})
    reporting.show_rules([rules, Rules(COMMON)])
    reporting.show_rules([rules])
    assert observer.shown == [{ALL_OTHERS: 0.5, "MICU": 0.3, UNKNOWN_UNIT: 0.2}]
    many = {f"unit {number}": structs.replace(COMMON, raise_threshold=0.6) for number in range(3 * MOST_SHOWN)}
    reporting.show_rules([Rules(COMMON, many)])
    assert len(observer.shown[-1]) == MOST_SHOWN + 1
