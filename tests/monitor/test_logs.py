"""The lines that are logged, read back."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import structlog

from monitor.logs import RepeatLimit, configure_logging
from monitor.sections import LogSettings


def configured(**log: Any) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogSettings(**log), stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_have_one_json_format_away_from_a_terminal() -> None:
    stream = configured()
    structlog.get_logger("monitor.test").info("worker_started", partitions=4)
    logging.getLogger("aiokafka.consumer").warning("Heartbeat failed for group %s", "g")
    ours, theirs = lines(stream)
    assert ours == {
        "event": "worker_started",
        "level": "info",
        "logger": "monitor.test",
        "partitions": 4,
        "ts": ours["ts"],
    }
    assert ours["ts"].endswith("Z")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == (
        "Heartbeat failed for group g",
        "warning",
        "aiokafka.consumer",
    )


def test_an_exception_is_one_line_without_local_variables() -> None:
    stream = configured()
    patient = "".join(("p0000", "18"))  # not readable in the source line that a traceback shows
    try:
        raise ValueError(len(patient))
    except ValueError:
        structlog.get_logger("monitor.test").exception("chunk_failed")
    (line,) = lines(stream)
    assert "ValueError: 7" in line["exception"]
    assert "p000018" not in stream.getvalue()


def test_console_is_text_and_the_level_holds() -> None:
    stream = configured(format="console", level="warning")
    structlog.get_logger("monitor.test").info("hidden")
    structlog.get_logger("monitor.test").warning("shown", partition=3)
    assert "hidden" not in stream.getvalue()
    assert "shown" in stream.getvalue()
    assert "partition=3" in stream.getvalue()


def test_libraries_never_dump_their_requests() -> None:
    stream = configured(level="debug")
    logging.getLogger("aiokafka.conn").debug("payload")
    logging.getLogger("kafka.net").info("configuration")
    structlog.get_logger("monitor.test").debug("ours")
    assert [line["event"] for line in lines(stream)] == ["ours"]


def test_a_complaint_that_repeats_is_logged_once() -> None:
    stream = configured()
    for attempt in range(60):
        logging.getLogger("aiokafka").error("Unable to connect to node %d (attempt %d)", 1, attempt)
        structlog.get_logger("monitor.test").error("ours")
    logging.getLogger("aiokafka").error("another")
    events = [line["event"] for line in lines(stream)]
    assert events.count("ours") == 60
    assert [event for event in events if event != "ours"] == [
        "Unable to connect to node 1 (attempt 0)",
        "another",
    ]


def test_the_next_one_after_the_pause_tells_how_many_were_left_out() -> None:
    now = 100.0
    limit = RepeatLimit(5.0, clock=lambda: now)
    admitted = []
    for second in range(12):
        now = 100.0 + second
        admitted.append(limit.admit("aiokafka", logging.ERROR, f"attempt {second}"))
    assert admitted == [0, None, None, None, None, 4, None, None, None, None, 4, None]


def test_what_is_remembered_of_repeats_is_bounded() -> None:
    limit = RepeatLimit()
    for letter in range(5_000):
        limit.admit("aiokafka", logging.ERROR, "x" * letter)
    assert len(limit._seen) <= 512
