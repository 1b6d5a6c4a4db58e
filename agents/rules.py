"""By whose policy each patient is decided on: the common one, or that of the patient's unit, at its moved threshold.

Decisions are made for many rows at once, each by the terms of its own rule. Where one policy decides on all, its terms
are one set of scalars, and nothing costs more than it would without units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy, critical_bounds, milliseconds
from models.vital_signs import N_VITAL_SIGNS

__all__ = ["RowRules", "Rules", "terms_of"]

_TERMS = np.dtype(
    [
        ("raise_threshold", "f8"),
        ("resolve_threshold", "f8"),
        ("escalate_threshold", "f8"),  # infinite where there is none
        ("update_step", "f8"),  # infinite where no change is told
        ("snooze_rise", "f8"),
        ("raise_ms", "i8"),
        ("resolve_ms", "i8"),
        ("refractory_ms", "i8"),
        ("latch_ms", "i8"),  # 0 where nothing is kept
        ("update_ms", "i8"),
        ("acknowledge_ms", "i8"),
        ("mark_ms", "i8"),
        ("lost_ms", "i8"),
        ("blind_ms", "i8"),
        ("critical_low", "f4", (N_VITAL_SIGNS,)),
        ("critical_high", "f4", (N_VITAL_SIGNS,)),
    ]
)


def terms_of(policy: Policy) -> Any:
    """Return what decisions over many rows need of a policy, by name: one set, to be held against any number of rows.

    Thresholds are probabilities, times milliseconds.
    """
    return _table([policy])[0]


def _table(policies: list[Policy]) -> NDArray[Any]:
    return np.array([_terms(policy) for policy in policies], dtype=_TERMS)


def _terms(policy: Policy) -> tuple[Any, ...]:
    return (
        policy.raise_threshold,
        policy.resolve_threshold,
        policy.escalate_threshold or np.inf,
        policy.update_step or np.inf,
        policy.snooze_rise,
        milliseconds(minutes=policy.raise_minutes),
        milliseconds(minutes=policy.resolve_minutes),
        milliseconds(minutes=policy.refractory_minutes),
        milliseconds(hours=policy.latch_hours) if policy.latching else 0,
        milliseconds(minutes=policy.update_minutes),
        milliseconds(minutes=policy.acknowledge_minutes),
        milliseconds(hours=policy.mark_hours),
        milliseconds(minutes=policy.monitoring_lost_minutes),
        milliseconds(minutes=policy.cannot_assess_minutes),
        *critical_bounds(policy),
    )


class Rules:
    """The policies in force at one place of a log, at the thresholds that hold there; never changed.

    A unit that is not named, and a patient of whom no unit is known (the unit's name is empty), have the common one.
    """

    def __init__(self, common: Policy, units: Mapping[str, Policy] | None = None) -> None:
        own = {unit: policy for unit, policy in (units or {}).items() if policy != common}
        self.common, self.units = common, own
        self.policies = [common, *own.values()]
        self.table = _table(self.policies)
        self._numbers = {unit.encode(): number for number, unit in enumerate(own, start=1)}

    def of_unit(self, unit: str) -> Policy:
        """Return the policy of a unit."""
        return self.units.get(unit, self.common)

    @property
    def one_for_all(self) -> bool:
        """Whether the same policy decides on everybody."""
        return not self._numbers

    def number(self, unit: bytes) -> int:
        """Return the place of a unit's policy among `policies`, and of its terms in `table`."""
        return self._numbers.get(unit, 0)


class RowRules:
    """Says which rule decides on each of these rows of state records: that of the unit in which the patient is.

    Whoever changes a row's unit says so by `renew`.
    """

    def __init__(self, rules: Rules, rows: NDArray[Any]) -> None:
        self._rules, self._rows = rules, rows
        self._numbers: NDArray[np.intp] | None = None
        if not rules.one_for_all:
            self._numbers = np.array([rules.number(unit) for unit in rows["unit"].tolist()], dtype=np.intp)

    def renew(self, row: int) -> None:
        """Note that the row's unit may be another one."""
        if self._numbers is not None:
            self._numbers[row] = self._rules.number(bytes(self._rows["unit"][row]))

    def policy(self, row: int) -> Policy:
        """Return the policy that decides on a row."""
        return self._rules.policies[0 if self._numbers is None else int(self._numbers[row])]

    def terms(self, index: NDArray[np.intp]) -> Any:
        """Return the terms (see `terms_of`) of these rows (N): each one's own, or one set where it is all the same."""
        return self._rules.table[0 if self._numbers is None else self._numbers[index]]
