"""Several runs as one: the results that were written with `--json`, by scenario, as a table for a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos.report import bound
from tests.chaos.stage import Result

__all__ = ["document_table", "read_results"]

_HEADS = (
    "scenario",
    "rounds",
    "faults",
    "of them SIGKILLs of workers",
    "records",
    "alert events",
    "anomalies",
    "repeats",
)


def read_results(files: Iterable[Path]) -> list[Result]:
    """Return the results in these files, in their order."""
    return [Result(**each) for file in files for each in json.loads(file.read_text(encoding="utf-8"))]


def document_table(results: Sequence[Result]) -> str:
    """Return a table in Markdown, a line for each scenario and one for all, and what zero of so many bounds.

    Raises ValueError where a scenario was run twice with the same seed: its rounds would count twice.
    """
    by_name: dict[str, list[Result]] = {}
    for result in results:
        by_name.setdefault(result.name, []).append(result)
    for name, some in by_name.items():
        seeds = [seed for result in some for seed in result.seeds]
        if len(seeds) != len(set(seeds)):
            msg = f"{name} was run twice with one of the seeds {min(seeds)} to {max(seeds)}"
            raise ValueError(msg)
    lines = ["| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
    for name, some in by_name.items():
        skipped = next((result.skipped for result in some if result.skipped is not None), None)
        cells = [f"SKIPPED: {skipped}"] if skipped is not None else [f"{value:,}" for value in _values(some)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    every = _values(results)
    lines.append("| **all** | " + " | ".join(f"**{value:,}**" for value in every) + " |")
    empty = sorted({result.name for result in results if result.empty})
    if empty:
        lines.append(f"\nEmpty: {', '.join(empty)}.")
    if not every[5]:
        lines.append(f"\nZero of {every[1]:,} bounds, at 95 %, harm in fewer than {bound(every[1]):.2%} of the faults.")
    return "\n".join(lines) + "\n"


def _values(results: Sequence[Result]) -> list[int]:
    return [
        sum(len(result.seeds) for result in results),
        sum(result.faults for result in results),
        sum(result.kills for result in results),
        sum(result.observations for result in results),
        sum(result.alerts for result in results),
        sum(sum(result.anomalies.values()) for result in results),
        sum(result.duplicates for result in results),
    ]
