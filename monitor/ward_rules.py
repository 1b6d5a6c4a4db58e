"""Under which policy, and from which risk on, patients of each unit are alerted: for whoever shows a ward.

As the configuration has it, at the threshold that each unit was given last. What decides are the workers and the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from agents.messages import UnitThreshold
from agents.policy import Policy, at_threshold

__all__ = ["WardRules"]


class WardRules:
    """The policies of units, and their moved thresholds."""

    def __init__(self, common: Policy, units: Mapping[str, Policy] | None = None) -> None:
        self.common, self._units = common, dict(units or {})
        self._moved: dict[str, UnitThreshold] = {}

    def take(self, said: UnitThreshold) -> None:
        """Take a unit's threshold; of two the one that counted further holds."""
        before = self._moved.get(said.unit)
        if before is None or _counted(said) > _counted(before):
            self._moved[said.unit] = said

    def of(self, unit: str | None) -> Policy:
        """Return the policy of a unit, at its threshold; None: of patients of whom no unit is known."""
        policy, moved = self._units.get(unit or "", self.common), self._moved.get(unit or "")
        budget = policy.budget
        if moved is None or budget is None or moved.policy.digest != policy.digest:
            return policy
        within = budget.lowest_threshold <= moved.raise_threshold <= budget.highest_threshold
        return at_threshold(policy, moved.raise_threshold) if within else policy

    def apart(self) -> list[tuple[str, Policy]]:
        """Return the units that are decided on otherwise than most, with their policies, by name."""
        names = sorted({*self._units, *self._moved} - {""})
        return [(name, self.of(name)) for name in names if self.of(name) != self.common]


def _counted(said: UnitThreshold) -> datetime:
    return datetime.fromisoformat(said.counted_until)
