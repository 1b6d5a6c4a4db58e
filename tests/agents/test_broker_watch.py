"""One line when no broker answers any more, one when one is back."""

from __future__ import annotations

from structlog.testing import capture_logs

from agents.broker_watch import SILENT_SECONDS, BrokerWatch


def test_silence_and_its_end_are_told_once() -> None:
    now = 100.0
    watch = BrokerWatch(lambda: now)
    with capture_logs() as lines:
        for seconds in range(1, 41):
            now = 100.0 + seconds
            watch.tell()
            assert watch.silent == (seconds > SILENT_SECONDS)
        watch.answered()
        watch.answered()
        watch.tell()
        assert not watch.silent
        now += SILENT_SECONDS + 1
        watch.tell()
    assert lines == [
        {"event": "broker_silent", "log_level": "warning", "seconds": 16},
        {"event": "broker_back", "log_level": "info", "seconds": 40},
        {"event": "broker_silent", "log_level": "warning", "seconds": 16},
    ]


def test_a_short_pause_is_no_line() -> None:
    now = 0.0
    watch = BrokerWatch(lambda: now)
    with capture_logs() as lines:
        for seconds in range(100):
            now = float(seconds)
            watch.tell()
            if seconds % 10 == 0:
                watch.answered()
    assert lines == []
