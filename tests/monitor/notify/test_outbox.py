"""The outbox: nothing twice, nothing lost, each alert's events in order, and who is told next."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.messages import AlertEvent
from monitor.errors import Failure
from monitor.notify.outbox import Outbox, Read
from monitor.notify.receivers import Receiver
from tests.monitor.alert_examples import alert

_TOPIC = "alerts"
NURSE = Receiver(name="nurse", url="https://x", secret_file=Path("s"), only_escalated=True)
PAGER = Receiver(
    name="pager", url="https://x", secret_file=Path("s"), escalate_to="nurse", escalate_minutes=10, give_up_minutes=60
)
BOTH = (PAGER, NURSE)


def event(alert_id: str, sequence: int, transition: str = "updated", state: str = "active") -> AlertEvent:
    return alert(
        alert_id=alert_id,
        event_id=f"{alert_id}-{sequence}",
        sequence=sequence,
        transition=transition,
        state=state,
        patient_id=f"patient-{alert_id}",
    )


def read(offset: int, told: AlertEvent | None, partition: int = 0, age_seconds: float = 1.0) -> Read:
    body = b"no event" if told is None else msgspec.json.encode(told)
    return Read(_TOPIC, partition, offset, body, told, age_seconds)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite")


def ids(outbox: Outbox, receiver: str, now: float = 1e9) -> list[str]:
    """Return what a receiver is told when it takes everything."""
    found = []
    while (delivery := outbox.next_due(receiver, now)) is not None:
        outbox.delivered(delivery)
        found.append(delivery.event_id)
    return found


def test_the_file_is_its_owners_alone(outbox: Outbox, tmp_path: Path) -> None:
    assert (tmp_path / "outbox.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_repeat_is_queued_once_also_after_it_was_delivered(outbox: Outbox) -> None:
    told = event("a", 1, "raised")
    assert outbox.take([read(0, told), read(1, told)], [PAGER], 0.0) == 1
    assert ids(outbox, "pager") == ["a-1"]
    assert outbox.take([read(2, told)], [PAGER], 0.0) == 0
    assert outbox.places(_TOPIC) == {0: 3}


def test_a_full_disk_is_a_failure_that_names_the_file_and_nothing_of_it_is_written(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox._file.execute("pragma max_page_count=1")  # no page more than there are
    reads = [read(at, event(f"alert-{at}", 1, "raised")) for at in range(200)]
    with pytest.raises(Failure, match=r"outbox\.sqlite cannot be written: .*full"):
        outbox.take(reads, [PAGER], 0.0)
    assert (outbox.places(_TOPIC), outbox.standing("pager").pending) == ({}, 0)
    outbox._file.execute("pragma max_page_count=100000")
    assert outbox.take(reads, [PAGER], 0.0) == 200


def test_the_content_is_forgotten_once_it_is_delivered(outbox: Outbox, tmp_path: Path) -> None:
    outbox.take([read(0, event("a", 1, "updated"))], [PAGER], 0.0)
    ids(outbox, "pager")
    assert sqlite3.connect(tmp_path / "outbox.sqlite").execute("select body from deliveries").fetchall() == [(None,)]


def test_the_place_moves_past_what_is_no_event(outbox: Outbox) -> None:
    outbox.start_at(_TOPIC, {0: 7, 1: 3})
    assert outbox.take([read(7, None)], [PAGER], 0.0) == 0
    assert outbox.places(_TOPIC) == {0: 8, 1: 3}
    outbox.start_at(_TOPIC, {0: 1, 2: 5})
    assert outbox.places(_TOPIC) == {0: 8, 1: 3, 2: 5}


def test_a_failure_holds_up_its_own_alert_only(outbox: Outbox) -> None:
    outbox.take([read(0, event("a", 1)), read(1, event("a", 2)), read(2, event("b", 1))], [PAGER], 0.0)
    first = outbox.next_due("pager", 1.0)
    assert first is not None
    outbox.failed(first, "HTTP 500", 100.0)
    assert ids(outbox, "pager", 99.0) == ["b-1"]
    assert ids(outbox, "pager", 100.0) == ["a-1", "a-2"]


def test_what_happened_long_ago_is_not_posted_where_it_would_be_stale(outbox: Outbox) -> None:
    fresh = msgspec.structs.replace(PAGER, stale_minutes=30)
    reads = [read(0, event("a", 1, "raised"), age_seconds=1801), read(1, event("b", 1, "raised"), age_seconds=1799)]
    assert outbox.take(reads, [fresh], 0.0) == 1
    assert ids(outbox, "pager") == ["b-1"]
    assert outbox.escalate([fresh, NURSE], 1e6) == [("pager", "nurse")]


def test_what_nobody_acknowledges_goes_to_the_next_with_its_latest_event(outbox: Outbox) -> None:
    outbox.take([read(0, event("a", 1, "raised")), read(1, event("a", 2))], BOTH, 0.0)
    assert outbox.escalate(BOTH, 599.0) == []
    assert outbox.escalate(BOTH, 600.0) == [("pager", "nurse")]
    assert outbox.escalate(BOTH, 1e6) == []
    delivery = outbox.next_due("nurse", 600.0)
    assert delivery is not None
    assert (delivery.event_id, delivery.escalated_from) == ("a-2", "pager")


def test_who_was_told_of_an_alert_hears_its_end_in_another_unit(outbox: Outbox) -> None:
    here = msgspec.structs.replace(PAGER, name="here", units=frozenset({"A-MICU"}), escalate_to=None)
    there = msgspec.structs.replace(here, name="there", units=frozenset({"SICU"}))
    moved = [msgspec.structs.replace(event(name, 2, "resolved", "ended"), unit="SICU") for name in "ab"]
    told = [event("a", 1, "raised"), *moved]
    outbox.take([read(at, each) for at, each in enumerate(told)], [here, there], 0.0)
    assert ids(outbox, "here") == ["a-1", "a-2"]
    assert ids(outbox, "there") == ["a-2", "b-2"]


def test_who_had_the_event_already_is_told_again_that_nobody_acknowledged_it(outbox: Outbox) -> None:
    hears_all = msgspec.structs.replace(NURSE, only_escalated=False)
    both = (PAGER, hears_all)
    outbox.take([read(0, event("a", 1, "raised"))], both, 0.0)
    assert ids(outbox, "nurse") == ["a-1"]
    assert outbox.escalate(both, 600.0) == [("pager", "nurse")]
    delivery = outbox.next_due("nurse", 600.0)
    assert delivery is not None
    assert (delivery.event_id, delivery.escalated_from) == ("a-1:escalated", "pager")
    assert msgspec.json.decode(delivery.body, type=AlertEvent).event_id == "a-1"
    outbox.delivered(delivery)
    assert outbox.escalate(both, 1e6) == []


@pytest.mark.parametrize(
    ("transition", "state"),
    [
        ("acknowledged", "acknowledged"),
        ("snoozed", "snoozed"),
        ("resolved", "ended"),
        ("expired", "ended"),
        ("marked", "active"),
    ],
)
def test_what_somebody_saw_goes_to_nobody_further(outbox: Outbox, transition: str, state: str) -> None:
    outbox.take([read(0, event("a", 1, "raised")), read(1, event("a", 2, transition, state))], BOTH, 0.0)
    assert outbox.escalate(BOTH, 1e6) == []


def test_an_answer_to_a_command_says_nothing_of_who_has_seen_the_alert(outbox: Outbox) -> None:
    outbox.take([read(0, event("a", 1, "raised")), read(1, event("a", 1, "rejected", "acknowledged"))], BOTH, 0.0)
    assert outbox.escalate(BOTH, 1e6) == [("pager", "nurse")]


def test_an_escalation_that_takes_an_acknowledgement_away_is_waited_for_anew(outbox: Outbox) -> None:
    only_raised = msgspec.structs.replace(PAGER, transitions=frozenset({"raised"}))
    told = [event("a", 1, "raised"), event("a", 2, "acknowledged", "acknowledged"), event("a", 3, "escalated")]
    outbox.take([read(at, each) for at, each in enumerate(told)], [only_raised, NURSE], 0.0)
    assert ids(outbox, "pager") == ["a-1"]
    assert outbox.escalate([only_raised, NURSE], 600.0) == [("pager", "nurse")]


@pytest.mark.parametrize("only", [set(), {"raised", "escalated"}])
def test_a_snooze_that_runs_out_is_waited_for_anew_whatever_the_pager_is_told(outbox: Outbox, only: set[str]) -> None:
    both = (msgspec.structs.replace(PAGER, transitions=frozenset(only)), NURSE)
    raised = [event("a", 1, "raised"), event("a", 2, "snoozed", "snoozed")]
    outbox.take([read(at, each) for at, each in enumerate(raised)], both, 0.0)
    assert outbox.escalate(both, 3600.0) == []
    outbox.take([read(2, event("a", 3, "updated"))], both, 3600.0)
    assert outbox.escalate(both, 4199.0) == []
    assert outbox.escalate(both, 4200.0) == [("pager", "nurse")]
    assert ids(outbox, "nurse") == ["a-3"]


def test_what_the_next_was_told_is_not_told_again_by_each_change_but_by_an_escalation(outbox: Outbox) -> None:
    outbox.take([read(0, event("a", 1, "raised"))], BOTH, 0.0)
    assert outbox.escalate(BOTH, 600.0) == [("pager", "nurse")]
    outbox.take([read(1, event("a", 2, "updated"))], BOTH, 700.0)
    assert outbox.escalate(BOTH, 7200.0) == []
    outbox.take([read(2, event("a", 3, "escalated"))], BOTH, 7200.0)
    assert outbox.escalate(BOTH, 7800.0) == [("pager", "nurse")]


def test_a_marked_alert_that_changes_is_told_to_nobody_further_until_it_escalates(outbox: Outbox) -> None:
    told = [event("a", 1, "raised"), event("a", 2, "marked"), event("a", 3, "updated")]
    outbox.take([read(at, each) for at, each in enumerate(told)], BOTH, 0.0)
    assert outbox.escalate(BOTH, 1e6) == []
    outbox.take([read(3, event("a", 4, "escalated"))], BOTH, 1e6)
    assert outbox.escalate(BOTH, 1e6 + 600.0) == [("pager", "nurse")]


def test_a_latched_alert_that_becomes_active_again_is_waited_for(outbox: Outbox) -> None:
    told = [event("a", 1, "updated", "latched"), event("a", 2, "updated")]
    outbox.take([read(0, told[0])], BOTH, 0.0)
    assert outbox.escalate(BOTH, 1e6) == []
    outbox.take([read(1, told[1])], BOTH, 1e6)
    assert outbox.escalate(BOTH, 1e6 + 600.0) == [("pager", "nurse")]


def test_a_watch_that_has_done_its_part_keeps_nothing_of_the_patient(outbox: Outbox, tmp_path: Path) -> None:
    outbox.take([read(0, event("a", 1, "raised"))], BOTH, 0.0)
    outbox.escalate(BOTH, 600.0)
    outbox.take([read(1, event("a", 2, "updated"))], BOTH, 700.0)
    assert sqlite3.connect(tmp_path / "outbox.sqlite").execute("select body from watches").fetchall() == [(b"",)]


def test_an_alert_goes_up_a_chain_until_somebody_sees_it(outbox: Outbox) -> None:
    nurse = msgspec.structs.replace(NURSE, escalate_to="doctor", escalate_minutes=5.0)
    chain = (PAGER, nurse, msgspec.structs.replace(NURSE, name="doctor"))
    outbox.take([read(0, event("a", 1, "raised"))], chain, 0.0)
    assert outbox.escalate(chain, 600.0) == [("pager", "nurse")]
    assert outbox.escalate(chain, 899.0) == []
    assert outbox.escalate(chain, 900.0) == [("nurse", "doctor")]


def test_what_a_receiver_never_took_goes_to_the_next_at_once(outbox: Outbox) -> None:
    outbox.take([read(0, event("a", 1, "raised"))], BOTH, 0.0)
    delivery = outbox.next_due("pager", 0.0)
    assert delivery is not None
    outbox.gave_up(delivery, "HTTP 410", 1.0)
    assert outbox.escalate(BOTH, 1.0) == [("pager", "nurse")]
    assert outbox.standing("pager").dead == 1
    assert outbox.revive("pager", 2.0) == 1
    assert ids(outbox, "pager") == ["a-1"]


def test_ids_are_remembered_for_a_week(outbox: Outbox) -> None:
    told = event("a", 1)
    outbox.take([read(0, told)], [PAGER], 0.0)
    ids(outbox, "pager")
    outbox.prune(6 * 86_400.0)
    assert outbox.take([read(1, told)], [PAGER], 0.0) == 0
    outbox.prune(8 * 86_400.0)
    assert outbox.take([read(2, told)], [PAGER], 0.0) == 1


def test_a_newer_file_is_refused(outbox: Outbox, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "outbox.sqlite") as file:
        file.execute("pragma user_version=9")
    with pytest.raises(Failure, match="version 9"):
        Outbox(tmp_path / "outbox.sqlite")


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 3), st.integers(1, 5)),
        st.tuples(st.sampled_from(["deliver", "fail", "reopen"]), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(_STEPS)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_each_event_is_taken_once_and_in_order(steps: list[tuple[str, int, int]]) -> None:
    """Repeats, failures and new processes in any order; the oracle is the list of what was sent first."""
    with TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder) / "outbox.sqlite")
        queued: dict[str, list[str]] = defaultdict(list)
        taken: list[str] = []
        now = 0.0
        for offset, (what, alert_number, length) in enumerate(steps):
            now += 1.0
            if what == "take":
                told = [event(f"a{alert_number}", sequence) for sequence in range(1, length + 1)]
                outbox.take([read(10 * offset + at, each) for at, each in enumerate(told)], [PAGER], now)
                known = queued[f"a{alert_number}"]
                known += [each.event_id for each in told if each.event_id not in known]
            elif what == "reopen":
                outbox.close()
                outbox = Outbox(Path(folder) / "outbox.sqlite")
            elif (delivery := outbox.next_due("pager", now)) is not None:
                if what == "deliver":
                    outbox.delivered(delivery)
                    taken.append(delivery.event_id)
                else:
                    outbox.failed(delivery, "HTTP 500", now + 3.0)
        taken += ids(outbox, "pager")
        outbox.close()
    assert len(taken) == len(set(taken))
    for name, events in queued.items():
        assert [each for each in taken if each.startswith(f"{name}-")] == events
