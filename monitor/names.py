"""Lists of names as values of options."""

from __future__ import annotations

import click

__all__ = ["Names"]


class Names(click.ParamType):
    """A list of names with commas between, of those there are."""

    name = "names"

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def convert(
        self, value: str | frozenset[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[str]:
        """Return the set of names, or fail as wrong usage."""
        if isinstance(value, frozenset):
            return value
        names = frozenset(name.strip() for name in value.split(",")) - {""}
        unknown = sorted(names - set(self._known))
        if unknown or not names:
            self.fail(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(self._known)}", param, ctx)
        return names
