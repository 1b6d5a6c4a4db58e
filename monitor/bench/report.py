"""The figures of a `bench` run: as one JSON object, and as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from monitor.bench.core_cost import CoreCost
from monitor.bench.latency import Latency
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
        return {
            "cpu_ratio_to_baseline": _rounded(_worst(max, [run.cpu_ratio for run in self.runs])),
            "rate_ratio_to_baseline": _rounded(_worst(min, [run.rate_ratio for run in self.runs])),
            "cpu_seconds_per_million_events": _rounded(
                _worst(max, [run.done.cpu_seconds_per_million for run in self.runs])
            ),
            "core_ratio_to_lstm": _rounded(_worst(max, [core.ratio for core in self.cores])),
            "events_per_cpu_second_two_workers_to_one": _rounded(self._scaling()),
            "state_bytes_per_patient": self.state_bytes,
            "where": self.where,
            "runs": [run.as_json() for run in self.runs],
            "core": [asdict(core) | {"ratio_to_lstm": round(core.ratio, 2)} for core in self.cores],
            "latency": [asdict(latency) for latency in self.latencies],
        }

    def _scaling(self) -> float | None:
        """Return the worst ratio of events a CPU second, two workers against one, at the same number of patients."""
        cpu = {(run.done.patients, run.done.workers): run.done.cpu_seconds_per_million for run in self.runs}
        one, two = ({patients: cost for (patients, of), cost in cpu.items() if of == count} for count in (1, 2))
        return min((one[patients] / two[patients] for patients in one.keys() & two.keys()), default=None)

    def tables(self) -> list[_Table]:
        """Return title, heads and rows of each table that has any."""
        return [table for table in (self._throughput(), self._core(), self._latency()) if table[2]]

    def _throughput(self) -> _Table:
        heads = ("patients", "workers", "events/s", "of plain", "CPU s/million", "of plain", "peak MB", "back after s")
        rows = [
            (
                f"{run.done.patients:,}",
                str(run.done.workers),
                f"{run.done.rate:,.0f}",
                _times(run.rate_ratio),
                f"{run.done.cpu_seconds_per_million:.1f}",
                _times(run.cpu_ratio),
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
        )
        rows = [
            (
                each.engine,
                f"{each.rate:,.0f}",
                ", ".join(f"{value:.0f}" for value in each.alert_ms),
                ", ".join(f"{value:.0f}" for value in each.score_ms),
                f"{each.unanswered:,} of {each.alerts + each.unanswered:,}",
            )
            for each in self.latencies
        ]
        return "From append to answer, at a steady pace", heads, rows


def _worst(choose: Any, found: Sequence[float | None]) -> float | None:
    known = [value for value in found if value is not None]
    return choose(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
