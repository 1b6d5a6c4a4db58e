"""A stub that the log has outlived goes by the log, however that is cut, and only where nothing can be read again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.clock import LET_GO, clock_record
from agents.control import clock_said
from agents.in_force import settings_key
from agents.letting_go import LettingGo
from agents.record import STUB, stub_offset
from agents.sending import Outgoing
from agents.ward import Ward
from tests.agents.logs import (
    HOUR,
    ILL,
    LIMITS,
    START,
    Record,
    Run,
    admission,
    between,
    clock,
    cuts_of,
    new_core,
    numbered,
    observation,
    patient_logs,
    work_off,
)

POLICY = between(1e-6, 1e-7)
LATER = START + 400 * HOUR
STAY = (
    admission("p", "admitted", START, source_offset=0, event_id="in", stay_id="visit-1"),
    observation("p", START, **ILL),
    admission("p", "discharged", START + HOUR, source_offset=1, event_id="out"),
    clock("p", START + 97 * HOUR, "forget"),
)
LAST = len(STAY) - 1  # the offset of what the stub has seen last


def let_go(begins: int, patient: str = "p") -> Record:
    return clock(patient, LATER, LET_GO, log_begins=begins)


def lived(*later: Record, cuts: Sequence[int] = ()) -> Run:
    return work_off(numbered([*STAY, *later]), core=new_core(POLICY), cuts=cuts)


def test_nothing_is_left_of_a_patient_whose_log_has_gone() -> None:
    run = lived(let_go(LAST + 1))
    assert run.states == {}
    assert run.outcomes[-1].states == {b"p": None}
    assert run.outcomes[-1].forgotten == [b"p"]  # by the record before it, in the same chunk


def test_a_stub_stays_while_a_record_that_it_has_seen_may_be_read_again() -> None:
    late = observation("p", START + HOUR, **ILL)
    for run in (lived(let_go(LAST)), lived(late, let_go(LAST + 1)), lived(late, let_go(LAST + 1), cuts=[4, 5])):
        assert len(run.states[b"p"]) == STUB.itemsize
    assert lived(late, let_go(LAST + 2)).states == {}


def test_whoever_has_come_back_is_kept() -> None:
    run = lived(observation("p", LATER - HOUR, **ILL), let_go(LAST + 9))
    assert len(run.states[b"p"]) == new_core().layout.record_bytes
    assert run.alerts[-1][1].stay_id == "p-2"


def test_a_whole_state_is_never_let_go() -> None:
    run = work_off(numbered([*STAY[:3], let_go(99)]), core=new_core(POLICY))
    assert len(run.states[b"p"]) == new_core().layout.record_bytes


@pytest.mark.parametrize("again", [(), (let_go(LAST + 1),), (let_go(LAST + 1), let_go(LAST + 1))])
def test_read_again_it_leaves_nothing_either(again: tuple[Record, ...]) -> None:
    log = numbered([let_go(LAST + 1), *again], first=LAST + 1)
    for cuts in product((0, 1), repeat=len(again)):
        run = work_off(log, core=new_core(POLICY), cuts=[at + 1 for at, cut in enumerate(cuts) if cut])
        assert run.states == {}


@settings(max_examples=20, deadline=None)
@given(patient_logs("p"), st.integers(0, 30), st.data())
def test_what_comes_after_it_does_not_depend_on_the_cuts(later: list[Record], place: int, data: st.DataObject) -> None:
    """After it a patient is one who was never seen, in the same chunk and in another, and whatever comes."""
    log = [*STAY, let_go(LAST + 1), *later]
    log.insert(min(len(STAY) + 1 + place, len(log)), let_go(LAST + 1))
    records = numbered(log)
    whole = work_off(records, core=new_core(POLICY))
    cut = work_off(records, core=new_core(POLICY), cuts=data.draw(cuts_of(records)))
    assert cut.states == whole.states
    assert [(at, alert.event_id) for at, alert in cut.alerts] == [(at, alert.event_id) for at, alert in whole.alerts]
    unseen = work_off(records[len(STAY) + 1 :], core=new_core(POLICY))  # what a log without the old records leads to
    assert unseen.states == whole.states


def test_the_ward_forgets_too() -> None:
    ward = Ward()
    ward.take(0, lived(observation("p", LATER, **ILL)).states)
    assert ward.counts().held == 1
    ward.take(0, {b"p": None})
    assert ward.counts().held == 0


def test_the_record_says_where_the_log_begins_and_others_say_nothing_of_it() -> None:
    key, value, _ = clock_record(b"p", START, [LET_GO], 7)
    said = clock_said(key, value, START, LIMITS)
    assert (said.due, said.log_begins) == (frozenset({LET_GO}), 7)
    assert b"log_begins" not in (clock_record(b"p", START, ["forget"])[1] or b"")


# -- who asks for it


class Partition:
    """What a worker keeps of one partition, where its log begins, and what was appended to it."""

    def __init__(self, patients: int) -> None:
        run = work_off(
            numbered(clock(f"q{number}", START, "forget") for number in range(patients)), core=new_core(POLICY)
        )
        self.kept = {**run.states, b"q-open": lived(observation("p", LATER, **ILL)).states[b"p"]}
        self.kept[settings_key(0)] = b"\0" * STUB.itemsize
        self.begins = 0
        self.appended: list[Outgoing] = []
        self.asked_for = 0

    def items_of(self, _: int) -> list[tuple[bytes, bytes]]:
        """Return what is kept."""
        return list(self.kept.items())

    async def log_begins(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return where the log begins."""
        self.asked_for += 1
        return dict.fromkeys(partitions, self.begins)

    async def append(self, _: int, records: Sequence[Outgoing]) -> None:
        """Note what is appended."""
        self.appended += records

    def keys(self) -> list[bytes | None]:
        """Return of whom something was appended since it was last asked."""
        keys = [key for key, _, _ in self.appended]
        self.appended = []
        return keys


def look(going: LettingGo, monkeypatch: pytest.MonkeyPatch, minutes: float) -> None:
    monkeypatch.setattr("agents.letting_go.time.monotonic", lambda: minutes * 60.0)
    asyncio.run(going.look([0]))


def test_each_stub_that_the_log_has_outlived_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition(3)
    going = LettingGo(partition.items_of, partition.log_begins, partition.append)
    look(going, monkeypatch, 1)
    assert partition.keys() == []
    partition.begins = 2  # after the records of q0 and q1
    look(going, monkeypatch, 1.5)
    assert (partition.keys(), partition.asked_for) == ([], 1)  # no sooner than a minute after the last look
    for minutes, keys in ((2, [b"q0", b"q1"]), (3, []), (4, [])):
        look(going, monkeypatch, minutes)
        assert partition.keys() == keys
    partition.begins = 50
    look(going, monkeypatch, 5)
    assert partition.keys() == [b"q2"]
    going.begin()  # another worker, which does not know what was asked for
    look(going, monkeypatch, 5.1)
    assert partition.keys() == [b"q0", b"q1", b"q2"]


def test_those_of_years_go_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.letting_go.AT_ONCE", 4)
    partition = Partition(10)
    partition.begins = 10
    going = LettingGo(partition.items_of, partition.log_begins, partition.append)
    found = []
    for minutes in range(1, 6):
        look(going, monkeypatch, minutes)
        keys = partition.keys()
        found.append(len(keys))
        for key in keys[:2]:  # half of them are read before the next look
            partition.kept.pop(key or b"")
    assert found == [4, 4, 2, 0, 0]


def test_a_failure_is_told_and_the_next_look_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition(1)
    partition.begins = 1
    tries = iter([ConnectionError("no broker"), None])

    async def log_begins(partitions: Sequence[int]) -> dict[int, int]:
        problem = next(tries)
        if problem is not None:
            raise problem
        return await partition.log_begins(partitions)

    async def nap(_: float) -> None:
        if partition.appended:
            raise asyncio.CancelledError
        going.begin()

    going = LettingGo(partition.items_of, log_begins, partition.append)
    monkeypatch.setattr("agents.letting_go.asyncio.sleep", nap)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(going.keep(lambda: [0]))
    assert partition.keys() == [b"q0"]


def test_only_sound_stubs_have_an_offset_as_stubs() -> None:
    run = lived()
    assert stub_offset(run.states[b"p"]) == LAST
    assert stub_offset(run.states[b"p"][:-1] + b"\x0f") == -1
    whole = lived(observation("p", LATER, **ILL)).states[b"p"]
    assert [stub_offset(one) for one in (whole, b"", b"\0" * STUB.itemsize)] == [-1, -1, -1]
