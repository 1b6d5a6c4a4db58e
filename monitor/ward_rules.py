"""Under which policy, and from which risk on, patients of each unit are alerted: for whoever shows a ward.

As the configuration has it, at the threshold that each unit was given last. What decides are the workers and the log.
"""

from __future__ import annotations

from collections.abc import Mapping

from agents.messages import UnitThreshold
from agents.policy import Policy, at_threshold
from monitor.budget.thresholds import Thresholds

__all__ = ["WardRules"]


class WardRules:
    """The policies of units, and their moved thresholds."""

    def __init__(self, common: Policy, units: Mapping[str, Policy] | None = None) -> None:
        self.common, self._units = common, dict(units or {})
        self._moved = Thresholds()

    @property
    def may_move(self) -> bool:
        """Whether any unit's threshold may be another than its policy's."""
        return any(policy.budget is not None for policy in (self.common, *self._units.values()))

    def take(self, said: UnitThreshold) -> None:
        """Take a unit's threshold; of two the one that counted further holds."""
        self._moved.take(said)

    def of(self, unit: str | None) -> Policy:
        """Return the policy of a unit, at its threshold; None: of patients of whom no unit is known."""
        policy = self._units.get(unit or "", self.common)
        moved = self._moved.under(policy, unit or "")
        return policy if moved is None else at_threshold(policy, moved.raise_threshold)

    @property
    def units(self) -> frozenset[str]:
        """The units that have a policy of their own, or were given a threshold."""
        return frozenset({*self._units, *self._moved.newest} - {""})

    def apart(self) -> list[tuple[str, Policy]]:
        """Return the units that are decided on otherwise than most, with their policies, by name."""
        return [(name, self.of(name)) for name in sorted(self.units) if self.of(name) != self.common]
