"""What the commands that show a ward have in common: whose ward, and from which risk on somebody is near an alert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from agents.policy import PolicyError
from agents.topics import Topics
from monitor.budget.burden import Burden
from monitor.errors import Failure, failing_on
from monitor.finite_range import FiniteRange
from monitor.settings import Settings
from monitor.unit_policies import policies_of
from monitor.ward_now import WardNow
from monitor.ward_rules import WardRules
from monitor.ward_topics import WardReader

__all__ = ["check_unit", "ward_options", "ward_to_read"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def ward_options(command: _Command) -> _Command:
    """Add --unit and --near to a command."""
    near = click.option(
        "--near",
        type=FiniteRange(0.01, 1.0),
        default=0.5,
        show_default=True,
        help="From which share of the raise threshold on a patient is near an alert.",
    )
    return click.option("--unit", metavar="UNIT", help="Only this unit; else all.")(near(command))


def ward_to_read(
    settings: Settings, unit: str | None, near: float, burden: Burden | None = None
) -> tuple[WardRules, WardNow, WardReader]:
    """Return the policies in force, an empty ward of the unit, and what fills it from its topics; raises Failure.

    A `burden` is filled, too.
    """
    with failing_on(PolicyError):
        rules = WardRules(*policies_of(settings))
    ward = WardNow(
        lambda of_unit: near * rules.of(of_unit).raise_threshold,
        lambda of_unit: rules.of(of_unit).resolve_threshold,
        unit,
    )
    return rules, ward, WardReader(ward, rules, Topics(settings.topics.prefix), burden)


def check_unit(unit: str | None, ward: WardNow, rules: WardRules) -> None:
    """Raise Failure, which names the units that are known, where nothing is known of `unit`; the ward has been read."""
    units = ward.units | rules.units
    if unit is not None and unit not in units:
        msg = f"nothing is known of a unit {unit!r}; those that are known: {', '.join(sorted(units)) or 'none'}"
        raise Failure(msg)
