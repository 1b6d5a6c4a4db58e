"""The suite's own test: each protection taken away must be found, by the scenario that is made to reveal it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tests.chaos.mutants import judged_alike
from tests.chaos.stage import SCENARIOS, Grounds, Result, play

__all__ = ["REVEALED_BY", "Found", "Revealing", "hunt"]


@dataclass(frozen=True)
class Revealing:
    """The scenario that reveals a mutant, and the anomalies by which the judge may do so."""

    scenario: str
    anomalies: frozenset[str]


def _by(scenario: str, *anomalies: str) -> Revealing:
    return Revealing(scenario, frozenset(anomalies))


# What a missing protection must come to. Anything else may come of it as well, or of a fault of the suite's own.
REVEALED_BY = {
    "no-guard": _by("killed-before-commit", "phantom-alert", "double-step", "state-regress"),
    "state-first": _by("killed-while-alerts-wait", "lost-alert"),
    "no-wait": _by("killed-while-alerts-wait", "lost-alert", "lost-event"),
    "commit-at-receipt": _by("killed-while-deciding", "lost-alert", "lost-event"),
    "last-write-wins": _by("zombie-before-its-write", "lost-event", "double-step", "state-regress"),
    "no-lease": _by("zombie-before-its-write", "lost-event", "double-step", "state-regress"),
    "clock-beside-the-log": _by("silence", "phantom-alert", "changed-alert", "state-regress"),
    "batch-dependent": _by("two-chunkings", "state-regress"),
    "rules-of-now": _by("units", "lost-alert", "phantom-alert", "changed-alert"),
}


@dataclass(frozen=True)
class Found:
    """What the judge said of workers without a protection."""

    mutant: str
    result: Result

    @property
    def by(self) -> dict[str, int]:
        """The judge's anomalies that this mutant is known by, each with its count; not the scenario's own demands."""
        counts = {
            name: self.result.anomalies[name] - self.result.demanded.get(name, 0)
            for name in sorted(REVEALED_BY[self.mutant].anomalies)
        }
        return {name: count for name, count in counts.items() if count}

    @property
    def found(self) -> bool:
        """Tell whether it was found, by an anomaly that tells of it and not by a failure of the suite."""
        return bool(self.by)

    def line(self) -> str:
        """Return a line of text."""
        others = {name: count for name, count in self.result.anomalies.items() if count and name not in self.by}
        beside = f" (beside it {_counts(others)})" if others else ""
        said = f"found: {_counts(self.by)}" if self.found else f"NOT FOUND {'; '.join(self.result.empty)}"
        return f"{self.mutant:20} {self.result.name:28} {said}{beside}"


def _counts(anomalies: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in anomalies.items())


def hunt(grounds: Grounds, seed: int, mutants: Sequence[str]) -> list[Found]:
    """Run the revealing scenario of each mutant once."""
    return [
        Found(
            name,
            play(
                SCENARIOS[REVEALED_BY[name].scenario],
                replace(grounds, mutant=name, judging=partial(judged_alike, name)),
                [seed],
            ),
        )
        for name in mutants
    ]
