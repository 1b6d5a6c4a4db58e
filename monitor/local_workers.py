"""Workers on this machine: processes of `serve`, as an operator would run them; they end with whoever needs them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from agents.exits import START_AGAIN
from monitor.brokers import tether
from monitor.brokers.probe import free_port
from monitor.errors import Failure
from monitor.settings import ENV_PREFIX, Settings
from monitor.toml_values import toml_value

__all__ = ["Workers", "settings_toml"]

_READY_SECONDS = 120.0
_DRAIN_SECONDS = 20.0
_POLL_SECONDS = 0.1
_HTTP_SECONDS = 5.0


@dataclass(frozen=True)
class _Worker:
    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    settings: Settings
    folder: Path


class Workers:
    """N workers on one machine; made by `running`."""

    def __init__(self, workers: list[_Worker]) -> None:
        self._workers = workers

    @classmethod
    @contextmanager
    def running(cls, settings: Settings, count: int, folder: Path) -> Iterator[Workers]:
        """Start `count` workers with their files in `folder`, and stop them at the end so that they finish their work.

        Each has a static member id, a data folder and an HTTP port of its own. Start from the main thread: they end
        with the thread that started them.
        """
        workers = cls([])
        try:
            for number in range(1, count + 1):
                workers._workers.append(_start(settings, f"worker-{number}", folder / f"worker-{number}"))
            yield workers
        finally:
            workers.stop()

    def wait_ready(self, stop: threading.Event) -> None:
        """Return when all are ready, or `stop` is set. Raises Failure when one cannot be started or takes too long.

        Whoever ends with a code that asks for it is started again, as a supervisor would: on the embedded broker a
        worker that another one joins in its first seconds ends so.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not stop.is_set():
            self._workers = [_again(each) if each.process.poll() in START_AGAIN else each for each in self._workers]
            self.check(excused=START_AGAIN)
            waiting = [worker for worker in self._workers if not _answers_ready(worker)]
            if not waiting:
                return
            if time.monotonic() > deadline:
                msg = f"{waiting[0].name} is not ready after {_READY_SECONDS:.0f} s{_last_words(waiting[0].log)}"
                raise Failure(msg)
            stop.wait(_POLL_SECONDS)

    def check(self, excused: Collection[int] = ()) -> None:
        """Raise Failure when a worker has ended, but for these exit codes."""
        for worker in self._workers:
            code = worker.process.poll()
            if code is not None and code not in excused:
                how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
                msg = f"{worker.name} ended {how} while it was needed{_last_words(worker.log)}"
                raise Failure(msg)

    def kill(self) -> None:
        """End all by SIGKILL."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()

    def start_again(self) -> None:
        """Start all that have ended, as they were."""
        self._workers = [worker if worker.process.poll() is None else _again(worker) for worker in self._workers]

    @property
    def process_ids(self) -> list[int]:
        """The workers' processes; each is the `serve` itself."""
        return [worker.process.pid for worker in self._workers]

    def counters(self) -> dict[str, float]:
        """Return what their /metrics count, by sample name, summed over labels and workers. Raises Failure."""
        totals: dict[str, float] = {}
        for worker in self._workers:
            for family in text_string_to_metric_families(_get(worker, "/metrics").decode()):
                if family.type == "counter":
                    for sample in family.samples:
                        if sample.name.endswith("_total"):
                            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
        return totals

    def stop(self) -> None:
        """Let all finish what they have in hand; whoever does not in time is killed."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + _DRAIN_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def settings_toml(settings: Settings) -> str:
    """Return the settings as a configuration file, without what is not set. They must hold no secrets."""
    lines = []
    for section, values in settings.model_dump(mode="json").items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {toml_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _again(worker: _Worker) -> _Worker:
    return _start(worker.settings, worker.name, worker.folder)


def _start(settings: Settings, name: str, own: Path) -> _Worker:
    own.mkdir(exist_ok=True)
    port = free_port()
    worker = settings.worker.model_copy(update={"instance": name, "data_dir": own / "data"})
    listening = settings.http.model_copy(update={"host": "127.0.0.1", "port": port})
    config, log = own / "config.toml", own / "log"
    config.write_text(
        settings_toml(settings.model_copy(update={"worker": worker, "http": listening})), encoding="utf-8"
    )
    program = [sys.executable, "-m", "monitor", "--config", str(config), "serve"]
    command = [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *program]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - no shell, and every word is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for us: the workers are stopped before the broker
        )
    return _Worker(name, process, port, log, settings, own)


def _environment() -> Mapping[str, str]:
    """Return our environment without our own variables: the file says it all, and a cluster's address is no demo's."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(ENV_PREFIX)}


def _answers_ready(worker: _Worker) -> bool:
    try:
        _get(worker, "/readyz")
    except Failure:
        return False
    return True


def _get(worker: _Worker, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=_HTTP_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        msg = f"{worker.name} does not answer at {path}: {error}"
        raise Failure(msg) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        msg = f"{worker.name} answers {answer.status} at {path}"
        raise Failure(msg)
    return body


def _last_words(log: Path) -> str:
    """Return a colon and the last thing that a worker logged, in plain words; nothing where it logged nothing."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if not lines:
        return ""
    try:
        said = json.loads(lines[-1])
        return f": {said['event']}"
    except (ValueError, KeyError, TypeError):
        return f": {lines[-1]}"
