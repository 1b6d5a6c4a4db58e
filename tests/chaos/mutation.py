"""The suite's own test: each protection taken away must be found, by the scenario that is made to reveal it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.chaos.stage import SCENARIOS, Grounds, Result, play

__all__ = ["REVEALED_BY", "Found", "hunt"]

REVEALED_BY = {
    "no-guard": "killed-before-commit",
    "state-first": "killed-while-alerts-wait",
    "no-wait": "killed-while-alerts-wait",
    "commit-at-receipt": "killed-while-deciding",
    "last-write-wins": "zombie-before-its-write",
    "no-lease": "zombie-before-its-write",
    "clock-beside-the-log": "silence",
    "batch-dependent": "two-chunkings",
    "rules-of-now": "units",
}


@dataclass(frozen=True)
class Found:
    """What the judge said of workers without a protection."""

    mutant: str
    result: Result

    @property
    def found(self) -> bool:
        """Tell whether it was found, by an anomaly and not by a failure of the suite."""
        return any(self.result.anomalies.values())

    def line(self) -> str:
        """Return a line of text."""
        names = ", ".join(f"{name} {count}" for name, count in self.result.anomalies.items() if count)
        why = "; ".join(self.result.empty)
        return f"{self.mutant:20} {self.result.name:28} {'found: ' + names if self.found else 'NOT FOUND ' + why}"


def hunt(grounds: Grounds, seed: int, mutants: Sequence[str]) -> list[Found]:
    """Run the revealing scenario of each mutant once."""
    return [Found(name, play(SCENARIOS[REVEALED_BY[name]], replace(grounds, mutant=name), [seed])) for name in mutants]
