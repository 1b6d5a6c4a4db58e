"""A second, plain writing of which policy holds for a unit at a place of a log: from JSON, record by record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from agents.policy import Policy

__all__ = ["PlainRules", "as_said"]

_SETTINGS, _THRESHOLD = b"org.sepsis-monitor.settings.v1", b"org.sepsis-monitor.budgets.threshold.v1"
Said = dict[str, Any]


def as_said(policy: Policy) -> Said:
    """Return a policy as a record says it."""
    said: Said = msgspec.to_builtins(policy)
    return said


class PlainRules:
    """What holds in one partition; `read` its records one after the other, and ask in between."""

    def __init__(self, common: Policy, units: Mapping[str, Policy] | None = None) -> None:
        """Begin with what holds where the log has named nothing."""
        self._common = as_said(common)
        self._units = {unit: as_said(policy) for unit, policy in (units or {}).items()}
        self._moved: dict[str, tuple[datetime, str, float]] = {}

    def read(self, headers: Sequence[tuple[str, bytes | None]], value: bytes | None) -> bool:
        """Take a record in; return whether it is a threshold that cannot hold."""
        kind = dict(headers).get("ce_type")
        if kind == _SETTINGS:
            body = json.loads(value or b"")
            self._common, self._units = body["policy"], body.get("units", {})
        return kind == _THRESHOLD and self._refuses(json.loads(value or b""))

    def _refuses(self, body: Said) -> bool:
        named, budget = self._named(body["unit"]), self._named(body["unit"])["budget"]
        if named["digest"] != body["policy"]["digest"] or budget is None:
            return True
        threshold, until = body["raise_threshold"], datetime.fromisoformat(body["counted_until"])
        if threshold < budget["lowest_threshold"] or threshold > budget["highest_threshold"]:
            return True
        if body["unit"] not in self._moved or until > self._moved[body["unit"]][0]:
            self._moved[body["unit"]] = (until, named["digest"], threshold)
        return False

    def of(self, unit: str | None) -> Said:
        """Return the policy by which patients of a unit are alerted now."""
        named = dict(self._named(unit or ""))
        _, digest, threshold = self._moved.get(unit or "", (None, None, 0.0))
        if digest == named["digest"] and threshold != named["raise_threshold"]:
            named["resolve_threshold"] = threshold * (named["resolve_threshold"] / named["raise_threshold"])
            named["raise_threshold"] = threshold
            if named["escalate_threshold"] is not None and named["escalate_threshold"] < threshold:
                named["escalate_threshold"] = threshold
        return named

    def _named(self, unit: str) -> Said:
        return self._units.get(unit, self._common)
