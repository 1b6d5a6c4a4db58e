"""`python -m tests.bench.recovery`: how long a worker takes to come back, and another one to take its patients over.

1. A worker learns `--patients` patients by their observations, is killed with SIGKILL and started again: seconds until
   /readyz answers 200 (before, it must not), and until the alert of an observation that was waiting.
2. Two workers share the patients; one is killed with SIGKILL, `--takeovers` times: seconds until an observation of each
   partition, sent at that moment, has raised its alert. That is the longest that a patient waits.

Exit code 1 where the limits are missed: 30 s, and 10 s for each take-over.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from itertools import count

from agents.worker_config import partition_of
from tests.bench.grounds import AlertWatch, bench_ward, observations, parser, quick_body
from tests.bench.watching import metric, resident_bytes
from tests.e2e.ward import PARTITIONS, Ward

__all__ = ["main", "restart", "take_overs"]

READY_SECONDS = 30.0
TAKEOVER_SECONDS = 10.0
_WORKERS = ("worker-1", "worker-2")
_numbers = count()


def _one_of_each_partition() -> list[str]:
    """Return new patients, one of each partition."""
    found: dict[int, str] = {}
    while len(found) < PARTITIONS:
        name = f"bench-{next(_numbers)}"
        found.setdefault(partition_of(name.encode(), PARTITIONS), name)
    return list(found.values())


def _send(ward: Ward, patients: list[str]) -> None:
    ward.send(ward.topics.observations, [(name.encode(), quick_body(name), []) for name in patients])


def _fill(ward: Ward, patients: int, hours: int) -> float:
    """Let the worker learn patients; return the seconds it took."""
    began = time.monotonic()
    names = [f"patient-{number}" for number in range(patients)]
    with ward.producer() as producer:
        for key, value in observations(names, hours):
            producer.send(ward.topics.observations, key=key, value=value)
        producer.flush()
    ward.drain(1_800)
    return time.monotonic() - began


class _Readiness:
    """Asks /readyz again and again, and keeps what it said before it was ready."""

    def __init__(self, ward: Ward, instance: str, began: float) -> None:
        self.said: list[str] = []
        self.seconds = float("nan")
        self._port, self._began = ward.ports[instance], began
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while time.monotonic() - self._began < 10 * READY_SECONDS:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5):
                    self.seconds = time.monotonic() - self._began
                    return
            except urllib.error.HTTPError as error:
                self.said += json.loads(error.read())
            except OSError:
                self.said.append("not listening")
            time.sleep(0.05)

    def wait(self) -> None:
        self._thread.join()


def restart(ward: Ward, instance: str = "worker-1") -> dict[str, object]:
    """Kill and start a worker that is alone; return the figures."""
    alerts = AlertWatch(ward)
    ward.kill(instance)
    patients = _one_of_each_partition()
    _send(ward, patients)
    began = time.monotonic()
    ward.start(instance)
    readiness = _Readiness(ward, instance, began)
    first = alerts.seconds_until(patients, began)
    readiness.wait()
    alerts.close()
    return {
        "ready_seconds": round(readiness.seconds, 2),
        "first_alert_seconds": round(min(first.values()), 2),
        "all_partitions_seconds": round(max(first.values()), 2),
        "said_recovering": "recovering" in readiness.said,
        "progress_lines": len(re.findall("worker_recovering", ward.log(instance))),
        "recovered_patients": metric(ward.ports[instance], "recovered_patients"),
        "recovered_megabytes": round(metric(ward.ports[instance], "recovered_bytes") / 1e6, 1),
        "resident_megabytes": round(resident_bytes(ward.workers[instance].pid) / 1e6, 1),
    }


def take_overs(ward: Ward, times: int) -> list[float]:
    """Kill one of two workers again and again; return the longest wait of a patient each time."""
    waits: list[float] = []
    for instance in _WORKERS:
        if instance not in ward.workers or ward.workers[instance].poll() is not None:
            ward.start(instance)
    for number in range(times):
        for instance in _WORKERS:
            ward.wait_ready(instance, 120)
        victim = _WORKERS[number % 2]
        alerts, patients = AlertWatch(ward), _one_of_each_partition()
        ward.kill(victim)
        began = time.monotonic()
        _send(ward, patients)
        waits.append(round(max(alerts.seconds_until(patients, began).values()), 2))
        alerts.close()
        ward.start(victim)
    return waits


def main() -> int:
    """Measure, print, and return the exit code."""
    asked = parser(__doc__)
    asked.add_argument("--patients", type=int, default=20_000)
    asked.add_argument("--hours", type=int, default=3, help="observations of each patient")
    asked.add_argument("--takeovers", type=int, default=10)
    arguments = asked.parse_args()
    with bench_ward(arguments.bootstrap) as ward:
        ward.start()
        ward.wait_ready(seconds=120)
        filled = _fill(ward, arguments.patients, arguments.hours)
        figures = {"patients": arguments.patients, "fill_seconds": round(filled, 1), **restart(ward)}
        print(json.dumps(figures), flush=True)  # noqa: T201 (the result)
        waits = take_overs(ward, arguments.takeovers)
    figures["takeover_seconds"] = waits
    print(json.dumps({"takeover_seconds": waits}))  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="ascii")
    ready = figures["ready_seconds"]
    assert isinstance(ready, float)
    good = ready <= READY_SECONDS and figures["said_recovering"] and all(wait <= TAKEOVER_SECONDS for wait in waits)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
