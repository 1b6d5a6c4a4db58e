"""A patient whose last stay ended long ago: a stub remains, and what comes later is judged as it would have been."""

from __future__ import annotations

from agents.publishing import alert_state_tombstones, score_tombstones
from agents.record import STUB, source_offset, version
from agents.rules import Rules
from agents.ward import Ward
from tests.agents.logs import (
    HOUR,
    ILL,
    MINUTE,
    START,
    Record,
    Run,
    admission,
    between,
    clock,
    new_core,
    numbered,
    observation,
    work_off,
)

POLICY = between(1e-6, 1e-7)
DAY = 24 * HOUR
PAST = 96 * HOUR  # 72 h in which an alert may be marked, and a day
STAY = (
    admission("p", "admitted", START, source_offset=0, event_id="in", stay_id="visit-1"),
    observation("p", START, **ILL),
    admission("p", "discharged", START + HOUR, source_offset=1, event_id="out"),
)


def lived(*later: Record) -> Run:
    return work_off(numbered([*STAY, *later]), core=new_core(POLICY), cuts=range(len(STAY) + len(later)))


def forgotten(*later: Record) -> Run:
    return lived(clock("p", START + HOUR + PAST, "forget"), *later)


def test_a_stub_remains_under_its_own_offset() -> None:
    run = forgotten()
    assert len(run.states[b"p"]) == STUB.itemsize < 200
    assert (source_offset(run.states[b"p"]), version(b"p", run.states[b"p"])) == (3, 3)
    assert [outcome.forgotten for outcome in run.outcomes] == [[], [], [], [b"p"]]
    assert version(b"q", run.states[b"p"]) == -1


def test_nobody_is_forgotten_too_early_or_in_a_stay() -> None:
    early = lived(clock("p", START + HOUR + PAST - 1, "forget"))
    back = lived(observation("p", START + 90 * HOUR, **ILL), clock("p", START + 2 * PAST, "forget"))
    for run in (early, back, lived(clock("p", START + 2 * PAST, "escalate"))):
        assert len(run.states[b"p"]) == new_core().layout.record_bytes
        assert not run.outcomes[-1].forgotten


def test_what_belongs_to_the_past_is_refused_as_before() -> None:
    late = observation("p", START + HOUR, **ILL)
    again = [STAY[0], STAY[2]]
    run = forgotten(late, *again, clock("p", START + 2 * PAST, "forget"))
    assert run.reasons == ["stay_ended"]
    assert len(run.states[b"p"]) == STUB.itemsize
    assert [outcome.forgotten for outcome in run.outcomes[4:]] == [[]] * 4
    assert (len(run.alerts), len(run.scores)) == (len(lived().alerts), len(lived().scores))


def test_a_patient_who_comes_back_goes_on_with_the_numbers_of_stays_and_episodes() -> None:
    comes_back = observation("p", START + 200 * HOUR, **ILL)
    remembered, run = lived(comes_back), forgotten(comes_back)
    assert [alert.alert_id for _, alert in run.alerts] == [alert.alert_id for _, alert in remembered.alerts]
    assert run.alerts[-1][1].stay_id == "p-2"
    assert len(run.states[b"p"]) == new_core().layout.record_bytes


def test_a_damaged_stub_is_found() -> None:
    run = forgotten()
    run.states[b"p"] = run.states[b"p"][:-1] + b"\x0f"
    work_off(numbered([observation("p", START + 200 * HOUR, **ILL)], first=9), core=new_core(POLICY), onto=run)
    assert run.outcomes[-1].state_resets == {"damaged": 1}


def test_the_ward_asks_once_and_lets_go() -> None:
    run = lived(observation("q", START + MINUTE, **ILL), observation("r", START + MINUTE, **ILL))
    ward = Ward()
    ward.take(0, run.states)
    now = START + HOUR + PAST
    assert dict(ward.due(0, now - 1, Rules(POLICY), DAY)).get(b"p") is None
    assert dict(ward.due(0, now, Rules(POLICY), DAY)) == {b"p": ["forget"]}
    ward.take(0, forgotten().states)
    assert (ward.counts().held, ward.counts().watched) == (2, 2)
    ward.take(0, forgotten().states)
    ward.take(0, run.states)
    assert ward.counts().held == 3


def test_the_compacted_topics_let_go_too() -> None:
    assert score_tombstones([b"p"]) == [(b"p", None, ())]
    assert [key for key, value, _ in alert_state_tombstones([b"p"]) if value is None] == [
        b"p",
        b"p:monitoring_lost",
        b"p:cannot_assess",
    ]
