"""How fast a backlog is worked off, and what of processor and memory that takes: by workers, and by a plain loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from monitor.bench.grounds import Grounds, Reader
from monitor.bench.load import Load
from monitor.bench.process_cost import cpu_seconds, peak_bytes, resident_bytes
from monitor.brokers import tether
from monitor.errors import Failure
from monitor.local_workers import Workers

__all__ = ["Baseline", "Throughput", "measure_baseline", "measure_workers"]

_POLL_SECONDS = 0.25  # each look at a worker's metrics costs it some 5 ms
_STILL_SECONDS = 120.0  # without progress, a measurement is given up
_ACCEPTED = "sepsis_monitor_observations_accepted_total"
_REJECTED = "sepsis_monitor_observations_rejected_total"


@dataclass(frozen=True)
class Throughput:
    """What workers did with a backlog, from the first record to the last."""

    workers: int
    patients: int
    events: int
    seconds: float
    cpu_seconds: float  # of all workers
    idle_bytes: int  # of a worker with nothing to do, the largest
    peak_bytes: int  # the largest
    recovery_seconds: float | None  # from a killed worker's start to the next score of every partition

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_seconds_per_million(self) -> float:
        """CPU seconds per million events."""
        return self.cpu_seconds / self.events * 1e6


@dataclass(frozen=True)
class Baseline:
    """What the plain loop did with the same backlog."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_seconds_per_million(self) -> float:
        """CPU seconds per million events."""
        return self.cpu_seconds / self.events * 1e6


def measure_workers(
    grounds: Grounds,
    load: Load,
    count: int,
    *,
    recovers: bool,
    stop: threading.Event,
    progress: Callable[[str], None],
) -> Throughput:
    """Let `count` workers work off a load that waits for them. Raises Failure."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        with Workers.running(grounds.settings, count, Path(folder)) as workers:
            workers.wait_ready(stop)
            idle = max(map(resident_bytes, workers.process_ids))
            workers.stop()
            progress(f"{load.events:,} observations of {load.patients:,} patients are sent")
            grounds.send(chain.from_iterable(load.rounds(round(time.time() * 1000))))
            progress(f"{count} worker{'s' if count > 1 else ''} at work on them")
            workers.start_again()
            seconds, cpu, events = _watched(workers, load.events, stop)
            peak = max(map(peak_bytes, workers.process_ids))
            recovery = None
            if recovers:
                progress("a worker is killed, and starts again")
                recovery = _recovered_after(grounds, load, workers, stop)
        return Throughput(count, load.patients, events, seconds, cpu, idle, peak, recovery)


def _watched(workers: Workers, events: int, stop: threading.Event) -> tuple[float, float, int]:
    """Return wall clock and CPU seconds from the first observations that were worked off to the last, and how many.

    Where the first look that sees any sees all of them, the time begins at the look before.
    """
    first: tuple[float, float, float] | None = None
    done, moved = 0.0, time.monotonic()
    while not stop.is_set():
        workers.check()
        before, now = done, time.monotonic()
        done = _done(workers)
        if done > before:
            moved = now
        elif now - moved > _STILL_SECONDS:
            msg = f"the workers have stood still at {done:,.0f} of {events:,} observations for {_STILL_SECONDS:.0f} s"
            raise Failure(msg)
        here = (now, cpu_seconds(workers.process_ids), done)
        if first is None or (not first[2] and done < events):
            first = here
        if done >= events:
            return here[0] - first[0], here[1] - first[1], round(here[2] - first[2])
        stop.wait(_POLL_SECONDS)
    msg = "stopped"
    raise Failure(msg)


def _done(workers: Workers) -> float:
    try:
        counters = workers.counters()
    except Failure:  # one that starts does not answer yet; one that has ended is noticed by `check`
        return 0.0
    return counters.get(_ACCEPTED, 0.0) + counters.get(_REJECTED, 0.0)


def _recovered_after(grounds: Grounds, load: Load, workers: Workers, stop: threading.Event) -> float:
    """Kill the workers and start them again; return the seconds from then until a score of each partition has come."""
    reader = Reader(grounds, [grounds.topics.scores])
    try:
        workers.kill()
        grounds.send(load.one_of_each_partition(grounds.partitions, round(time.time() * 1000)))
        began = time.monotonic()
        workers.start_again()
        waiting = set(range(grounds.partitions))
        while waiting and not stop.is_set():
            if time.monotonic() - began > _STILL_SECONDS:
                msg = f"no score has come of the partitions {sorted(waiting)} since a worker was killed"
                raise Failure(msg)
            waiting -= {record.partition for record in reader.poll(_POLL_SECONDS)}
        return time.monotonic() - began
    finally:
        reader.close()


def measure_baseline(grounds: Grounds, load: Load, stop: threading.Event) -> Baseline:
    """Let the plain loop work off what waits in the grounds' log. Raises Failure."""
    topics = grounds.for_plain_loop("plain")
    process = start_plain_loop(grounds, topics.prefix, load.events)
    while process.poll() is None:
        if stop.wait(_POLL_SECONDS):
            process.terminate()
    out, problem = process.communicate()
    if process.returncode != 0:
        last = (problem.strip().splitlines() or ["it said nothing"])[-1]
        msg = f"the plain loop ended with exit code {process.returncode}: {last}"
        raise Failure(msg)
    return Baseline(**json.loads(out))


def start_plain_loop(grounds: Grounds, out: str, until: int) -> subprocess.Popen[str]:
    """Start the plain loop on the grounds' observations; it ends after `until` of them, or with SIGTERM."""
    settings = grounds.settings
    policy = "" if settings.policy.file is None else str(settings.policy.file)
    arguments = [grounds.bootstrap, settings.topics.prefix, out, str(grounds.partitions), settings.model.name, policy]
    program = [sys.executable, "-m", "monitor.bench.plain_loop", *arguments, str(until)]
    return subprocess.Popen(  # noqa: S603 - no shell, and every word is ours
        [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
