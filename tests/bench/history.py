"""`python -m tests.bench.history`: what an observation costs early in a stay, and after so many hours more.

The decisions alone, no broker, under a policy that never alerts (what an alert costs depends on when it is raised, and
that is not the history's doing): the same patients, once in their third hour and once in their `--hours`-th, then the
same minutes of each in turns, several times; the best of each counts, for other work on the machine only ever adds.

Exit code 1 where the later hours cost over a tenth more than the early ones, or the reverse, or a state has grown.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from agents.core import Core
from agents.decoding import Limits
from agents.policy import load_policy
from models.artifact import load_model
from models.cohort import read_cohort
from monitor.bench.core_cost import LoggedRecord
from monitor.bench.load import Load

__all__ = ["main", "measure"]

_EARLY_HOURS = 3
_HOUR_SECONDS, _MINUTE_SECONDS = 3600.0, 60.0
_MINUTES = 10
_ALLOWED = 0.1


class _Ward:
    """Patients whose stays are some hours long."""

    def __init__(self, core: Core, patients: int, hours: int, now_ms: int) -> None:
        self._core, self._patients, self._offset = core, patients, 0
        self.states: dict[bytes, bytes | None] = {}
        for part in Load(_cohort(), patients, hours, _HOUR_SECONDS).rounds(now_ms):
            self.states.update(self.work_off(part, now_ms))

    def work_off(self, samples: list[tuple[bytes, bytes]], now_ms: int) -> dict[bytes, bytes | None]:
        """Return the states after samples that follow; what is held stays as it is."""
        records = [LoggedRecord("", 0, self._offset + at, now_ms, *sample) for at, sample in enumerate(samples)]
        self._offset += len(records)
        return self._core.process(0, records, self.states.get).states

    def minutes_us(self, now_ms: int) -> float:
        """Return the CPU microseconds of an observation, of some minutes that are worked off as one."""
        load = Load(_cohort(), self._patients, _MINUTES, _MINUTE_SECONDS)
        later = now_ms + round(_MINUTES * _MINUTE_SECONDS * 1000)
        samples = [sample for part in load.rounds(later) for sample in part]
        began = time.process_time()
        self.work_off(samples, later)
        return (time.process_time() - began) / len(samples) * 1e6


def _cohort() -> Any:
    return read_cohort(Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet")


def measure(patients: int, hours: int, tries: int) -> dict[str, float]:
    """Return the CPU microseconds of an observation early and late, their ratio, and the largest state of each."""
    policy = msgspec.structs.replace(load_policy(), raise_threshold=0.99, resolve_threshold=0.98)
    core = Core(load_model("bedside"), policy, Limits())
    now_ms = round(time.time() * 1000)
    early, late = (_Ward(core, patients, count, now_ms) for count in (_EARLY_HOURS, hours))
    found = [(early.minutes_us(now_ms), late.minutes_us(now_ms)) for _ in range(tries)]
    early_us, late_us = (min(each) for each in zip(*found, strict=True))
    return {
        "patients": patients,
        "early_hours": _EARLY_HOURS,
        "late_hours": hours,
        "early_us": round(early_us, 2),
        "late_us": round(late_us, 2),
        "ratio": round(late_us / early_us, 3),
        "early_state_bytes": max(len(state or b"") for state in early.states.values()),
        "late_state_bytes": max(len(state or b"") for state in late.states.values()),
    }


def main() -> int:
    """Measure, print, and return the exit code."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--patients", type=int, default=400)
    asked.add_argument("--hours", type=int, default=300)
    asked.add_argument("--tries", type=int, default=15)
    arguments = asked.parse_args()
    found = measure(arguments.patients, arguments.hours, arguments.tries)
    print(json.dumps(found, indent=1))  # noqa: T201 (the result)
    same = abs(found["ratio"] - 1) <= _ALLOWED and found["early_state_bytes"] == found["late_state_bytes"]
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
