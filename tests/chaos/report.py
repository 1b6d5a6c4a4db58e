"""Results as a table of plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.chaos.judge import ANOMALIES
from tests.chaos.stage import Result

__all__ = ["bound", "table"]

_WIDTH = 26


def bound(n: int) -> float:
    """Return what zero of n bounds: the largest share that is compatible with it at 95 % (rule of three)."""
    return min(1.0, 3 / n) if n else 1.0


def table(results: Sequence[Result], *, head: bool, details: bool = False) -> str:
    """Return the results, one a line; with `details` also what was found, and the sums."""
    columns = ("rounds", "faults", "observations", "alerts", *ANOMALIES, "duplicates", "replays", "seconds")
    lines: list[str] = []
    if head:
        lines.append(f"{'scenario':{_WIDTH}} " + " ".join(columns))
    lines += [_line(result, columns) for result in results]
    if details:
        for result in results:
            lines += [f"  {result.name}: {line}" for line in (*result.details, *result.notes)]
            lines += [f"  {result.name}: EMPTY: {line}" for line in result.empty]
        lines += _sums(results)
    return "\n".join(lines) + "\n"


def _line(result: Result, columns: Sequence[str]) -> str:
    if result.skipped is not None:
        return f"{result.name:{_WIDTH}} SKIPPED: {result.skipped}"
    values: dict[str, int] = {
        **result.anomalies,
        "rounds": len(result.seeds),
        "faults": result.faults,
        "observations": result.observations,
        "alerts": result.alerts,
        "duplicates": result.duplicates,
        "replays": result.replays,
        "seconds": round(result.seconds),
    }
    cells = " ".join(f"{values[column]:>{len(column)}}" for column in columns)
    seeds = f"seeds {result.seeds[0]}-{result.seeds[-1]}" if result.seeds else ""
    return f"{result.name:{_WIDTH}} {cells}  {seeds}{' EMPTY' if result.empty else ''}"


def _sums(results: Sequence[Result]) -> list[str]:
    faults = sum(result.faults for result in results)
    kills = sum(result.kills for result in results)
    alerts = sum(result.alerts for result in results)
    found = sum(sum(result.anomalies.values()) for result in results)
    kinds: Counter[str] = sum((Counter(result.kinds) for result in results), Counter())
    lines = ["alert events: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))]
    lines += [f"{found} anomalies in {faults} faults ({kills} SIGKILLs of workers) and {alerts} alerts"]
    lost = sum(result.broker_lost for result in results)
    if lost:
        lines.append(f"a broker lost {lost} records that it had acknowledged: judged on what it kept")
    if not found:
        lines.append(f"none of n bounds, at 95 %: a fault does harm in fewer than {bound(faults):.2%} of the cases")
    return lines
