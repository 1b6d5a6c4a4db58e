"""The workers of a ward under faults: armed, killed, stopped, and started again as a supervisor would."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agents.exits import Exit
from tests.chaos.nursery import nursery
from tests.chaos.suspending import stands_still
from tests.e2e.ward import Ward
from tests.waiting import until

__all__ = ["START_SECONDS", "Crew", "Fault"]

_RESTARTED = {code for code in Exit if Exit.STREAM_FAILED <= code <= Exit.MISASSIGNED} | {1}  # as a supervisor does
START_SECONDS = 90.0


@dataclass(frozen=True)
class Fault:
    """Something that was done to the ward."""

    what: str
    pending: int  # records of the logs that no commit covered then
    hit: bool = True  # it happened at the instant that was meant
    killed: bool = False  # by it a worker died of SIGKILL


@dataclass(kw_only=True)
class Crew(ABC):
    """The worker processes of a ward, what was done to them, and who is not to be started again."""

    ward: Ward
    random: random.Random
    faults: list[Fault] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    exits: list[int] = field(default_factory=list)  # of workers that ended by themselves
    common: dict[str, str] = field(default_factory=dict)  # environment of every worker (redirection, mutant)
    _resting: set[str] = field(default_factory=set)  # dead on purpose: not to be started again
    _arms: int = 0
    _newcomers: int = 0
    _replayed: dict[int, float] = field(default_factory=dict)  # by process, as its metrics said last

    @abstractmethod
    def pending(self) -> int:
        """Return how many records of the logs no commit covers; -1 where the broker cannot say."""

    def start(self, instance: str, *, wait: bool = True, **environment: str) -> None:
        """Start a worker, plain unless its environment says otherwise."""
        module = "tests.chaos.worker_main" if self.common or environment else "monitor"
        self._resting.discard(instance)
        self._launch(instance, module, environment)
        if wait:
            self.wait_ready(instance)

    def _launch(self, instance: str, module: str, environment: Mapping[str, str]) -> None:
        merged = self.ward.environment_of(instance, {**self.common, **environment})
        log = self.ward.log_of(instance)
        log.touch()
        self.ward.workers[instance] = nursery().start(module, merged, log)

    def arm(self, instance: str, point: str, nth: int = 1, *, wait: bool = False, act: str = "die") -> Path:
        """Start a worker that does something at the n-th passage of an instant; return where it marks that.

        `act` is "die", "stop" (the whole process, with SIGSTOP) or "hang" (the thread that passes, and no other).
        """
        self._arms += 1
        marker = self.ward.folder / f"{instance}-{self._arms}.hit"
        (self._resting.add if act == "die" else self._resting.discard)(instance)
        environment = {"CHAOS_AT": f"{point}:{nth}:{act}", "CHAOS_MARKER": str(marker)}
        self._launch(instance, "tests.chaos.worker_main", environment)
        if wait:
            self.wait_ready(instance)
        return marker

    def await_crash(self, instance: str, marker: Path, what: str, seconds: float = START_SECONDS) -> None:
        """Wait until an armed worker has died at its instant, and note it; it stays dead until it is started."""
        process = self.ward.workers[instance]
        until(
            self._tending(lambda: process.poll() is not None), seconds=seconds, what=f"{what}: {self._tail(instance)}"
        )
        # What was pending before cannot be asked without knowing when; by its instant it had work in hand.
        code = process.poll()
        hit = marker.exists() and code == -signal.SIGKILL
        self.faults.append(Fault(what if hit else f"{what} (ended with {code})", self.pending(), hit, killed=hit))

    def kill(self, instance: str, what: str = "SIGKILL", *, hit: bool = True) -> None:
        """SIGKILL a worker, and note what was pending; it stays dead until it is started.

        One that has ended by itself a moment ago is started again first. It has not `hit` where it was the wrong one.
        """
        pending = self.pending()
        self.tend()
        self._resting.add(instance)
        alive = self.ward.workers[instance].poll() is None
        self.ward.kill(instance)
        self.faults.append(Fault(what, pending, hit=hit and alive, killed=alive))

    def kill_if_alive(self, instance: str) -> None:
        """SIGKILL a worker that may have ended by itself a moment ago."""
        if self.alive(instance):
            self.kill(instance)
        else:
            self._resting.add(instance)

    def kill_uncommitted(self, instance: str) -> None:
        """SIGKILL a worker, and its successor with states stored and nothing of them committed: it is read again."""
        self.kill(instance)
        self.await_crash(instance, self.arm(instance, "stored"), "stored")

    def suspend(self, instance: str, what: str) -> None:
        """SIGSTOP a worker wherever it stands, and note it."""
        pending, pid = self.pending(), self.ward.workers[instance].pid
        self.signal(instance, signal.SIGSTOP)
        self.note(what, hit=self.seen(lambda: stands_still(pid), 5), pending=pending)

    def note(self, what: str, *, hit: bool, pending: int | None = None) -> None:
        """Note a fault of another kind; `pending` is what was when it began, where that was asked then.

        Whoever notes it says whether it took place, from something that would look otherwise if it had not.
        """
        self.faults.append(Fault(what, self.pending() if pending is None else pending, hit))

    def remark(self, what: str, times: int = 1) -> None:
        """Count what is no fault of itself: what came of one, or goes with it."""
        self.remarks[what] += times

    def stop(self, instance: str) -> None:
        """SIGTERM a worker without waiting for its end; it stays dead until it is started."""
        self._resting.add(instance)
        self.signal(instance, signal.SIGTERM)

    def terminate(self, instance: str, seconds: float = 20.0) -> int:
        """SIGTERM a worker and return its exit code; it stays dead until it is started."""
        self.stop(instance)
        return self.ward.workers[instance].wait(seconds)

    def signal(self, instance: str, number: signal.Signals) -> None:
        """Send a worker a signal."""
        self.ward.workers[instance].send_signal(number)

    def refused(self, instance: str, **environment: str) -> tuple[int, str]:
        """Start a worker that should not come up; return its exit code and the last line that it wrote."""
        self._resting.add(instance)
        self.ward.start(instance, **environment)
        code = self.ward.workers[instance].wait(START_SECONDS)
        lines = self.ward.log(instance).strip().splitlines()
        return code, lines[-1] if lines else ""

    def tend(self) -> None:
        """Start workers again that ended with a code for which a supervisor does so."""
        for instance, process in list(self.ward.workers.items()):
            code = process.poll()
            if code is None or instance in self._resting:
                continue
            assert code in _RESTARTED, f"{instance} ended with {code}: {self._tail(instance)}"
            self.exits.append(code)
            self.start(instance, wait=False)

    def _tending(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        def asked() -> bool:
            self.tend()
            return condition()

        return asked

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition, and start again whoever ends meanwhile."""
        until(self._tending(condition), seconds=seconds, what=what)

    def seen(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition, and return whether it came true in time."""
        try:
            self.until(condition, seconds, "it")
        except AssertionError:
            return False
        return True

    def wait_ready(self, instance: str, seconds: float = START_SECONDS) -> None:
        """Wait until the worker's /readyz says so, whatever happens to it on the way."""
        until(
            self._tending(lambda: self.ready(instance)),
            seconds=seconds,
            what=f"{instance} ready: {self._tail(instance)}",
        )

    def ready(self, instance: str) -> bool:
        """Tell whether /readyz answers 200."""
        return self._get(instance, "readyz") is not None

    def _get(self, instance: str, page: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ward.ports[instance]}/{page}", timeout=2) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def counter(self, instance: str, name: str) -> float:
        """Return a sample of a worker's /metrics, summed over its labels; 0 where it does not answer."""
        return sum(sample.value for sample in self._samples(instance, name))

    def owned(self, instance: str) -> set[int]:
        """Return which partitions a worker watches, as it says itself."""
        return {int(sample.labels["partition"]) for sample in self._samples(instance, "consumer_lag_records")}

    def _samples(self, instance: str, name: str) -> list[Sample]:
        page = self._get(instance, "metrics") or ""
        families = text_string_to_metric_families(page)
        return [sample for family in families for sample in family.samples if sample.name == f"sepsis_monitor_{name}"]

    def revive(self) -> None:
        """Start whoever is dead, and wait until all are ready."""
        for instance in sorted(self._resting):
            self.await_end(instance)
            self.start(instance, wait=False)
        for instance in list(self.ward.workers):
            self.wait_ready(instance)

    def newcomer(self) -> str:
        """Return the name of a worker that there never was."""
        self._newcomers += 1
        return f"newcomer-{self._newcomers}"

    def await_end(self, instance: str) -> None:
        """Give a worker that is on its way out the time for it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.ward.workers[instance].wait(15)

    def alive(self, instance: str) -> bool:
        """Tell whether there is such a worker, and it runs."""
        process = self.ward.workers.get(instance)
        return process is not None and process.poll() is None

    def dismiss(self, instance: str) -> None:
        """Forget a worker that was killed: nobody starts it again."""
        self._resting.discard(instance)
        del self.ward.workers[instance]

    def replays(self) -> float:
        """Return how many records the workers that are alive have read again since they were last asked."""
        more = 0.0
        for instance, process in self.ward.workers.items():
            count = self.counter(instance, "records_replayed_total")
            more += max(0.0, count - self._replayed.get(process.pid, 0.0))
            self._replayed[process.pid] = max(count, self._replayed.get(process.pid, 0.0))
        return more

    def pause(self, least: float, most: float) -> None:
        """Let time pass that the seed chooses: when a fault comes is part of the scenario, nothing waits for it."""
        end = time.monotonic() + self.random.uniform(least, most)
        while time.monotonic() < end:
            self.tend()
            threading.Event().wait(max(0.0, min(0.05, end - time.monotonic())))

    def _tail(self, instance: str) -> str:
        return self.ward.log(instance)[-1500:]
