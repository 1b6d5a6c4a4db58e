"""Fixtures that commands have in common."""

from __future__ import annotations

from tests.monitor.commands.alert_topic import settings

__all__ = ["settings"]
