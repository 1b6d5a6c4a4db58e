"""The wall clock: what it makes due of many patients, appended once for each need, and acted on where it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from msgspec import structs

from agents.canary import CANARY_PREFIX
from agents.clock_watch import ClockWatch
from agents.control import ClockSaid
from agents.decoding import decode_log_record
from agents.policy import Policy
from agents.rules import Rules
from agents.sending import Outgoing
from agents.ward import Ward, WardCounts
from models.vital_signs import NAMES
from tests.agents.logs import (
    HOUR,
    ILL,
    LIMITS,
    MINUTE,
    START,
    WELL,
    Record,
    Run,
    admission,
    between,
    clock,
    command,
    never_alerting,
    new_core,
    numbered,
    observation,
    settings_record,
    work_off,
)

DAY = 24 * HOUR
POLICY = structs.replace(between(1e-6, 1e-7), acknowledge_minutes=30, monitoring_lost_minutes=90)
RULES = Rules(POLICY)
CALM = structs.replace(never_alerting(), monitoring_lost_minutes=90)


def lived(*records: Record, policy: Policy = POLICY) -> Run:
    return work_off(numbered(records), core=new_core(policy))


def ward_of(run: Run) -> Ward:
    ward = Ward()
    ward.take(0, run.states)
    return ward


def due(run: Run, minute: float, policy: Policy = POLICY) -> dict[bytes, list[str]]:
    return dict(ward_of(run).due(0, START + round(minute * MINUTE), Rules(policy), DAY))


# -- what is due


def test_silence_and_patience_are_counted_from_what_came_into_the_log() -> None:
    run = lived(observation("p", START, **ILL), observation("q", START + 40 * MINUTE, **ILL))
    assert due(run, 29.9) == {}
    assert due(run, 30) == {b"p": ["escalate"]}
    assert due(run, 90) == {b"p": ["monitoring_lost", "escalate"], b"q": ["escalate"]}
    off = structs.replace(POLICY, acknowledge_minutes=0, monitoring_lost_minutes=0)
    assert due(run, 1000, off) == {}


def test_an_announced_patient_of_whom_nothing_comes_is_silent_too() -> None:
    run = lived(admission("p", "admitted", START, source_offset=0))
    assert due(run, 90) == {b"p": ["monitoring_lost"]}
    told = lived(admission("p", "admitted", START), clock("p", START + 2 * HOUR, "monitoring_lost"))
    ((_, raised),) = told.alerts
    assert raised.cause == "nothing since the admission has come of the patient for 120 minutes"
    assert raised.missing == list(NAMES)
    assert (raised.risk, raised.vital_signs) == (None, {})


def test_a_replay_of_the_past_and_an_ended_stay_are_not_waited_for() -> None:
    replayed = replace(observation("p", START, **ILL), timestamp=START + 2 * HOUR)
    assert due(lived(replayed, policy=CALM), 10_000, CALM) == {}
    ended = lived(observation("p", START, **ILL), admission("p", "discharged", START + MINUTE, source_offset=1))
    assert due(ended, 95 * 60) == {}


def test_a_backlog_ends_no_silence_before_it_has_come_to_what_is_now() -> None:
    silent = [observation("p", START, **WELL), clock("p", START + 91 * MINUTE, "monitoring_lost")]
    came = START + 200 * MINUTE
    old, late, now = (replace(observation("p", START + at * MINUTE, **WELL), timestamp=came) for at in (5, 109, 110))
    assert [event.transition for _, event in lived(*silent, old, late, policy=CALM).alerts] == ["raised"]
    told = lived(*silent, old, late, now, policy=CALM).alerts
    assert [event.transition for _, event in told] == ["raised", "resolved"]


def test_a_snooze_runs_out_by_the_wall_clock() -> None:
    run = lived(observation("p", START, **ILL))
    alert = run.alerts[0][1].alert_id
    work_off(numbered([command("p", "snooze", alert, START, minutes=20)], first=1), core=new_core(POLICY), onto=run)
    assert due(run, 19.9) == {}
    assert due(run, 20) == {b"p": ["snooze_over"]}


def test_the_snooze_of_a_silent_patient_runs_out_also_where_the_command_came_late() -> None:
    silent = [observation("p", START, **ILL), clock("p", START + 91 * MINUTE, "monitoring_lost")]
    lost = next(event.alert_id for _, event in lived(*silent, policy=CALM).alerts if event.kind == "monitoring_lost")
    late = replace(command("p", "snooze", lost, START + 92 * MINUTE, minutes=20), timestamp=START + 105 * MINUTE)
    run = lived(*silent, late, policy=CALM)
    assert due(run, 111.9, CALM) == {}
    assert due(run, 112, CALM) == {b"p": ["snooze_over"]}
    woken = lived(*silent, late, clock("p", START + 112 * MINUTE, "snooze_over"), policy=CALM)
    assert [event.state for _, event in woken.alerts] == ["active", "snoozed", "active"]


def test_a_late_snooze_amid_a_replay_of_the_past_goes_by_event_time() -> None:
    replayed = replace(observation("p", START, **ILL), timestamp=START + 2 * HOUR)
    alert = lived(replayed).alerts[0][1].alert_id
    snooze = replace(command("p", "snooze", alert, START, minutes=20), timestamp=START + 2 * HOUR)
    assert "snooze_over" not in due(lived(replayed, snooze), 10_000).get(b"p", [])


def test_each_patient_is_waited_for_by_the_policy_of_the_unit() -> None:
    hasty = structs.replace(POLICY, acknowledge_minutes=5, monitoring_lost_minutes=20)
    log = [admission(name, "admitted", START, unit=unit) for name, unit in (("p", "MICU"), ("q", "SICU"))]
    run = lived(*log, *(observation(name, START, **ILL) for name in "pq"))
    ward, rules, now = ward_of(run), Rules(POLICY, {"MICU": hasty}), START + 20 * MINUTE
    assert ward.due(0, START + 4 * MINUTE, rules, DAY) == []
    assert ward.due(0, now, rules, DAY) == [(b"p", ["monitoring_lost", "escalate"])]
    moved = [admission("p", "transferred", now, unit="SICU"), admission("q", "transferred", now, unit="MICU")]
    work_off(numbered(moved, first=4), core=new_core(POLICY), onto=run)
    ward.take(0, run.states)
    assert ward.due(0, now, rules, DAY) == [(b"q", ["monitoring_lost", "escalate"])]
    ward.take(0, run.states)
    assert ward.due(0, now, Rules(hasty), DAY) == [(key, ["monitoring_lost", "escalate"]) for key in (b"p", b"q")]
    ward.take(0, run.states)
    assert ward.due(0, now, RULES, DAY) == []


def test_a_need_is_told_once_until_it_has_been_read() -> None:
    run = lived(observation("p", START, **ILL), observation("q", START, **ILL))
    ward = ward_of(run)
    now = START + 30 * MINUTE
    assert [key for key, _ in ward.due(0, now, RULES, DAY)] == [b"p", b"q"]
    assert ward.due(0, now, RULES, DAY) == []
    said = numbered([clock("p", now, "escalate")], first=2)
    work_off(said, core=new_core(POLICY), onto=run)
    ward.take(0, {b"p": run.states[b"p"]})
    assert ward.due(0, now + 90 * MINUTE, RULES, DAY) == [(b"p", ["monitoring_lost"]), (b"q", ["monitoring_lost"])]
    ward.begin({0: run.states.items()})
    assert dict(ward.due(0, now + 90 * MINUTE, RULES, DAY))[b"q"] == ["monitoring_lost", "escalate"]
    assert ward.due(1, now, RULES, DAY) == []


def test_what_nobody_has_read_for_a_minute_is_told_once_more() -> None:
    """A broker may have lost what it acknowledged."""
    ward = ward_of(lived(observation("p", START, **ILL)))
    now = START + 30 * MINUTE
    told = [(b"p", ["escalate"])]
    assert ward.due(0, now, RULES, DAY, 1_000.0) == told
    assert ward.due(0, now, RULES, DAY, 1_059.0) == []
    assert ward.due(0, now, RULES, DAY, 1_060.0) == told
    assert ward.due(0, now, RULES, DAY, 1_061.0) == []


def test_many_patients_fit_and_are_counted() -> None:
    patients = [f"p{number}" for number in range(300)]
    run = lived(*(observation(name, START, **ILL) for name in patients))
    ward = ward_of(run)
    for number in range(0, 300, 100):  # stored again, in parts
        ward.take(0, {name.encode(): run.states[name.encode()] for name in patients[number : number + 100]})
    open_alerts = {("sepsis_risk", "active", "medium"): 300}
    assert ward.counts() == WardCounts(300, 300, 0, 0, open_alerts, {"sepsis_risk": START}, START)
    ward.take(0, work_off(numbered([settings_record(CALM)])).states)
    lost = numbered([clock("p7", START + 90 * MINUTE, "monitoring_lost")], first=300)
    silent = work_off(lost, core=new_core(POLICY), onto=run)
    ward.take(0, {b"p7": silent.states[b"p7"]})
    assert (ward.counts().silent, ward.counts().open_alerts["monitoring_lost", "active", "medium"]) == (1, 1)
    ward.take(0, lived(observation(f"{CANARY_PREFIX}0", START, **ILL)).states)
    assert ward.counts().held == 300
    assert Ward().counts() == WardCounts(0, 0, 0, 0, {})


# -- the watch


@dataclass
class Log:
    """A partition as the watch sees it."""

    waits: int | None = 0
    appended: list[Outgoing] = field(default_factory=list)

    def waiting(self, partition: int) -> int | None:
        """Return what was set."""
        assert partition == 0
        return self.waits

    async def append(self, partition: int, records: Sequence[Outgoing]) -> None:
        """Keep what is appended."""
        assert partition == 0
        self.appended += records


def watching(run: Run, log: Log, policy: Policy = POLICY) -> ClockWatch:
    return ClockWatch(ward_of(run), log, lambda _: Rules(policy), log.append, late_ms=DAY)


def said(log: Log) -> list[Any]:
    return [decode_log_record(key, value, headers, 2 * START, LIMITS) for key, value, headers in log.appended]


@pytest.fixture
def _at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.clock_watch.time.time", lambda: (START + 2 * HOUR) / 1000)


@pytest.mark.usefixtures("_at_noon")
def test_what_is_due_is_appended_to_the_patients_log() -> None:
    log = Log()
    asyncio.run(watching(lived(observation("p", START, **ILL)), log).look())
    assert said(log) == [ClockSaid("p", START + 2 * HOUR, frozenset({"monitoring_lost", "escalate"}))]


@pytest.mark.usefixtures("_at_noon")
def test_while_records_wait_only_what_was_read_is_known() -> None:
    log = Log(waits=3)
    watch = watching(lived(observation("p", START, **ILL)), log)
    asyncio.run(watch.look())
    watch.worked_off(0, START + 29 * MINUTE)
    asyncio.run(watch.look())
    log.waits = None
    asyncio.run(watch.look())
    assert log.appended == []
    log.waits = 3
    watch.worked_off(0, START + 31 * MINUTE)
    asyncio.run(watch.look())
    assert said(log) == [ClockSaid("p", START + 31 * MINUTE, frozenset({"escalate"}))]
    watch.begin()
    log.waits = 0
    asyncio.run(watch.look())
    assert len(log.appended) == 2
