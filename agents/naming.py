"""What a worker and the logs of its partitions tell each other of the rules: the worker's own, and those in force."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog

from agents.core import Core
from agents.in_force import InForce, settings_record
from agents.messages import Identity, Settings
from agents.outputs import utc
from agents.rules import Rules
from agents.sending import Outgoing

__all__ = ["Naming"]

_log = structlog.get_logger(__name__)


class Naming:
    """Knows by which rules what comes next in a partition is decided on; `stored` gives a record of the state."""

    def __init__(self, core: Core, stored: Callable[[bytes], bytes | None]) -> None:
        self._core, self._stored = core, stored

    def rules_of(self, partition: int) -> Rules:
        """Return the rules by which what comes next in a partition is decided on."""
        return self._in_force(partition).newest(self._core.own)

    async def name_settings(
        self, partitions: Iterable[int], append: Callable[[int, Sequence[Outgoing]], Awaitable[Any]]
    ) -> None:
        """Say in the logs under which policies and model they are worked off from here on, where they last said others.

        What stands before it is still decided on as the log named last.
        """
        core = self._core
        model = Identity(core.model.name, core.model.version, core.model.digest)
        settings = Settings(core.policy, model, utc(round(time.time() * 1000)), units=core.units)
        for partition in sorted(partitions):
            if not self._in_force(partition).names(settings):
                await append(partition, [settings_record(settings)])
                _log.info(
                    "settings_appended",
                    partition=partition,
                    policy=core.policy.digest,
                    units=len(core.units),
                    model=model.digest,
                )

    def _in_force(self, partition: int) -> InForce:
        return InForce.of(partition, self._stored)[0]
