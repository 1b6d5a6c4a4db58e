"""Who looks on at a demo: a person at a terminal, a pipe, or nobody."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from monitor.alert_lines import alert_line
from monitor.demo_feed import Feed
from monitor.demo_view import Picture, draw

__all__ = ["LiveShow", "PlainShow", "SilentShow"]


class SilentShow:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def phase(self, what: str) -> None:
        """Show nothing."""

    def tick(self, feed: Feed, sent: int, total: int) -> None:
        """Show nothing."""


class PlainShow(SilentShow):
    """Prints lines: what is being done, and alerts as they come."""

    def __init__(self) -> None:
        self._printed = 0

    def phase(self, what: str) -> None:
        """Print what is being done."""
        click.echo(what)

    def tick(self, feed: Feed, sent: int, total: int) -> None:
        """Print the alerts that are new."""
        with feed.looking() as ward:
            fresh = ward.alerts[self._printed :]
        for event in fresh:
            click.echo(alert_line(event))
        self._printed += len(fresh)


class LiveShow(SilentShow):
    """Draws the ward over the whole terminal while it runs; the terminal is as it was afterwards."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._console = Console(file=sys.stdout)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def phase(self, what: str) -> None:
        """Show what is being done, until there is a ward to show."""
        self._live.update(Text(f"{what} ..."), refresh=True)

    def tick(self, feed: Feed, sent: int, total: int) -> None:
        """Draw the ward."""
        picture = Picture("sepsis-monitor demo", sent, total, feed.rate(), self._threshold)
        with feed.looking() as ward:
            self._live.update(draw(picture, ward, height=self._console.height), refresh=True)
