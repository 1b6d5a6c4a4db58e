"""Logs: one line for one thing that happened, on stderr, in one format for our own loggers and the libraries'.

No line holds a patient's identifier or the payload of an event. The libraries are therefore never let below WARNING:
what they do at every rebalance is not one line, and further down they dump requests. While a broker is away aiokafka
logs the same error 30 to 60 times a second: a warning or error of a library that repeats is shown once in a few
seconds, with the count of what was left out.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import TextIO

import structlog

from monitor.sections import LogSettings

__all__ = ["RepeatLimit", "configure_logging"]

# What each library may say at most, whatever level is asked for.
_LIBRARIES = dict.fromkeys(("faust", "mode", "aiokafka", "kafka", "asyncio", "urllib3"), logging.WARNING)
_LIBRARIES["kafka.net.selector"] = logging.ERROR  # warns of its own slow tasks whenever the machine is busy
_REPEAT_SECONDS = 5.0
_REMEMBERED = 512
_NUMBERS = re.compile(r"\d+")


class RepeatLimit:
    """Lets one of several alike lines pass in each `seconds`, and counts the others."""

    def __init__(self, seconds: float = _REPEAT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def admit(self, logger: str, level: int, message: str) -> int | None:
        """Return how many alike lines were left out before this one, or None to leave this one out too."""
        now = self._clock()
        # Attempt counts, ports and durations differ from line to line in what is otherwise the same complaint.
        key = (logger, level, _NUMBERS.sub("#", message))
        since, left_out = self._seen.get(key, (None, 0))
        if since is not None and now - since < self._seconds:
            self._seen[key] = (since, left_out + 1)
            return None
        self._seen.pop(key, None)
        self._seen[key] = (now, 0)
        if len(self._seen) > _REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        return left_out


class _LibraryRepeats(logging.Filter):
    """Applies a RepeatLimit to the warnings and errors of the libraries; our own lines always pass."""

    def __init__(self, limit: RepeatLimit) -> None:
        super().__init__()
        self._limit = limit

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in _LIBRARIES or record.levelno < logging.WARNING:
            return True
        left_out = self._limit.admit(record.name, record.levelno, record.getMessage())
        if left_out:
            record.suppressed = left_out
        return left_out is not None


def configure_logging(log: LogSettings, *, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr), as JSON lines unless it is a terminal or console is asked."""
    target = sys.stderr if stream is None else stream
    as_json = log.format == "json" or (log.format == "auto" and not target.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.addFilter(_LibraryRepeats(RepeatLimit()))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=["suppressed"])],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(as_json=as_json, colors=target.isatty()),
            ],
        )
    )
    _install(handler, getattr(logging, log.level.upper()))


def _rendering(*, as_json: bool, colors: bool) -> list[structlog.typing.Processor]:
    if as_json:
        # Tracebacks as plain text: the structured form would carry local variables, and with them patients' data.
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, timestamp_key="ts")]


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(capture=True)
