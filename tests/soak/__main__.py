"""`python -m tests.soak`: a simulated week of 2,000 patients on Apache Kafka; what a worker takes must stay flat.

Event time is compressed: an hour's observations of all patients are sent at once, and the next hour comes when they are
worked off. The week lies some days back, and its records have Kafka timestamps of then: whoever has left is forgotten
at once. Of each a stub stays as long as the log may hold a record of the patient, which here is for longer than the
week lasts; but for those the table should stay as large as the ward. The worker's memory, open files and table of
states are noted, with stubs and without, and what the changelog weighs. Exit code 1 where memory, files or the table
without stubs grows by more than its limit in a week. The changelog is shown and not judged: nothing of it may be
compacted before a day of real time is over, and the week lasts minutes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.policy import load_policy
from tests.bench.grounds import bench_ward, parser
from tests.bench.watching import metric, open_files, resident_bytes
from tests.e2e.ward import Ward, real_stays
from tests.soak.stubs import stub_bytes, stubs_line
from tests.soak.trend import SETTLING, Trend, trend
from tests.soak.week import Hour, week

__all__ = ["main"]

_WORKER = "worker-1"
_HOUR_MS = 3_600_000
_AGO_HOURS = 120  # from the week's end to now: longer than whoever has left is remembered
_LIMITS: dict[str, float | None] = {
    "resident_bytes": 0.10,
    "open_files": 0.10,
    "table_bytes": None,
    "table_less_stubs_bytes": 0.10,
    "patients_watched": None,
    "changelog_records": None,
}


@dataclass(frozen=True)
class Sample:
    """What was noted after an hour."""

    hour: int
    seconds: float
    resident_bytes: float
    open_files: float
    table_bytes: float  # of all records that the worker holds, as its metric says
    table_less_stubs_bytes: float
    patients_watched: float
    changelog_records: float
    stays_ended: int


def _policy(folder: Path) -> Path:
    """Write a policy with the shipped thresholds under which nobody is called silent: all of this was days ago."""
    shipped, path = load_policy(), folder / "soak.toml"
    limits = f"raise_threshold = {shipped.raise_threshold}\nresolve_threshold = {shipped.resolve_threshold}\n"
    said = f'name = "soak"\nversion = "1"\nmodel = "{shipped.model}"\n{limits}monitoring_lost_minutes = 100000\n'
    path.write_text(said, encoding="ascii")
    return path


def _send(ward: Ward, hour: Hour) -> None:
    with ward.producer() as producer:
        for key, value in hour.discharges:
            producer.send(ward.topics.admissions, key=key, value=value)
        sent_ms = round(hour.time.timestamp() * 1000) + _HOUR_MS
        for key, value in hour.observations:
            producer.send(ward.topics.observations, key=key, value=value, timestamp_ms=sent_ms)
        producer.flush()
    ward.drain(600)


def _sample(ward: Ward, hour: Hour, began: float, ended: int) -> Sample:
    process, port = ward.workers[_WORKER], ward.ports[_WORKER]
    changelog = f"{ward.settings.topics.prefix}{ward.settings.worker.group}-patients-changelog"
    until_counted = time.monotonic() + 1.2  # the gauges are counted once a second
    with ward.positions() as positions:
        records = sum(positions.end_offsets(changelog).values())
    time.sleep(max(0.0, until_counted - time.monotonic()))
    table_bytes = metric(port, "state_bytes")
    return Sample(
        hour=hour.number,
        seconds=round(time.monotonic() - began, 1),
        resident_bytes=resident_bytes(process.pid),
        open_files=open_files(process.pid),
        table_bytes=table_bytes,
        table_less_stubs_bytes=table_bytes - stub_bytes(ended),
        patients_watched=metric(port, "patients_watched"),
        changelog_records=records,
        stays_ended=ended,
    )


def _draw(samples: Sequence[Sample], trends: Sequence[Trend], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 (slow to load, and only here)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(len(trends), 1, sharex=True, figsize=(8, 2.1 * len(trends)), layout="constrained")
    hours = [sample.hour for sample in samples]
    for axis, one in zip(axes, trends, strict=True):
        figures = [getattr(sample, one.name) for sample in samples]
        axis.plot(hours, figures, linewidth=1)
        axis.axvspan(hours[0], hours[0] + SETTLING * (hours[-1] - hours[0]), alpha=0.1)
        axis.set_ylim(0, 1.15 * max(figures, default=1) or 1)
        axis.set_title(" ".join(one.line().split()), fontsize=8, loc="left")
    axes[-1].set_xlabel("simulated hours (shaded: settling, not judged)")
    figure.savefig(path, dpi=110)


def main() -> int:
    """Run, print, write, and return the exit code."""
    asked = parser(__doc__)
    asked.add_argument("--patients", type=int, default=2_000, help="beds, all of them taken")
    asked.add_argument("--hours", type=int, default=168, help="simulated")
    asked.add_argument("--every", type=int, default=2, metavar="HOURS", help="simulated hours from sample to sample")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--picture", type=Path, default=Path("soak.png"), metavar="FILE")
    arguments = asked.parse_args()
    cohort, samples, ended = real_stays(4_000, arguments.seed), [], 0
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=arguments.hours + _AGO_HOURS)
    with bench_ward(arguments.bootstrap, eager=False) as ward:
        ward.start(SEPSIS_MONITOR_POLICY__FILE=str(_policy(ward.folder)))
        ward.wait_ready(seconds=120)
        began = time.monotonic()
        for hour in week(cohort, arguments.patients, arguments.hours, begin, arguments.seed):
            _send(ward, hour)
            ended += hour.ended
            if hour.number % arguments.every == 0:
                samples.append(_sample(ward, hour, began, ended))
    hours = [sample.hour for sample in samples]
    trends = [trend(name, hours, [getattr(s, name) for s in samples], limit) for name, limit in _LIMITS.items()]
    for one in trends:
        print(one.line())  # noqa: T201 (the result)
    print(f"{ended} stays ended in {samples[-1].seconds:.0f} s")  # noqa: T201
    print(stubs_line(samples[-1].stays_ended, samples[-1].table_bytes))  # noqa: T201
    _draw(samples, trends, arguments.picture)
    if arguments.json:
        parts = {
            "arguments": vars(arguments),
            "trends": list(map(asdict, trends)),
            "samples": list(map(asdict, samples)),
        }
        arguments.json.write_text(json.dumps(parts, indent=1, default=str) + "\n", encoding="ascii")
    return 0 if all(one.flat for one in trends) else 1


if __name__ == "__main__":
    sys.exit(main())
