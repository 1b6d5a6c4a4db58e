"""Workers on this machine: whoever asks to be started again is, and whoever cannot start is told of."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agents.exits import Exit
from monitor import local_workers
from monitor.errors import Failure
from monitor.local_workers import Workers
from monitor.settings import Settings, load_settings


class Starts:
    """Stands in for starting `serve`: the n-th start ends with the n-th code, and what is after them lives."""

    def __init__(self, folder: Path, *codes: int) -> None:
        self.folder, self.codes, self.names = folder, list(codes), list[str]()
        self.living: list[subprocess.Popen[bytes]] = []

    def __call__(self, settings: Settings, name: str, own: Path) -> local_workers._Worker:
        """Start one."""
        self.names.append(name)
        log = self.folder / f"{name}.log"
        log.touch()
        does = f"raise SystemExit({self.codes.pop(0)})" if self.codes else "import time; time.sleep(600)"
        process = subprocess.Popen([sys.executable, "-c", does])
        if "sleep" in does:
            self.living.append(process)
        else:
            process.wait()
        return local_workers._Worker(name, process, 0, log, settings, own)


def wait_ready(starts: Starts, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(local_workers, "_start", starts)
    monkeypatch.setattr(local_workers, "_answers_ready", lambda worker: worker.process in starts.living)
    with Workers.running(load_settings(), 2, folder) as workers:
        workers.wait_ready(threading.Event())


def test_whoever_asks_to_be_started_again_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    starts = Starts(tmp_path, Exit.NOT_OWNER, Exit.MISASSIGNED, Exit.STREAM_FAILED)
    wait_ready(starts, monkeypatch, tmp_path)
    assert sorted(starts.names) == ["worker-1", "worker-1", "worker-1", "worker-2", "worker-2"]


@pytest.mark.parametrize("code", [1, Exit.OTHER_SCHEMA, Exit.INSTANCE_TAKEN])
def test_what_must_be_mended_first_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int) -> None:
    starts = Starts(tmp_path, code)
    with pytest.raises(Failure, match=f"worker-1 ended with exit code {code} "):
        wait_ready(starts, monkeypatch, tmp_path)
    assert starts.names == ["worker-1", "worker-2"]
