"""`python -m tests.nurse_day`: a day of 300 beds, 2 % of the stays septic, 600 times faster than life, with a nurse.

The stays are those of the demonstration, which the shipped model has not learned from: each septic one at most once,
the others as often as the beds need them, the first 24 hours of each. Two workers on Apache Kafka and the shipped
policy (or --policy); a scripted nurse acknowledges, snoozes, dismisses and marks alerts minutes after they were raised,
and now and then tries what cannot be done. When the day is over everybody is discharged.

Exit code 1 where an alert is still open then, a command was not answered, or the alert episodes a patient-day are more
than --budget.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from kafka import TopicPartition

from agents.policy import load_policy
from models.cohort import Cohort, read_cohort
from monitor import clients
from monitor.replay import ReplayOptions, ReplayStream
from tests.bench.grounds import bench_ward, parser
from tests.e2e.ward import PARTITIONS, Ward
from tests.nurse_day.nurse import Nurse

__all__ = ["day_of", "main"]

_DEMO = Path(__file__).parents[2] / "monitor" / "data" / "demo-stays.parquet"
_WORKERS = ("worker-1", "worker-2")
_ANSWER_SECONDS = 60.0


def day_of(cohort: Cohort, beds: int, septic_share: float, hours: int, seed: int) -> Cohort:
    """Return the first hours of so many stays, septic ones at their share; names are made up anew."""
    draw = np.random.default_rng(seed)
    septic, others = np.flatnonzero(cohort.septic), np.flatnonzero(~cohort.septic)
    ill = draw.permutation(septic)[: round(beds * septic_share)]
    well = np.concatenate([draw.permutation(others) for _ in range(-(-beds // len(others)))])[: beds - len(ill)]
    stays = draw.permutation(np.concatenate([ill, well]))
    taken = cohort.take(stays)
    return replace(
        taken.with_rows(taken.steps < hours), patient_ids=tuple(f"bed-{number:03}" for number in range(beds))
    )


def _answer_all(ward: Ward, nurse: Nurse) -> None:
    """Wait for the answers to the last commands; those that stand among the refused ones are answered, too."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while nurse.unanswered() and time.monotonic() < deadline:
        nurse.read_on()
    for record in ward.records(ward.topics.rejected):
        said = json.loads(record.value or b"{}")
        if said.get("command_id") in nurse.sent:
            nurse.answers[said["command_id"]] = "refused"


def _open_alerts(ward: Ward) -> int:
    latest = {record.key: json.loads(record.value or b"{}") for record in ward.records(ward.topics.alert_state)}
    return sum(event.get("state", "ended") != "ended" for event in latest.values())


def _nurse(ward: Ward, speed: float, seed: int) -> tuple[Nurse, Any, Any]:
    consumer = clients.consumer(ward.settings.kafka, ward.bootstrap)
    places = [TopicPartition(ward.topics.alert_events, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    producer = clients.producer(ward.settings.kafka, ward.bootstrap)
    return Nurse(ward.topics, consumer, producer, speed, seed), consumer, producer


def _figures(ward: Ward, nurse: Nurse, cohort: Cohort, seconds: float) -> dict[str, Any]:
    patient_days = cohort.n_rows / 24
    raised = nurse.seen["sepsis_risk raised"]
    return {
        "beds": cohort.n_stays,
        "septic_within_the_day": int(cohort.septic.sum()),
        "patient_days": round(patient_days, 1),
        "seconds": round(seconds, 1),
        "raised": raised,
        "raised_per_patient_day": round(raised / patient_days, 3),
        "events": dict(sorted(nurse.seen.items())),
        "commands": dict(sorted(Counter(nurse.sent.values()).items())),
        "answers": dict(sorted(Counter(nurse.answers[name] for name in nurse.sent if name in nurse.answers).items())),
        "unanswered": len(nurse.unanswered()),
        "open_at_the_end": _open_alerts(ward),
    }


def main() -> int:
    """Play the day, print the figures, and return the exit code."""
    asked = parser(__doc__)
    asked.add_argument("--beds", type=int, default=300)
    asked.add_argument("--septic", type=float, default=0.02, help="share of the stays")
    asked.add_argument("--hours", type=int, default=24)
    asked.add_argument("--speed", type=float, default=600.0, help="times real time")
    asked.add_argument("--budget", type=float, default=0.5, help="alert episodes a patient-day")
    asked.add_argument("--policy", type=Path, help="policy file; default: the shipped one")
    asked.add_argument("--seed", type=int, default=0)
    arguments = asked.parse_args()
    cohort = day_of(read_cohort(_DEMO), arguments.beds, arguments.septic, arguments.hours, arguments.seed)
    load_policy(arguments.policy)
    chosen = {} if arguments.policy is None else {"SEPSIS_MONITOR_POLICY__FILE": str(arguments.policy.absolute())}
    with bench_ward(arguments.bootstrap, eager=False, **chosen) as ward:
        for worker in _WORKERS:
            ward.start(worker)
        for worker in _WORKERS:
            ward.wait_ready(worker, 120)
        nurse, consumer, producer = _nurse(ward, arguments.speed, arguments.seed)
        end = datetime.now(UTC) - timedelta(minutes=1)
        stream = ReplayStream(cohort, ReplayOptions(spread_hours=1.0), end)
        began = time.monotonic()
        nurse.start()
        ward.replay(stream, speed=arguments.beds * arguments.speed / 3600)
        ward.drain()
        nurse.end_shift()
        _answer_all(ward, nurse)
        figures = _figures(ward, nurse, cohort, time.monotonic() - began)
        consumer.close(autocommit=False)
        producer.close()
    print(json.dumps(figures, indent=1))  # noqa: T201 (the result)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="ascii")
    held = figures["raised_per_patient_day"] <= arguments.budget
    return 0 if held and not figures["unanswered"] and not figures["open_at_the_end"] else 1


if __name__ == "__main__":
    sys.exit(main())
