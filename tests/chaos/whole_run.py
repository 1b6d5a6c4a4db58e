"""What all scenarios together must show, beyond what each of them can be held to: else the run proves too little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args, get_type_hints

from agents.messages import AlertEvent
from tests.chaos.stage import Result

__all__ = ["lacking"]

# Of a kind of alert, the transitions that must have been decided on, each line by any of its ways.
_LIVES: tuple[frozenset[str], ...] = (
    *(frozenset({f"sepsis_risk {transition}"}) for transition in get_args(get_type_hints(AlertEvent)["transition"])),
    frozenset({"cannot_assess raised"}),
    frozenset({"cannot_assess resolved", "cannot_assess expired"}),
    frozenset({"monitoring_lost raised"}),
    frozenset({"monitoring_lost acknowledged", "monitoring_lost snoozed", "monitoring_lost marked"}),
)


def lacking(results: Sequence[Result]) -> list[str]:
    """Return what a run of all scenarios should have shown and did not, a sentence each.

    That is the whole life of every kind of alert, and work done twice in one at least of those scenarios in which luck
    decides whether any is.
    """
    kinds: Counter[str] = sum((Counter(result.kinds) for result in results), Counter())
    found = [f"no reference has {' or '.join(sorted(ways))}" for ways in _LIVES if not ways & kinds.keys()]
    lucky = [result for result in results if result.by_luck]
    if not sum(result.replays for result in lucky):
        names = ", ".join(result.name for result in lucky) or "any scenario"
        found.append(f"nothing was done twice in {names}")
    return found
