"""Lost state is made good from the log: the same bytes where all of it is read, flagged, and the stream goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from aiokafka.errors import CorruptRecordException
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import warm_up
from agents.clock import DUE
from agents.core import Core
from agents.messages import Rebuilt
from agents.outcome import Outcome
from agents.rebuilding import Missing, Rebuilding
from agents.recent_log import BrokerAwayError, Feed, LogPart
from agents.record import RecordLayout, UnknownSchemaError
from models.artifact import untrained_model
from tests.agents.logs import (
    BUSY,
    HOUR,
    LIMITS,
    MODEL,
    START,
    Log,
    Record,
    Run,
    admission,
    between,
    clock,
    garbage,
    new_core,
    numbered,
    observation,
    wards,
    work_off,
)
from tests.agents.told import told_wards

OTHER = untrained_model(2, hidden=16)
LAYOUT = RecordLayout(MODEL)


class Reader:
    """Reads a log that lies in memory as a broker would: from the first record that is new enough."""

    def __init__(self, log: Log) -> None:
        self.log, self.reads = log, 0

    def __call__(self, partition: int, part: LogPart, begin: Callable[[bool], Feed]) -> int:
        """Feed what the part holds, a few records at a time."""
        self.reads += 1
        found = next((r.offset for r in self.log if r.timestamp >= part.from_ms), part.until)
        start = max(found, part.first, self.log[0].offset)
        feed = begin(self.log[0].offset == 0 or start > self.log[0].offset)
        some = [record for record in self.log if start <= record.offset < part.until]
        for at in range(0, len(some), 7):
            feed(some[at : at + 7])
        return len(some)


def rebuilding(core: Core, read: Callable[..., int], states: Mapping[bytes, bytes] | None = None) -> Rebuilding:
    everything: Iterable[tuple[bytes, bytes]] = (states or {}).items()
    return Rebuilding(core, read, lambda _: everything)


def flipped(record: bytes) -> bytes:
    return record[:-1] + bytes([record[-1] ^ 1])


def go_on(run: Run, rest: Log, by: Rebuilding) -> Outcome:
    """Work the rest of a log off, in one chunk."""
    outcome = by.process(0, rest, run.states.get)
    outcome.store_in(run.states)
    return outcome


def hours(count: int, patient: str = "p", first: int = 0) -> list[Record]:
    return [
        observation(
            patient, START + hour * HOUR, heart_rate=80 + 3 * (hour % 30), respiratory_rate=18, temperature=37.5
        )
        for hour in range(first, first + count)
    ]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "WINDOW_HOURS", 1e5)


def test_random_logs_come_back_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "WINDOW_HOURS", 1e5)

    @settings(max_examples=8, deadline=None)
    @given(st.one_of(wards(8), told_wards(16)), st.data())
    def check(log: list[Record], data: st.DataObject) -> None:
        cut = data.draw(st.integers(0, len(log)))
        core = new_core(BUSY)
        whole = work_off(log, core=core, cuts=[cut])
        run = work_off(log[:cut], core=core)
        patients = sorted(key for key in run.states if not key.startswith(b"!"))
        if not patients:
            return
        victim = data.draw(st.sampled_from(patients))
        run.states[victim] = flipped(run.states[victim])
        outcome = go_on(run, log[cut:], rebuilding(core, Reader(log)))
        met = any(record.key == victim for record in log[cut:])
        if met and victim in outcome.states:
            assert run.states == whole.states
            told = [(log[cut:][i].offset, alert) for i, alert in outcome.alerts]
            assert told == [alert for alert in whole.alerts if alert[0] >= (log[cut].offset if cut < len(log) else 1e9)]

    check()


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("victim", ["p", "q"])
def test_a_damaged_patient_warms_up_and_says_so_and_the_others_go_on(victim: str) -> None:
    log = numbered(
        [admission("p", "admitted", START, age=70), *hours(5), *hours(5, "q"), *hours(2, "p", 5), *hours(2, "q", 5)]
    )
    core = new_core(between(0.05, 0.048))
    whole = work_off(log, cuts=[11], core=core)
    run = work_off(log[:11], core=core)
    run.states[victim.encode()] = flipped(run.states[victim.encode()])
    outcome = go_on(run, log[11:], rebuilding(core, Reader(log)))
    assert run.states == whole.states
    assert outcome.state_resets == {"damaged": 1}
    assert {score.patient_id: score.rebuilt for score in outcome.scores} == {
        "p": None,
        "q": None,
        victim: Rebuilt("damaged", 4.0, whole_stay=True),
    }
    assert outcome.replayed == 0


@pytest.mark.parametrize("left", [0, 40, 100, 2_000])
def test_a_silent_patient_is_read_again_where_the_wall_clock_speaks_and_says_so(left: int) -> None:
    """A worker lets the wall clock speak of whoever's state tells nothing, for nothing else may ever come."""
    silent = START + 20 * HOUR
    log = numbered([*hours(5), clock("p", silent, *DUE)])
    whole, run = work_off(log), work_off(log[:5])
    run.states[b"p"] = run.states[b"p"][:left]
    outcome = go_on(run, log[5:], rebuilding(new_core(), Reader(log)))
    assert run.states == whole.states
    assert [(alert.kind, alert.transition) for _, alert in outcome.alerts] == [("monitoring_lost", "raised")]
    assert [score.rebuilt for score in outcome.scores] == [Rebuilt("damaged", 4.0, whole_stay=True)]


def test_what_was_made_for_partitions_that_have_gone_is_forgotten() -> None:
    log = numbered([*hours(3), *hours(3, "q"), *hours(1, "p", 3), *hours(1, "q", 3)])
    run = work_off(log[:6], core=Core(OTHER, BUSY, LIMITS))
    reader = Reader(log)
    by = rebuilding(new_core(BUSY), reader, run.states)
    go_on(run, log[6:7], by)  # the states of all patients are made good at once
    by.keep_only({0})
    assert reader.reads == 1
    by.keep_only({1})
    go_on(run, log[7:], by)
    assert reader.reads == 2


def test_a_record_under_another_patients_key_is_made_good_too() -> None:
    log = numbered([*hours(4), *hours(4, "q"), *hours(1, "q", 4)])
    whole, run = work_off(log), work_off(log[:8])
    run.states[b"q"] = run.states[b"p"]
    outcome = go_on(run, log[8:], rebuilding(new_core(), Reader(log)))
    assert run.states == whole.states
    assert outcome.state_resets == {"foreign_key": 1}


def test_what_lies_before_the_window_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "WINDOW_HOURS", 24)
    log = numbered(hours(40))
    run = work_off(log[:39])
    run.states[b"p"] = flipped(run.states[b"p"])
    outcome = go_on(run, log[39:], rebuilding(new_core(), Reader(log)))
    assert outcome.scores[-1].rebuilt == Rebuilt("damaged", 23.0, whole_stay=False)
    assert outcome.scores[-1].step == 24


def test_what_is_read_again_counts_as_progress() -> None:
    log = numbered(hours(30))
    run = work_off(log[:29])
    run.states[b"p"] = flipped(run.states[b"p"])
    reader, seen = Reader(log), list[int]()
    by = rebuilding(new_core(), lambda at, part, begin: reader(at, part, lambda back: noting(begin(back), by, seen)))
    go_on(run, log[29:], by)
    assert seen == [7, 14, 21, 28, 29]


def noting(feed: Feed, by: Rebuilding, seen: list[int]) -> Feed:
    def noted(records: Sequence[Any]) -> None:
        feed(records)
        seen.append(by.read_again)

    return noted


def test_no_more_records_are_read_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "MOST_RECORDS", 10)
    log = numbered([record for pair in zip(hours(20), hours(20, "q"), strict=True) for record in pair])
    run = work_off(log[:38])
    run.states[b"p"] = flipped(run.states[b"p"])
    outcome = go_on(run, log[38:], rebuilding(new_core(), Reader(log)))
    assert outcome.scores[0].rebuilt == Rebuilt("damaged", 4.0, whole_stay=False)


@pytest.mark.parametrize("failure", [TimeoutError(), CorruptRecordException(), RuntimeError("poison")])
def test_where_the_log_itself_cannot_be_read_the_patient_begins_anew_flagged(failure: Exception) -> None:
    def fail(*_: Any) -> int:
        raise failure

    log = numbered(hours(4))
    run = work_off(log[:3])
    run.states[b"p"] = flipped(run.states[b"p"])
    by = rebuilding(new_core(), fail)
    outcome = go_on(run, log[3:], by)
    assert outcome.state_resets == {"damaged": 1}
    assert (outcome.scores[0].step, outcome.scores[0].rebuilt) == (0, Rebuilt("damaged", 0.0, whole_stay=False))
    assert go_on(run, numbered(hours(1, "p", 4), first=4), by).state_resets == {}


def test_where_the_cluster_is_away_nothing_is_decided_and_the_log_is_asked_again() -> None:
    log = numbered(hours(4))
    whole, run = work_off(log), work_off(log[:3])
    run.states[b"p"] = flipped(run.states[b"p"])
    away, reader = [True], Reader(log)

    def read(partition: int, part: LogPart, begin: Callable[[bool], Feed]) -> int:
        if away.pop():
            begin(True)(log[:1])  # some of it came
            raise BrokerAwayError
        return reader(partition, part, begin)

    by = rebuilding(new_core(), read)
    with pytest.raises(BrokerAwayError):
        go_on(run, log[3:], by)
    away.append(False)
    outcome = go_on(run, log[3:], by)
    assert outcome.scores[-1].rebuilt == Rebuilt("damaged", 2.0, whole_stay=True)
    assert run.states == whole.states


def test_what_has_to_be_made_good_is_said_before_anything_is_read() -> None:
    log = numbered(hours(4))
    run = work_off(log[:3])
    run.states[b"p"] = flipped(run.states[b"p"])
    reader = Reader(log)
    by = rebuilding(new_core(), reader)
    missing = by.decide(0, log[3:], run.states.get)
    assert isinstance(missing, Missing)
    assert ([one.key for one in missing.patients], reader.reads) == ([b"p"], 0)
    by.make_good(missing, run.states.get)
    outcome = by.decide(0, log[3:], run.states.get)
    assert isinstance(outcome, Outcome)
    assert outcome.scores[-1].step == 3


def test_poison_in_the_log_is_passed_over_a_second_time() -> None:
    log = numbered([*hours(2), garbage("p", START + HOUR), Record(b"p", None, START + HOUR), *hours(2, "p", 2)])
    whole, run = work_off(log), work_off(log[:5])
    run.states[b"p"] = flipped(run.states[b"p"])
    outcome = go_on(run, log[5:], rebuilding(new_core(), Reader(log)))
    assert run.states == whole.states
    assert outcome.rejected == []


def test_a_record_of_a_newer_version_still_ends_the_worker() -> None:
    log = numbered([*hours(2), *hours(2, "q")])
    run = work_off(log[:3])
    run.states[b"p"] = flipped(run.states[b"p"])
    rows = np.frombuffer(run.states[b"q"], LAYOUT.dtype).copy()
    rows["schema"] = 99
    run.states[b"q"] = LAYOUT.dump(rows)[0]
    with pytest.raises(UnknownSchemaError):
        go_on(run, log[2:], rebuilding(new_core(), Reader(log)))


# -- another model


def test_another_models_hidden_states_are_made_again_and_alerts_are_kept() -> None:
    log = numbered(
        [admission("p", "admitted", START, age=70), *hours(30), *hours(30, "q"), *hours(1, "p", 30), *hours(1, "q", 30)]
    )
    run = work_off(log[:61], core=new_core(between(1e-6, 1e-7)))
    other = Core(OTHER, between(1e-6, 1e-7), LIMITS)
    alone = work_off(log, core=other)
    raised = {alert.patient_id: alert.alert_id for _, alert in run.alerts}
    read = Reader(log)
    by = rebuilding(other, read, run.states)
    outcome = go_on(run, log[61:62], by)
    later = go_on(run, log[62:], by)
    assert read.reads == 1  # both patients at once
    layout = RecordLayout(OTHER)
    for key in (b"p", b"q"):
        now, wanted = (layout.load([key], [states[key]]).rows[0] for states in (run.states, alone.states))
        assert now["state"].tobytes() == wanted["state"].tobytes()
        assert now["sequence"][0] >= 1
    assert set(raised) == {"p", "q"}
    assert [one.state_resets for one in (outcome, later)] == [{"model_changed": 1}] * 2
    assert outcome.scores[0].rebuilt == Rebuilt("model_changed", 29.0, whole_stay=True)


def test_random_logs_give_another_model_the_state_of_its_own_pass() -> None:
    layout = RecordLayout(OTHER)

    @settings(max_examples=8, deadline=None)
    @given(wards(8), st.data())
    def check(log: list[Record], data: st.DataObject) -> None:
        cut = data.draw(st.integers(0, len(log)))
        run, other = work_off(log[:cut]), Core(OTHER, BUSY, LIMITS)
        alone = work_off(log[:cut], core=other)
        by = rebuilding(other, Reader(log), run.states)
        outcome = go_on(run, log[cut:], by)
        after = work_off(log[cut:], core=other, onto=alone)
        for score in outcome.scores:
            if score.rebuilt is None or not score.rebuilt.whole_stay:
                continue
            key = score.patient_id.encode()
            now, wanted = (layout.load([key], [states[key]]).rows[0] for states in (run.states, after.states))
            if now["start_ms"] == wanted["start_ms"] and now["watched"]:
                assert now["state"].tobytes() == wanted["state"].tobytes()

    check()


def test_of_a_long_stay_another_model_reads_the_window_with_the_stays_details(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "WINDOW_HOURS", 24)
    log = numbered([admission("p", "admitted", START, age=70), *hours(40), *hours(1, "p", 40)])
    run, other = work_off(log[:41]), Core(OTHER, BUSY, LIMITS)
    outcome = go_on(run, log[41:], rebuilding(other, Reader(log), run.states))
    assert outcome.scores[-1].rebuilt == Rebuilt("model_changed", 24.08, whole_stay=False)
    assert outcome.scores[-1].step == 40
    row = RecordLayout(OTHER).load([b"p"], [run.states[b"p"]]).rows[0]
    assert (row["age_years"], bool(row["state"]["started"])) == (70, True)
    assert row["start_ms"] == START


def test_a_hidden_state_that_is_no_number_is_made_again() -> None:
    log = numbered([*hours(6), *hours(1, "p", 6)])
    whole, run = work_off(log), work_off(log[:6])
    rows = LAYOUT.load([b"p"], [run.states[b"p"]]).rows.copy()
    rows["state"]["h"][0, 1] = np.nan
    run.states[b"p"] = LAYOUT.dump(rows)[0]
    outcome = go_on(run, log[6:], rebuilding(new_core(), Reader(log)))
    assert run.states == whole.states
    assert outcome.state_resets == {"not_finite": 1}


def test_a_stay_that_has_ended_costs_no_reading() -> None:
    log = numbered([*hours(3), admission("p", "discharged", START + 3 * HOUR), *hours(1, "p", 9)])
    run, read = work_off(log[:4]), Reader(log)
    other = Core(OTHER, BUSY, LIMITS)
    outcome = go_on(run, log[4:], rebuilding(other, read, run.states))
    assert (read.reads, outcome.scores[0].rebuilt, outcome.state_resets) == (0, None, {"model_changed": 1})


def test_patients_of_whom_only_poison_comes_cost_no_reading() -> None:
    log = numbered([*hours(3), *hours(3, "q"), garbage("p", START + 3 * HOUR), Record(b"\xff", b"{", START)])
    run, read = work_off(log[:6]), Reader(log)
    run.states[b"p"], run.states[b"!settings-0"] = flipped(run.states[b"p"]), b"not sealed"
    by = rebuilding(Core(OTHER, BUSY, LIMITS), read, run.states)
    for record in (log[6], log[7], log[5]):  # the last is a repeat of what the state has seen
        go_on(run, [record], by)
    assert read.reads == 0


def test_where_nothing_is_lost_nothing_is_read() -> None:
    log = numbered(hours(6))
    run, read = work_off(log[:3]), Reader(log)
    outcome: Outcome = go_on(run, log[3:], rebuilding(new_core(), read))
    assert (read.reads, outcome.state_resets) == (0, {})


def test_chunk_bounds_make_no_difference() -> None:
    log = numbered([record for pair in zip(hours(12), hours(12, "q"), strict=True) for record in pair])
    ends: list[Sequence[tuple[bytes, bytes]]] = []
    for cuts in ([14, 24], [13, 15, 24], [12, 24]):
        run = work_off(log[:12])
        run.states[b"p"], run.states[b"q"] = flipped(run.states[b"p"]), flipped(run.states[b"q"])
        by, start = rebuilding(new_core(), Reader(log)), 12
        for end in cuts:
            go_on(run, log[start:end], by)
            start = end
        ends.append(sorted(run.states.items()))
    assert ends[0] == ends[1] == ends[2]
