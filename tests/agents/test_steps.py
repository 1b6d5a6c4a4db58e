"""Closing steps, late measurements and the provisional risk, against a second writing of the rules in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.record import RecordLayout, Rows
from agents.steps import Steps
from tests.agents.logs import (
    MINUTE,
    MODEL,
    START,
    Run,
    admission,
    closed_risks,
    never_alerting,
    new_core,
    numbered,
    observation,
    vital_signs,
    work_off,
)
from tests.agents.scalar import ScalarStay

Log = Sequence[tuple[int, Mapping[str, float]]]  # minutes since the stay's start, and vital signs
# Minutes since the stay's start, mostly in order, with late ones; some fall on the borders of steps and slots.
_MINUTES = st.lists(
    st.one_of(st.integers(0, 600), st.sampled_from([0, 5, 59, 60, 120, 25 * 60, 30 * 60])), min_size=1, max_size=25
)
_LOOSE_PRESSURES = st.fixed_dictionaries(
    {},
    optional={
        "systolic_bp": st.integers(6, 15).map(lambda tens: tens * 10),
        "diastolic_bp": st.integers(6, 15).map(lambda tens: tens * 10),
        "mean_arterial_pressure": st.integers(6, 15).map(lambda tens: tens * 10),
        "temperature": st.integers(3600, 4000).map(lambda hundredths: hundredths / 100),
    },
).filter(bool)


def observed(log: Log) -> Run:
    """Work off an admitted stay with these observations."""
    records = [admission("p", "admitted", START, age=70)]
    records += [observation("p", START + minute * MINUTE, **signs) for minute, signs in log]
    return work_off(numbered(records), core=new_core(never_alerting()))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_closed_and_provisional_risks_are_those_of_the_plain_rules(data: st.DataObject) -> None:
    log = [(minute, data.draw(vital_signs())) for minute in data.draw(_MINUTES)]
    stay = ScalarStay(MODEL, START, age_years=70)
    for minute, signs in log:
        stay.take(START + minute * MINUTE, signs)
    run = observed(log)
    assert closed_risks(run).get("p", []) == list(stay.closed.items())
    assert run.scores[-1].risk == stay.provisional()
    said = run.scores[-1].doubt
    assert (said and (said.reason, said.vital_sign)) == stay.doubt()
    assert run.scores[-1].assessable == (said is None)
    assert run.reasons == ["too_late"] * stay.refused


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 130), _LOOSE_PRESSURES), min_size=1, max_size=20))
def test_contradictions_are_judged_on_the_values_of_the_step(log: list[tuple[int, dict[str, float]]]) -> None:
    """Each pressure comes in an observation of its own, so that only the step can find that they contradict."""
    stay = ScalarStay(MODEL, START, age_years=70)
    apart = [(minute, {name: value}) for minute, signs in log for name, value in signs.items()]
    for minute, signs in apart:
        stay.take(START + minute * MINUTE, signs)
    run = observed(apart)
    assert closed_risks(run).get("p", []) == list(stay.closed.items())
    assert run.scores[-1].risk == stay.provisional()


# -- late measurements


def last_known(run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Return values and ages in steps of what the closed steps know, by vital sign."""
    rows = stored(run)
    values, ages = MODEL.last_known(rows["state"], rows["open_step"])
    return (
        {"heart_rate": float(values[0, 0]), "temperature": float(values[0, 2])},
        {"heart_rate": float(ages[0, 0]), "temperature": float(ages[0, 2])},
    )


def stored(run: Run) -> Rows:
    return RecordLayout(MODEL).load([b"p"], [run.states[b"p"]]).rows


def test_a_late_measurement_that_is_the_newest_of_its_sign_is_used_with_its_true_age() -> None:
    log: Log = [
        (0, {"heart_rate": 80}),
        (130, {"heart_rate": 90}),
        (70, {"temperature": 39.5}),
        (180, {"heart_rate": 85}),
    ]
    run = observed(log)
    values, ages = last_known(run)
    assert (values["temperature"], ages["temperature"]) == (39.5, 2)  # measured in step 1, the open one is 3
    assert run.outcomes[0].superseded == 0


def test_a_late_measurement_that_is_the_newest_of_its_sign_within_a_closed_step_is_used() -> None:
    log: Log = [
        (10, {"temperature": 36}),
        (65, {"heart_rate": 80}),
        (40, {"temperature": 41}),
        (130, {"heart_rate": 80}),
    ]
    values, ages = last_known(observed(log))
    assert (values["temperature"], ages["temperature"]) == (41, 2)


def test_a_late_measurement_changes_the_provisional_risk_at_once() -> None:
    before = observed([(0, {"heart_rate": 80}), (70, {"heart_rate": 90})])
    after = observed([(0, {"heart_rate": 80}), (70, {"heart_rate": 90}), (30, {"temperature": 40.5})])
    assert after.scores[-1].risk != before.scores[-1].risk
    assert after.scores[-1].closed == before.scores[-1].closed


def test_a_late_measurement_that_a_closed_step_has_overtaken_is_counted_and_changes_nothing() -> None:
    log: Log = [(0, {"temperature": 37}), (70, {"temperature": 38}), (130, {"heart_rate": 80})]
    run, late = observed(log), observed([*log, (30, {"temperature": 41})])
    assert (late.outcomes[0].superseded, late.reasons) == (1, [])
    assert np.array_equal(stored(late)["last_value"], stored(run)["last_value"], equal_nan=True)
    assert late.scores[-1].risk == run.scores[-1].risk


def test_of_several_late_measurements_the_newest_counts_in_whatever_order() -> None:
    log: Log = [(0, {"heart_rate": 80}), (190, {"heart_rate": 90})]
    late: Log = [(70, {"temperature": 39.0}), (130, {"temperature": 38.0})]
    end: Log = [(240, {"heart_rate": 85})]
    for order in (late, late[::-1]):
        values, ages = last_known(observed([*log, *order, *end]))
        assert (values["temperature"], ages["temperature"]) == (38.0, 2)


@pytest.mark.parametrize(("minutes_late", "reasons"), [(24 * 60, []), (24 * 60 + 1, ["too_late"])])
def test_the_limit_of_lateness_is_inclusive(minutes_late: int, reasons: list[str]) -> None:
    newest = 30 * 60
    log: Log = [(0, {"heart_rate": 80}), (newest, {"heart_rate": 80}), (newest - minutes_late, {"temperature": 38})]
    assert observed(log).reasons == reasons


def test_a_measurement_before_the_stays_start_is_late() -> None:
    run = observed([(-40, {"temperature": 39}), (60, {"heart_rate": 80})])
    values, ages = last_known(run)
    assert (values["temperature"], ages["temperature"]) == (39, 2)


# -- closing


def test_hours_without_data_are_steps_too() -> None:
    run = observed([(0, {"heart_rate": 80}), (5 * 60, {"heart_rate": 80})])
    assert [step for step, _ in closed_risks(run)["p"]] == [0, 1, 2, 3, 4]


def test_a_record_that_starts_late_has_empty_steps_first() -> None:
    run = observed([(100 * 60, {"heart_rate": 80})])
    risks = closed_risks(run)["p"]
    assert [step for step, _ in risks] == list(range(100))
    assert len({risk for _, risk in risks}) == 1  # from what is known of the patient alone
    assert run.scores[-1].step == 100


def test_a_step_closes_exactly_at_its_end() -> None:
    almost = observed([(0, {"heart_rate": 80}), (59, {"heart_rate": 80})])
    assert closed_risks(almost) == {"p": []}
    assert closed_risks(observed([(0, {"heart_rate": 80}), (60, {"heart_rate": 80})])).keys() == {"p"}
    assert almost.scores[-1].step == 0


# -- the arrays themselves


def two_rows() -> Rows:
    return np.concatenate([stored(work_off(numbered([observation("p", START, heart_rate=140, temperature=39)])))] * 2)


def test_the_provisional_risk_changes_nothing() -> None:
    rows = two_rows()
    before = rows.tobytes()
    first = Steps(MODEL).provisional(rows, np.array([0, 1]))
    again = Steps(MODEL).provisional(rows, np.array([1]))
    assert rows.tobytes() == before
    assert first.risk[1] == again.risk[0]


def test_rows_close_each_as_many_steps_as_asked() -> None:
    rows = two_rows()
    steps = Steps(MODEL)
    closed = steps.close_until(rows, np.array([0, 1]), np.array([1, 3], dtype=np.int32))
    assert sorted((done.row, done.step) for done in closed) == [(0, 0), (1, 0), (1, 1), (1, 2)]
    assert rows["open_step"].tolist() == [1, 3]
    assert steps.close_until(rows, np.array([0, 1]), np.array([1, 2], dtype=np.int32)) == []
    assert steps.model_seconds > 0


def test_what_is_explained_is_the_provisional_risk() -> None:
    log: Log = [
        *((60 * hour, {"heart_rate": 80, "temperature": 37}) for hour in range(12)),
        (720, {"heart_rate": 120, "temperature": 39.5}),
        (650, {"respiratory_rate": 30}),
    ]
    run = observed(log)
    rows = stored(run)
    before = rows.tobytes()
    steps = Steps(MODEL)
    (found,) = steps.explain(rows, np.array([0]))
    assert rows.tobytes() == before
    assert steps.model_seconds > 0
    assert found.sound
    assert {sign.sign: sign.now for sign in found.signs} == {0: 120, 1: 30, 2: 39.5}
    odds = [np.log(risk / (1 - risk)) for risk in (run.scores[-1].risk, found.baseline_risk)]
    assert sum(sign.contribution for sign in found.signs) == pytest.approx(float(odds[0] - odds[1]), abs=0.005)
