"""A patient who is to be erased: by the log, in an open stay too, however the log is cut."""

from __future__ import annotations

import json
from itertools import product

import pytest

from agents import publishing
from agents.clock import ERASE
from agents.record import STUB
from tests.agents.logs import (
    HOUR,
    ILL,
    MINUTE,
    START,
    Record,
    Run,
    between,
    clock,
    new_core,
    numbered,
    observation,
    work_off,
)

POLICY = between(1e-6, 1e-7)
IN_BED = [observation("p", START + hour * HOUR, **ILL) for hour in range(3)]
ERASED = clock("p", START + 3 * HOUR, ERASE)
BACK = observation("p", START + 5 * HOUR, **ILL)


def erased(*later: Record, cuts: tuple[int, ...] = ()) -> Run:
    return work_off(numbered([*IN_BED, ERASED, *later]), core=new_core(POLICY), cuts=cuts)


def left_on_compacted_topics(run: Run) -> list[object]:
    """Return which values stand on risk.scores and alerts.state at the end, as the worker publishes chunk by chunk."""
    kept: dict[tuple[str, bytes | None], bytes | None] = {}
    for outcome in run.outcomes:
        alerts = [alert for _, alert in outcome.alerts]
        scores = [
            *publishing.score_tombstones(outcome.forgotten),
            *publishing.score_records(outcome.scores, outcome.erased),
        ]
        states = [
            *publishing.alert_state_tombstones(outcome.forgotten),
            *publishing.alert_state_records(alerts, outcome.erased),
        ]
        kept.update({(topic, key): value for topic, some in (("r", scores), ("a", states)) for key, value, _ in some})
    return [json.loads(value)["stay_id"] for value in kept.values() if value is not None]


CUTS = [tuple(at for at, cut in zip((1, 3, 4), chosen, strict=True) if cut) for chosen in product((0, 1), repeat=3)]


@pytest.mark.parametrize("cuts", CUTS)
def test_a_stub_remains_and_the_open_alert_ends(cuts: tuple[int, ...]) -> None:
    run = erased(cuts=cuts)
    assert len(run.states[b"p"]) == STUB.itemsize
    assert [alert.transition for _, alert in run.alerts] == ["raised", "expired"]
    assert run.alerts[-1][1].cause == "the patient was erased"
    assert left_on_compacted_topics(run) == []


@pytest.mark.parametrize("cuts", CUTS)
def test_who_comes_back_begins_another_stay_and_only_that_is_told(cuts: tuple[int, ...]) -> None:
    run = erased(BACK, cuts=cuts)
    assert set(left_on_compacted_topics(run)) == {"p-2"}
    assert run.alerts[-1][1].alert_id != run.alerts[0][1].alert_id


def test_nothing_older_brings_the_stay_back() -> None:
    run = erased(observation("p", START + HOUR + MINUTE, **ILL), clock("p", START + 4 * HOUR, ERASE))
    assert run.reasons == ["stay_ended"]
    assert len(run.states[b"p"]) == STUB.itemsize


def test_who_was_never_seen_can_be_erased_too() -> None:
    run = work_off(numbered([clock("q", START, ERASE)]), core=new_core(POLICY))
    assert [outcome.forgotten for outcome in run.outcomes] == [[b"q"]]
    assert (run.alerts, run.scores) == ([], [])
