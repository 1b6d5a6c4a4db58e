"""What must hold for any log: independence of chunks, of other patients, of repeats and of order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agents.core import Core
from agents.decoding import decode_log_record
from agents.messages import AlertEvent, SourcePosition
from agents.record import RecordLayout
from agents.rejection import Rejection
from tests.agents.logs import (
    EVENTFUL,
    HOUR,
    LIMITS,
    MINUTE,
    MODEL,
    START,
    Record,
    Run,
    admission,
    closed_risks,
    cuts_of,
    never_alerting,
    new_core,
    numbered,
    observation,
    vital_signs,
    wards,
    work_off,
)
from tests.agents.told import EVENTFUL_UNITS, told_wards

few = settings(max_examples=40, deadline=None)
fewer = settings(max_examples=20, deadline=None)
_WITHIN_AN_HOUR = st.lists(st.tuples(st.integers(0, 59), vital_signs()), min_size=1, max_size=12)


def same_but_for_cuts(one: Run, other: Run) -> None:
    assert one.states == other.states
    assert one.alerts == other.alerts
    assert one.rejected == other.rejected
    assert closed_risks(one) == closed_risks(other)


def readable(record: Record) -> bool:
    decoded = decode_log_record(record.key, record.value, record.headers, record.timestamp, LIMITS)
    return not isinstance(decoded, Rejection)


def without_place(run: Run) -> list[AlertEvent]:
    """Return the alerts without the places in the log that decided."""
    return [structs.replace(alert, log=SourcePosition(0, 0)) for _, alert in run.alerts]


def without_offset(run: Run) -> bytes:
    """Return the state of patient p, but for how far in the log it has come."""
    rows = RecordLayout(MODEL).load([b"p"], [run.states[b"p"]]).rows
    rows["offset"] = rows["checksum"] = 0
    return bytes(rows.tobytes())


def eventful(*, units: bool) -> Core:
    return new_core(EVENTFUL, EVENTFUL_UNITS if units else None)


# -- chunks


@few
@given(st.data())
def test_any_cutting_into_chunks_gives_the_same_states_alerts_refusals_and_closed_steps(data: st.DataObject) -> None:
    log = data.draw(wards())
    cuts = data.draw(cuts_of(log))
    same_but_for_cuts(work_off(log), work_off(log, cuts=cuts))


@settings(max_examples=15, deadline=None)
@given(wards())
def test_record_by_record_equals_all_at_once(log: list[Record]) -> None:
    same_but_for_cuts(work_off(log), work_off(log, cuts=range(len(log))))


@pytest.mark.parametrize("units", [False, True])
@fewer
@given(data=st.data())
def test_any_cutting_gives_the_same_alerts_where_people_the_clock_and_settings_speak(
    data: st.DataObject, *, units: bool
) -> None:
    log = data.draw(told_wards(units=units))
    whole = work_off(log, core=eventful(units=units))
    same_but_for_cuts(whole, work_off(log, core=eventful(units=units), cuts=data.draw(cuts_of(log))))
    same_but_for_cuts(whole, work_off(log, core=eventful(units=units), cuts=range(len(log))))


@pytest.mark.parametrize("units", [False, True])
@fewer
@given(data=st.data())
def test_a_crash_under_changing_settings_repeats_alerts_and_makes_no_new_ones(
    data: st.DataObject, *, units: bool
) -> None:
    log = data.draw(told_wards(units=units))
    middle = data.draw(st.integers(0, len(log)))
    whole = work_off(log, core=eventful(units=units))
    run = work_off(log[:middle], core=eventful(units=units))
    kept = data.draw(st.sets(st.sampled_from(sorted(run.states))) if run.states else st.just(set()))
    survivors = Run(states={key: state for key, state in run.states.items() if key in kept})
    resumed = work_off(log, core=eventful(units=units), onto=survivors)
    assert resumed.states == whole.states
    told = run.alerts + resumed.alerts
    assert all(alert in whole.alerts for alert in told)
    assert all(alert in told for alert in whole.alerts)


@pytest.mark.parametrize("units", [False, True])
@fewer
@given(data=st.data())
def test_what_the_service_appends_may_stand_there_twice(data: st.DataObject, *, units: bool) -> None:
    log = data.draw(told_wards(units=units))
    again: list[Record] = []
    for record in log:
        again.append(record)
        if record.headers:
            again += [record] * data.draw(st.integers(0, 2))
    once, twice = (work_off(numbered(some), core=eventful(units=units)) for some in (log, again))
    assert without_place(once) == without_place(twice)


@few
@given(st.data())
def test_records_that_the_state_holds_already_are_passed_over(data: st.DataObject) -> None:
    log = data.draw(wards())
    run = work_off(log)
    again = log[data.draw(st.integers(0, len(log) - 1)) :]
    outcome = new_core().process(0, again, run.states.get)
    assert (outcome.states, outcome.alerts, outcome.scores, outcome.accepted) == ({}, [], [], 0)
    assert [i for i, _ in outcome.rejected] == [i for i, record in enumerate(again) if not readable(record)]


@few
@given(st.data())
def test_a_crash_that_keeps_only_some_states_is_made_good_by_reading_again(data: st.DataObject) -> None:
    log = data.draw(wards())
    middle = data.draw(st.integers(0, len(log)))
    whole = work_off(log)
    run = work_off(log[:middle])
    kept = data.draw(st.sets(st.sampled_from(sorted(run.states))) if run.states else st.just(set()))
    survivors = Run(states={key: state for key, state in run.states.items() if key in kept})
    resumed = work_off(log, onto=survivors)
    assert resumed.states == whole.states
    told = run.alerts + resumed.alerts
    assert all(alert in whole.alerts for alert in told)
    assert all(alert in told for alert in whole.alerts)


# -- patients


@few
@given(st.data())
def test_a_patient_alone_is_the_same_as_among_others(data: st.DataObject) -> None:
    log = data.draw(wards())
    together = work_off(log, cuts=data.draw(cuts_of(log)))
    for key in {record.key for record in log if record.key}:
        own = [record for record in log if record.key == key]
        alone = work_off(own)
        offsets = {record.offset for record in own}
        assert alone.states == {name: state for name, state in together.states.items() if name == key}
        assert alone.alerts == [pair for pair in together.alerts if pair[0] in offsets]
        assert alone.rejected == [pair for pair in together.rejected if pair[0] in offsets]
        patient = key.decode()
        assert closed_risks(alone).get(patient) == closed_risks(together).get(patient)


def test_two_hundred_patients_in_one_chunk_are_each_as_alone() -> None:
    log = numbered(
        observation(f"p{patient}", START + (hour * 60 + patient % 60) * MINUTE, heart_rate=60 + (patient * hour) % 90)
        for hour in range(3)
        for patient in range(200)
    )
    together = work_off(log)
    for patient in (0, 7, 199):
        own = [record for record in log if record.key == b"p%d" % patient]
        assert work_off(own).states == {b"p%d" % patient: together.states[b"p%d" % patient]}


# -- repeats and order


@few
@given(st.data())
def test_repeated_observations_of_the_stay_change_nothing(data: st.DataObject) -> None:
    minutes = data.draw(st.lists(st.integers(0, 300), min_size=1, max_size=12))
    log = [observation("p", START + minute * MINUTE, **data.draw(vital_signs())) for minute in minutes]
    log.insert(0, observation("p", START, heart_rate=80))
    repeated: list[Record] = []
    for place, record in enumerate(log):
        repeated.append(record)
        repeated += data.draw(st.lists(st.sampled_from(log[: place + 1]), max_size=2))
    once, twice = work_off(numbered(log)), work_off(numbered(repeated))
    assert without_place(once) == without_place(twice)
    assert closed_risks(once) == closed_risks(twice)
    assert without_offset(once) == without_offset(twice)


@few
@given(st.data())
def test_repeats_that_come_after_the_stays_end_change_nothing(data: st.DataObject) -> None:
    """They are refused, or known already; they never enter the next stay."""
    minute, log = 0, [observation("p", START, heart_rate=80)]
    for _ in range(data.draw(st.integers(1, 10))):
        minute += data.draw(st.sampled_from([1, 20, 70, 169 * 60]))
        if data.draw(st.integers(0, 3)) == 0:
            log.append(admission("p", "discharged", START + minute * MINUTE, source_offset=minute))
        else:
            log.append(observation("p", START + minute * MINUTE, **data.draw(vital_signs())))
    repeated: list[Record] = []
    for place, record in enumerate(log):
        repeated.append(record)
        repeated += data.draw(st.lists(st.sampled_from(log[: place + 1]), max_size=2))
    once, twice = work_off(numbered(log)), work_off(numbered(repeated))
    assert without_place(once) == without_place(twice)
    assert closed_risks(once) == closed_risks(twice)
    assert without_offset(once) == without_offset(twice)


def test_a_repeated_observation_is_counted_and_gives_no_new_score() -> None:
    record = observation("p", START, heart_rate=80)
    run = work_off(numbered([record, record]), cuts=[1])
    assert [outcome.repeated for outcome in run.outcomes] == [0, 1]
    assert [len(outcome.scores) for outcome in run.outcomes] == [1, 0]


@few
@given(_WITHIN_AN_HOUR, _WITHIN_AN_HOUR, st.randoms(use_true_random=False))
def test_order_within_the_open_step_does_not_matter(
    before: list[tuple[int, dict[str, float]]],
    within: list[tuple[int, dict[str, float]]],
    random: Random,
) -> None:
    """The closed risk and what is known afterwards are the same, late ones among them included."""
    first = [observation("p", START, heart_rate=80)]
    late = [observation("p", START + minute * MINUTE, **signs) for minute, signs in before]
    hour = [observation("p", START + HOUR + minute * MINUTE, **signs) for minute, signs in within]
    last = [observation("p", START + 2 * HOUR, heart_rate=80)]
    opening = [observation("p", START + HOUR, heart_rate=81)]
    mixed = [*late, *hour]
    random.shuffle(mixed)
    ordered = work_off(numbered([*first, *opening, *late, *hour, *last]), core=new_core(never_alerting()))
    shuffled = work_off(numbered([*first, *opening, *mixed, *last]), core=new_core(never_alerting()))
    assert closed_risks(ordered) == closed_risks(shuffled)
    assert without_offset(ordered) == without_offset(shuffled)


@few
@given(st.lists(st.tuples(st.integers(0, 240), vital_signs()), min_size=1, max_size=10))
def test_one_vital_sign_at_a_time_equals_all_at_once(measured: list[tuple[int, dict[str, float]]]) -> None:
    together = [observation("p", START, heart_rate=80)]
    together += [observation("p", START + minute * MINUTE, **signs) for minute, signs in measured]
    apart = [observation("p", START, heart_rate=80)]
    apart += [
        observation("p", START + minute * MINUTE, **{name: value})
        for minute, signs in measured
        for name, value in signs.items()
    ]
    one, other = (work_off(numbered(log), core=new_core(never_alerting())) for log in (together, apart))
    assert closed_risks(one) == closed_risks(other)
    assert without_offset(one) == without_offset(other)
