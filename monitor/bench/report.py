"""The figures of a `bench` run: as one JSON object, and as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from monitor.bench.core_cost import CoreCost
from monitor.bench.latency import Latency, Quantiles
from monitor.bench.throughput import Baseline, Throughput

__all__ = ["Report"]


_Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # title, heads, rows


@dataclass(frozen=True)
class _Run:
    done: Throughput
    plain: Baseline | None

    @property
    def cpu_ratio(self) -> float | None:
        """CPU an event, against the plain loop's."""
        if self.plain is None:
            return None
        return self.done.cpu_seconds_per_million / self.plain.cpu_seconds_per_million

    @property
    def rate_ratio(self) -> float | None:
        """Events a second, against the plain loop's."""
        return None if self.plain is None else self.done.rate / self.plain.rate

    def as_json(self) -> dict[str, object]:
        """Return the run as plain values."""
        done, plain = self.done, self.plain
        return {
            "workers": done.workers,
            "patients": done.patients,
            "events": done.events,
            "seconds": round(done.seconds, 3),
            "events_per_second": round(done.rate, 1),
            "cpu_seconds_per_million_events": round(done.cpu_seconds_per_million, 2),
            "peak_bytes": done.peak_bytes,
            "peak_bytes_above_idle": done.peak_bytes - done.idle_bytes,
            "recovery_seconds": _rounded(done.recovery_seconds),
            "baseline_events_per_second": _rounded(None if plain is None else plain.rate),
            "baseline_cpu_seconds_per_million_events": None
            if plain is None
            else round(plain.cpu_seconds_per_million, 2),
            "cpu_ratio_to_baseline": _rounded(self.cpu_ratio),
            "rate_ratio_to_baseline": _rounded(self.rate_ratio),
        }


@dataclass
class Report:
    """What a run measured so far, and where."""

    where: dict[str, object]
    state_bytes: int  # a patient
    runs: list[_Run] = field(default_factory=list)
    cores: list[CoreCost] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)

    def add(self, done: Throughput, plain: Baseline | None) -> None:
        """Take a run in."""
        self.runs.append(_Run(done, plain))

    def as_json(self) -> dict[str, object]:
        """Return everything as plain values; at the top the worst of each."""
        scaling = self._scaling()
        return {
            "cpu_ratio_to_baseline": _rounded(_worst(max, [run.cpu_ratio for run in self.runs])),
            "rate_ratio_to_baseline": _rounded(_worst(min, [run.rate_ratio for run in self.runs])),
            "cpu_seconds_per_million_events": _rounded(
                _worst(max, [run.done.cpu_seconds_per_million for run in self.runs])
            ),
            "core_ratio_to_lstm": _rounded(_worst(max, [core.ratio for core in self.cores])),
            "events_per_cpu_second_two_workers_to_one": scaling.get("2"),
            "events_per_cpu_second_to_one_worker": scaling,
            "state_bytes_per_patient": self.state_bytes,
            "where": self.where,
            "runs": [
                run.as_json() | {"events_per_cpu_second_to_one_worker": _rounded(self._to_one_worker(run))}
                for run in self.runs
            ],
            "core": [asdict(core) | {"ratio_to_lstm": round(core.ratio, 2)} for core in self.cores],
            "latency": [asdict(latency) for latency in self.latencies],
        }

    def _scaling(self) -> dict[str, float | None]:
        """Return the worst ratio of events a CPU second to one worker's, by the number of workers."""
        counts = sorted({run.done.workers for run in self.runs})
        found = {
            str(count): _worst(min, [self._to_one_worker(run) for run in self.runs if run.done.workers == count])
            for count in counts
        }
        return {count: _rounded(worst) for count, worst in found.items() if worst is not None}

    def _to_one_worker(self, run: _Run) -> float | None:
        """Return events a CPU second of several workers against one with as many patients, if that was measured."""
        one = [
            other.done for other in self.runs if other.done.workers == 1 and other.done.patients == run.done.patients
        ]
        if run.done.workers == 1 or not one:
            return None
        return one[-1].cpu_seconds_per_million / run.done.cpu_seconds_per_million

    def tables(self) -> list[_Table]:
        """Return title, heads and rows of each table that has any."""
        tables = (self._throughput(), self._core(), self._latency())
        shown = [table for table in tables if table[2]]
        return [*shown, self._state()] if shown else []

    def _throughput(self) -> _Table:
        heads = (
            "patients",
            "workers",
            "events/s",
            "of plain",
            "CPU s/million",
            "of plain",
            "events/CPU s, of one worker",
            "peak MB",
            "back after s",
        )
        rows = [
            (
                f"{run.done.patients:,}",
                str(run.done.workers),
                f"{run.done.rate:,.0f}",
                _times(run.rate_ratio),
                f"{run.done.cpu_seconds_per_million:.1f}",
                _times(run.cpu_ratio),
                _times(self._to_one_worker(run)),
                f"{run.done.peak_bytes / 1e6:.0f} ({(run.done.peak_bytes - run.done.idle_bytes) / 1e6:.0f} above idle)",
                "" if run.done.recovery_seconds is None else f"{run.done.recovery_seconds:.1f}",
            )
            for run in self.runs
        ]
        return "A backlog, worked off", heads, rows

    def _core(self) -> _Table:
        heads = ("patients", "core µs/event", "bare network µs/step", "ratio")
        rows = [
            (f"{core.patients:,}", f"{core.core_us:.1f}", f"{core.lstm_us:.2f}", f"{core.ratio:.1f}")
            for core in self.cores
        ]
        return "The decisions alone", heads, rows

    def _latency(self) -> _Table:
        heads = (
            "by",
            "events/s",
            "to the alert: p50, p99, p99.9 ms",
            "to the risk: p50, p99, p99.9 ms",
            "alerts not come",
            "of a core",
        )
        rows = [
            (
                each.engine,
                f"{each.rate:,.0f}",
                _waits(each.alert_ms, each.unanswered),
                _waits(each.score_ms, each.unanswered),
                f"{each.unanswered:,} of {each.alerts + each.unanswered:,}",
                f"{each.cpu_share:.2f}",
            )
            for each in self.latencies
        ]
        return "From append to answer, at a steady pace", heads, rows

    def _state(self) -> _Table:
        return "The state of a patient", ("bytes of its record in the changelog",), [(f"{self.state_bytes:,}",)]


def _worst(choose: Any, found: Sequence[float | None]) -> float | None:
    known = [value for value in found if value is not None]
    return choose(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _waits(milliseconds: Quantiles, unanswered: int) -> str:
    """Return quantiles for a cell, and say so where they are not of all answers."""
    shown = ", ".join("-" if value is None else f"{value:.0f}" for value in milliseconds)
    return f"{shown} of those that came" if unanswered else shown


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
