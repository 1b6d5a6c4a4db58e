"""Plays a day on a ward: what came before it quickly, the day itself at its pace, with a nurse and a live budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
from kafka import TopicPartition

from agents.messages import Admission, AlertEvent, RiskScore
from monitor import clients
from monitor.brokers.probe import free_port
from monitor.budget.burden import Burden, milliseconds_of
from monitor.publishing import Publisher, PublisherOptions
from tests.e2e.ward import PARTITIONS, Ward
from tests.nurse_day.nurse import Nurse
from tests.nurse_day.ward_day import DayStream, WardDay

__all__ = ["play"]

_DRAIN_SECONDS = 240.0
_PATIENCE_SECONDS = 90.0
_REST_SECONDS = 60.0  # for the nurse's last marks, and for the answers
_LOOK_SECONDS = 5.0  # of the live budget, from look to look


def play(ward: Ward, day: WardDay, stream: DayStream, *, speed: float, seed: int, budget: bool) -> dict[str, Any]:
    """Play a day at `speed` times real time on a ward whose workers are ready, and return its figures.

    With `budget` the live budget runs beside it, from the beginning of the day on.
    """
    beds = len(set(day.bed.tolist()))
    with ExitStack() as stack:
        producer = stack.enter_context(ward.producer())
        nurse = stack.enter_context(_nurse(ward, stream, speed, seed))
        caught_up = threading.Event()
        begun: list[float] = []

        def begin(sent: int) -> None:
            """Let the workers catch up with what was before the day, and then with those who left before it."""
            if begun or sent < stream.lead:
                return
            producer.flush()
            ward.drain(_DRAIN_SECONDS)
            if not caught_up.is_set():
                caught_up.set()
                return
            if budget:
                stack.enter_context(_live_budget(ward))
            nurse.take_over()
            nurse.start()
            begun.append(time.monotonic())

        positions = stack.enter_context(ward.positions())
        options = PublisherOptions(beds * speed / 3600, _PATIENCE_SECONDS, stream.lead)
        summary = Publisher(stream, ward.topics, producer, positions, options, progress=begin).run()
        assert summary.order_kept
        streamed = time.monotonic() - begun[0]
        ward.drain(_DRAIN_SECONDS)
        _until(lambda: nurse.at_rest)
        nurse.end_shift()
        ward.drain(_DRAIN_SECONDS)
        _until(nurse.all_answered)
        return _figures(ward, nurse, day, stream) | {"beds": beds, "seconds": round(streamed, 1)}


def _until(done: Callable[[], bool]) -> None:
    """Wait for something that the figures tell of where it does not come."""
    deadline = time.monotonic() + _REST_SECONDS
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def _nurse(ward: Ward, stream: DayStream, speed: float, seed: int) -> Iterator[Nurse]:
    consumer = clients.consumer(ward.settings.kafka, ward.bootstrap)
    places = [TopicPartition(ward.topics.alert_events, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    producer = clients.producer(ward.settings.kafka, ward.bootstrap)
    try:
        yield Nurse(
            ward.topics, consumer, producer, speed=speed, seed=seed, begin=stream.begin, windows=stream.windows()
        )
    finally:
        consumer.close(autocommit=False)
        producer.close()


@contextmanager
def _live_budget(ward: Ward) -> Iterator[None]:
    command = [sys.executable, "-m", "monitor", "budget", "--every", f"{_LOOK_SECONDS:g}"]
    environment = {**os.environ, **ward.environment, "SEPSIS_MONITOR_HTTP__PORT": str(free_port())}
    with ward.log_of("budget").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, ward.log("budget")[-3000:]
        process.terminate()
        assert process.wait(timeout=30) == 0, ward.log("budget")[-3000:]
    finally:
        process.kill()
        process.wait()


def _figures(ward: Ward, nurse: Nurse, day: WardDay, stream: DayStream) -> dict[str, Any]:
    begin, end = stream.begin, stream.begin + day.hours * 3600
    events = [msgspec.convert(value, AlertEvent) for value in ward.values(ward.topics.alert_events)]
    units = _burden(ward, events).by_unit().values()
    measured = [unit.measured(begin * 1000, end * 1000) for unit in units]
    days = sum(each.patient_days for each in measured)
    ended = sum(begin * 1000 <= at < end * 1000 for unit in units for at, _ in unit.ended)
    latest = {record.key: json.loads(record.value or b"{}") for record in ward.records(ward.topics.alert_state)}
    refused = sum(b"nurse-" in (record.value or b"") for record in ward.records(ward.topics.rejected))
    return {
        "stays": int(day.here.sum()),
        "septic": int((day.here & (day.onset_hours < float("inf"))).sum()),
        "patient_days": round(days, 1),
        "false_per_patient_day": round(sum(each.episodes for each in measured) / days, 3),
        "episodes_per_patient_day": round(ended / days, 3),
        "events": _sorted(nurse.seen),
        "commands": _sorted(Counter(nurse.sent.values())),
        "answers": _sorted(Counter(nurse.answers[name] for name in nurse.sent if name in nurse.answers)),
        "reasons": _sorted(Counter(each.reason or "" for each in events if each.transition == "rejected")),
        "commands_refused_unanswered": refused,
        "unanswered": len(nurse.unanswered()),
        "thresholds": [  # moved in the day: when all are sent home after it, that is no burden of a ward
            {name: moved[name] for name in ("unit", "raise_threshold", "episodes", "patient_days")}
            for moved in ward.values(ward.topics.budgets)
            if milliseconds_of(moved["counted_until"]) <= end * 1000
        ],
        "open_at_the_end": sum(event.get("state", "ended") != "ended" for event in latest.values()),
    }


def _burden(ward: Ward, events: list[AlertEvent]) -> Burden:
    burden = Burden()
    for value in ward.values(ward.topics.admissions):
        burden.take_admission(msgspec.convert(value, Admission))
    for value in ward.values(ward.topics.scores):
        burden.take_score(msgspec.convert(value, RiskScore))
    for event in events:
        burden.take_event(event)
    return burden


def _sorted(counted: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counted.items()))
