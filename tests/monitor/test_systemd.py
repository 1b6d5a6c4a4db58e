"""What systemd hears of a process, on real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.observer import Status
from monitor.systemd import notifying, watchdog_seconds

_STARTING = Status(live=True, ready=False, failing=("starting",))
_READY = Status(live=True, ready=True)
_STUCK = Status(live=False, ready=False, failing=("event_loop",))
_STOPPING = Status(live=True, ready=False, failing=("stopping",))


class _Ear:
    """A socket in systemd's place."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(10)

    def hear(self) -> set[str]:
        """Return the lines of the next message."""
        return set(self.socket.recv(4096).decode().split("\n"))

    def hear_until(self, line: str) -> set[str]:
        """Return all lines up to the message that holds `line`."""
        heard: set[str] = set()
        while line not in heard:
            heard |= self.hear()
        return heard


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Ear]:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    ear = _Ear(path)
    yield ear
    ear.socket.close()


def test_it_is_ready_once_alive_while_it_is_and_stops(ear: _Ear) -> None:
    now = [_STARTING]
    with notifying(lambda: now[0]):
        assert ear.hear() == {"STATUS=starting", "WATCHDOG=1"}
        now[0] = _READY
        assert "STATUS=ready" in ear.hear_until("READY=1")
        assert ear.hear() == {"WATCHDOG=1"}
        now[0] = _STOPPING
        assert "STATUS=stopping" in ear.hear_until("STOPPING=1")
        now[0] = _READY
        assert "READY=1" not in ear.hear_until("STATUS=ready"), "ready is said once"


def test_a_process_whose_loop_hangs_gives_no_sign_of_life(ear: _Ear) -> None:
    with notifying(lambda: _STUCK):
        assert ear.hear() == {"STATUS=event_loop"}
        ear.socket.settimeout(0.5)  # ten times the pause between two signs of life
        with pytest.raises(TimeoutError):
            ear.hear()
    assert ear.hear() == {"STOPPING=1"}


def test_without_a_watchdog_there_are_no_signs_of_life(ear: _Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC")
    with notifying(lambda: _READY):
        assert ear.hear() == {"READY=1", "STATUS=ready"}


def test_a_name_in_the_abstract_space_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"sepsis-monitor-test-{os.getpid()}"
    ear = _Ear("\0" + name)
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    with notifying(lambda: _READY):
        assert "READY=1" in ear.hear()
    ear.socket.close()


def test_nobody_is_told_where_systemd_did_not_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    asked: list[Status] = []

    def status() -> Status:
        asked.append(_READY)
        return _READY

    with notifying(status):
        pass
    assert asked == []


def test_a_socket_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with notifying(lambda: _READY):
        pass


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("15000000", None, 15.0),
        ("15000000", "ours", 15.0),
        ("15000000", "1", None),  # another process is watched
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_ours_or_is_not(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, expected: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "ours" else value)
    assert watchdog_seconds() == expected
