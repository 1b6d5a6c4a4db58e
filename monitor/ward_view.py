"""Lists of a ward's patients for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.handover import Section

__all__ = ["board", "drawn"]

_STYLES = {"open": "bold red", "near": "yellow", "unmonitored": "magenta", "cannot_assess": "magenta"}


def drawn(section: Section, most: int | None = None) -> RenderableType:
    """Return a section as a heading and a table of at most so many rows; how many more there are is said."""
    heading = Text(f"{section.title} ({len(section.rows)})", style=_STYLES.get(section.key, "bold"))
    if not section.rows:
        return Group(heading, Text(section.empty, style="dim"))
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in section.columns:
        table.add_column(name, overflow="fold")
    shown = section.rows if most is None else section.rows[:most]
    for row in shown:
        table.add_row(*map(Text, row))
    left = len(section.rows) - len(shown)
    return Group(heading, table, *([Text(f"and {left} more", style="dim")] if left else []))


def board(sections: tuple[Section, ...], head: str, height: int) -> RenderableType:
    """Return a ward board for a terminal of `height` lines: every list has its heading, the first ones most rows."""
    with_rows = [section for section in sections if section.rows]
    free = height - 2 - 4 * len(sections)
    parts: list[RenderableType] = [Text(head, style="bold", no_wrap=True, overflow="ellipsis")]
    for number, section in enumerate(sections):
        if section.rows:
            share = max(1, free // (1 + sum(later in with_rows for later in sections[number + 1 :])))
            taken = min(len(section.rows), share)
            free -= taken
            parts += [Text(), drawn(section, taken)]
        else:
            parts += [Text(), drawn(section)]
    return Group(*parts)
