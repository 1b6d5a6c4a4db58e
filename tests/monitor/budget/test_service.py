"""The controller's acts: in order, once, only in charge, and again where it is not known how far they came."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
import structlog
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from structlog.testing import capture_logs

from agents.messages import UnitThreshold
from agents.observer import Status
from agents.topics import Topics
from monitor.budget.appending import Appender
from monitor.budget.burden import Burden
from monitor.budget.controller import Look
from monitor.budget.law import Measured
from monitor.budget.metrics import BudgetMetrics
from monitor.budget.service import MOST_UNITS, Controller, Watch
from monitor.budget.thresholds import Thresholds, moved_to
from monitor.errors import Failure
from tests.monitor.budget.wards import POLICY, admitted, ms, seen, steady

GO = threading.Event()


@dataclass
class _Reader:
    """What was read, as `BudgetReader` has it; what is put is read back, as from the topic."""

    burden: Burden
    thresholds: Thresholds = field(default_factory=Thresholds)
    complete_from_ms: int = 0
    reads: int = 0

    def catch_up(self, stop: threading.Event) -> None:
        self.reads += 1


@dataclass
class _Charge:
    joined: bool = True
    held: bool = True
    granted: bool = True

    def poll(self) -> None: ...

    def confirmed(self) -> bool:
        self.held = self.held and self.granted
        return self.held


@dataclass
class _Puts:
    """Notes what is written; fails at the write of that number."""

    reader: _Reader
    fails_at: int = -1
    written: list[tuple[str, str, float]] = field(default_factory=list)

    def put(self, record: UnitThreshold) -> None:
        self.remember([record])
        self.repeat([record])

    def remember(self, records: Sequence[UnitThreshold]) -> None:
        self._write("memory", records)
        for record in records:
            self.reader.thresholds.take(record)

    def repeat(self, records: Sequence[UnitThreshold]) -> None:
        self._write("logs", records)

    def _write(self, where: str, records: Sequence[UnitThreshold]) -> None:
        for record in records:
            if len(self.written) == self.fails_at:
                self.fails_at = -1
                raise KafkaTimeoutError
            self.written.append((where, record.unit, record.raise_threshold))


def turn(controller: Controller, charge: _Charge, puts: _Puts) -> list[Look]:
    return controller.act(controller.looks(GO), charge, puts)


def ward(fails_at: int = -1) -> tuple[Controller, _Charge, _Puts]:
    reader = _Reader(steady(20, 24, 40))
    return Controller(reader, lambda _: POLICY), _Charge(), _Puts(reader, fails_at)  # type: ignore[arg-type]


def test_a_move_stands_in_the_memory_before_it_stands_in_the_logs_and_is_made_once() -> None:
    controller, charge, puts = ward()
    assert [each.outcome for each in turn(controller, charge, puts)] == ["moved"]
    assert puts.written == [("memory", "A", 0.022), ("logs", "A", 0.022)]
    assert turn(controller, charge, puts) == []
    assert len(puts.written) == 2


@pytest.mark.parametrize("fails_at", [0, 1])
def test_after_a_write_that_failed_the_logs_get_it_and_nothing_moves_twice(fails_at: int) -> None:
    controller, charge, puts = ward(fails_at)
    with pytest.raises(KafkaTimeoutError):
        turn(controller, charge, puts)
    turn(controller, charge, puts)
    turn(controller, charge, puts)
    assert puts.written == [("memory", "A", 0.022), ("logs", "A", 0.022)]


def test_whoever_starts_tells_the_logs_again_what_holds_under_todays_policies() -> None:
    reader = _Reader(steady(20, 24, 20))
    for unit, policy in (("A", POLICY), ("gone", POLICY), ("other", None)):
        record = moved_to(unit, POLICY, 0.03, Measured(9, 20.0), until_ms=ms(20), now_ms=ms(20))
        if policy is None:
            record = UnitThreshold("other", 0.9, record.counted_until, 1, 1.0, record.policy, record.time)
        reader.thresholds.take(record)
    puts = _Puts(reader)
    turn(Controller(reader, lambda _: POLICY), _Charge(), puts)  # type: ignore[arg-type]
    assert puts.written == [("logs", "A", 0.03), ("logs", "gone", 0.03)]


def test_out_of_charge_nothing_is_written() -> None:
    for charge in (_Charge(held=False), _Charge(granted=False)):
        controller, _, puts = ward()
        assert turn(controller, charge, puts) == []
        assert puts.written == []


def test_who_is_put_in_charge_again_repeats_what_holds() -> None:
    controller, charge, puts = ward()
    turn(controller, charge, puts)
    charge.held = False
    turn(controller, charge, puts)
    charge.held = True
    turn(controller, charge, puts)
    assert puts.written[2:] == [("logs", "A", 0.022)]


def test_a_record_that_was_written_over_is_written_again() -> None:
    controller, charge, puts = ward()
    turn(controller, charge, puts)
    puts.reader.thresholds.take(moved_to("A", POLICY, 0.011, Measured(), until_ms=ms(3), now_ms=ms(3)))
    turn(controller, charge, puts)
    assert puts.written[2:] == [("memory", "A", 0.022)]


def test_more_units_than_there_can_be_wards_are_refused() -> None:
    reader = _Reader(Burden())
    for number in range(MOST_UNITS + 1):
        reader.burden.take_admission(admitted(f"p{number}", 0, f"bed {number}"))
        reader.burden.take_score(seen(f"p{number}", 5))
    with pytest.raises(Failure, match=f"{MOST_UNITS + 1} units"):
        Controller(reader, lambda _: POLICY).looks(GO)  # type: ignore[arg-type]


def test_a_reset_is_of_one_unit_or_of_all_that_were_ever_moved() -> None:
    controller, charge, puts = ward()
    assert controller.resets(GO, None) == []
    turn(controller, charge, puts)
    (record,) = controller.resets(GO, None)
    assert (record.unit, record.raise_threshold) == ("A", POLICY.raise_threshold)
    assert [each.unit for each in controller.resets(GO, "A")] == ["A"]
    with pytest.raises(Failure, match="a unit 'B'; those that are known: A"):
        controller.resets(GO, "B")


def test_a_cluster_that_does_not_answer_is_asked_again() -> None:
    controller, charge, puts = ward(fails_at=1)
    stop = threading.Event()
    told: list[Look] = []
    watch = Watch(controller, charge, puts, BudgetMetrics())

    def poll() -> None:
        if ("logs", "A", 0.022) in puts.written:
            stop.set()

    charge.poll = poll  # type: ignore[method-assign]
    watch.run(stop, 0.01, told.append)
    assert puts.written == [("memory", "A", 0.022), ("logs", "A", 0.022)]
    assert watch.status().ready


def test_workers_under_another_policy_are_told_of_once() -> None:
    reader = _Reader(steady(20, 24, 40))
    other = msgspec.structs.replace(POLICY, digest="sha256:other")
    charge, stop = _Charge(held=False), threading.Event()

    def poll() -> None:
        if reader.reads == 3:
            stop.set()

    charge.poll = poll  # type: ignore[method-assign]
    controller = Controller(reader, lambda _: other)  # type: ignore[arg-type]
    watch = Watch(controller, charge, _Puts(reader), BudgetMetrics())
    with structlog.testing.capture_logs() as logs:
        watch.run(stop, 0.01, lambda _: None)
    (said,) = [each for each in logs if each["event"] == "budget_policy_elsewhere"]
    assert (said["log_level"], said["unit"], said["policy_at_work"]) == ("warning", "A", POLICY.digest)
    assert (said["policy"], reader.reads) == ("sha256:other", 3)


def test_a_look_that_was_refused_is_no_ready_controller_and_names_the_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller, charge, puts = ward()
    stop = threading.Event()
    states: list[Status] = []
    watch = Watch(controller, charge, puts, BudgetMetrics())

    def refuse(_stop: threading.Event) -> None:
        states.append(watch.status())
        if len(states) == 2:
            stop.set()
        raise TopicAuthorizationFailedError({"x.risk.scores.v1"})

    monkeypatch.setattr(puts.reader, "catch_up", refuse)
    with capture_logs() as logs:
        watch.run(stop, 0.01, print)
    assert [status.ready for status in states] == [True, False]
    assert states[1].failing == ("kafka",)
    assert [line["event"] for line in logs] == ["budget_look_failed"]
    assert "Read or Write of the topic x.risk.scores.v1" in logs[0]["meaning"]


def test_a_controller_that_looks_no_more_is_late_after_a_minute_and_its_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller, charge, puts = ward()
    stop, now = threading.Event(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Watch(controller, charge, puts, BudgetMetrics())
    ready: list[bool] = []

    def poll() -> None:  # the cluster is silent from here on, and the look after the next never ends
        for at in (70.0, 71.0):
            now[0] = at
            ready.append(watch.status().ready)
        stop.set()

    charge.poll = poll  # type: ignore[method-assign]
    watch.run(stop, 10.0, print)
    assert ready == [True, False]


class _Producer:
    """Notes what is sent where; a future of each fails or not."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, bytes | None]] = []

    def send(self, topic: str, *, partition: int, key: bytes | None, **_: object) -> _Producer:
        self.sent.append((topic, partition, key))
        return self

    def flush(self, _seconds: float) -> None: ...

    def get(self, _seconds: float) -> None: ...


def test_every_partition_of_the_logs_gets_it() -> None:

    producer = _Producer()
    Appender(producer, Topics("x."), 3).put(moved_to("A", POLICY, 0.03, Measured(), until_ms=0, now_ms=0))
    assert producer.sent == [
        ("x.budgets.thresholds.v1", 0, b"A"),
        *(("x.vitals.observations.v1", partition, None) for partition in range(3)),
    ]
