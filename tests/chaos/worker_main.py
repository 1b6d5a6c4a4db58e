"""`serve`, with a fault in it: what the suite starts in place of the product's own entry.

Environment: CHAOS_AT `point:n:act` dies, stops itself or hangs at the n-th passage of a named instant, and leaves
CHAOS_MARKER; CHAOS_MUTANT takes a protection away; CHAOS_REDIRECT `port=port,...` sends connections elsewhere;
CHAOS_TOPICS_THERE leaves topics alone, where the broker cannot be asked to make them.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
from pathlib import Path
from typing import Any

from faust.transport.drivers.aiokafka import Transport

from monitor.cli import main
from monitor.commands import serve
from tests.chaos import crash_points, mutants
from tests.chaos.wrapping import wrap

__all__: list[str] = []

_PROXY_HOST = "127.0.0.1"


def _redirect(rules: str) -> None:
    """Let connections of the event loop (the worker's; not those of the admin client) go to other ports."""
    ports = {int(old): int(new) for old, _, new in (rule.partition("=") for rule in rules.split(","))}
    create = asyncio.base_events.BaseEventLoop.create_connection

    async def redirected(loop: Any, factory: Any, host: Any = None, port: Any = None, **kwargs: Any) -> Any:
        if port in ports:
            host, port = _PROXY_HOST, ports[port]  # proxies run where the workers do, wherever the broker is
        return await create(loop, factory, host, port, **kwargs)

    asyncio.base_events.BaseEventLoop.create_connection = redirected  # type: ignore[method-assign, assignment]


def _leave_topics_alone() -> None:
    async def nothing(*_: Any, **__: Any) -> None:
        pass

    wrap(serve, "create_topics", lambda *_: ())
    wrap(Transport, "_create_topic", nothing)


def _arm() -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    if mutant := os.environ.get("CHAOS_MUTANT"):
        mutants.install(mutant)
    if rule := os.environ.get("CHAOS_AT"):
        point, nth, act = rule.split(":")
        marker = Path(os.environ["CHAOS_MARKER"])
        crash_points.install(crash_points.Trigger(point, int(nth), marker, crash_points.ACTS[act]))
    if os.environ.get("CHAOS_TOPICS_THERE"):
        _leave_topics_alone()
    if rules := os.environ.get("CHAOS_REDIRECT"):
        _redirect(rules)


if __name__ == "__main__":
    _arm()
    main()
