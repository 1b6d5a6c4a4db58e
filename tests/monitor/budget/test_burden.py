"""Counting: patient-days by where a patient was, false alerts by marks; repeats and order change nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.canary import CANARY_PREFIX
from monitor.budget.burden import Burden, UnitBurden
from monitor.budget.law import Measured
from tests.monitor.budget.wards import admitted, ended, marked, ms, seen, steady


def fed(*records: object) -> Burden:
    burden = Burden()
    for record in records:
        takes = {"Admission": burden.take_admission, "RiskScore": burden.take_score, "AlertEvent": burden.take_event}
        takes[type(record).__name__](record)  # type: ignore[operator]
    return burden


def test_patient_days_are_those_of_the_window() -> None:
    burden = fed(admitted("p", 0, "A"), seen("p", 30), admitted("q", 20, "A"), seen("q", 26, 20)).by_unit()["A"]
    assert burden.measured(ms(24), ms(30)).patient_days == pytest.approx((6 + 2) / 24)
    assert burden.measured(ms(0), ms(30)).patient_days == pytest.approx((30 + 6) / 24)
    assert (burden.first_ms, burden.clock_ms) == (ms(0), ms(30))


def test_the_newest_score_alone_says_as_much_as_all_of_them() -> None:
    whole = fed(admitted("p", 0, "A"), *(seen("p", at / 4) for at in range(1, 100)))
    assert whole.by_unit() == fed(admitted("p", 0, "A"), seen("p", 24.75), seen("p", 24.0)).by_unit()
    alone = fed(admitted("p", 0, "A"), seen("p", 24.75)).by_unit()["A"]
    assert abs(alone.first_ms - ms(0)) < 3_600_000


def test_time_belongs_to_the_unit_in_which_it_was_spent() -> None:
    units = fed(
        admitted("p", 0, "A"), admitted("p", 10, "B", "transferred"), seen("p", 24), seen("n", 5), admitted("x", 3, "B")
    ).by_unit()
    assert {name: each.measured(0, ms(100)).patient_days * 24 for name, each in units.items()} == pytest.approx(
        {"A": 10.0, "B": 14.0, "": 5.0}
    )


def test_patient_days_of_a_unit_and_of_all_go_by_where_patients_were() -> None:
    burden = fed(admitted("p", 0, "A"), admitted("p", 10, "B", "transferred"), seen("p", 24), seen("n", 5))
    days = [burden.patient_days(ms(6), ms(18), unit) * 24 for unit in ("A", "B", "C", None)]
    assert days == pytest.approx([4.0, 8.0, 0.0, 12.0])
    assert burden.patient_days(ms(0), ms(24)) * 24 == pytest.approx(29.0)


def test_a_stay_that_nobody_announced_after_a_discharge_is_in_no_unit() -> None:
    units = fed(
        admitted("p", 0, "A"), seen("p", 10), admitted("p", 10, None, "discharged"), seen("p", 50, 40, stay_id="p-2")
    ).by_unit()
    assert units["A"].present == [(ms(0), ms(10))]
    assert units[""].present == [(ms(40), ms(50))]


def test_an_id_that_is_given_again_is_another_stay() -> None:
    burden = fed(admitted("p", 0, "A"), seen("p", 10), seen("p", 60, 50)).by_unit()["A"]
    assert burden.present == [(ms(0), ms(10)), (ms(50), ms(60))]


def test_only_alerts_that_ended_and_were_not_called_right_count() -> None:
    events = [
        ended("false", 5), ended("unmarked", 6), ended("right", 7), ended("treated", 8, verdict="already_treated"),
        marked("false", 9, "false"), marked("right", 9, "true"), ended("open", 9, transition="raised", state="active"),
        ended("stayed", 9, transition="expired"), ended("late", 24), ended("technical", 9, kind="monitoring_lost"),
    ]  # fmt: skip
    burden = fed(admitted("p", 0, "A"), seen("p", 24), *events).by_unit()["A"]
    assert burden.measured(ms(0), ms(24)) == Measured(3, 1.0)
    assert burden.measured(ms(6), ms(24)).episodes == 2


def test_the_last_mark_counts_and_a_refused_one_does_not() -> None:
    refused = ended("a", 9, transition="rejected", verdict="true", sequence=9)
    events = [ended("a", 5), marked("a", 7, "true", 3), marked("a", 8, "false", 4), refused]
    burden = fed(admitted("p", 0, "A"), seen("p", 24), *events).by_unit()["A"]
    assert burden.measured(ms(0), ms(24)).episodes == 1


def test_canaries_count_nowhere() -> None:
    name = f"{CANARY_PREFIX}1"
    assert fed(admitted(name, 0, "A"), seen(name, 9, test=True), ended("a", 5, test=True)).by_unit() == {}


def test_what_is_long_past_is_forgotten_and_the_rest_is_not() -> None:
    burden = fed(
        admitted("p", 0, "A"), seen("p", 90), admitted("gone", 0, "A"), seen("gone", 10), ended("a", 5), ended("b", 80)
    )
    before = burden.by_unit()["A"].measured(ms(60), ms(90))
    burden.forget_before(ms(50))
    assert burden.by_unit()["A"] == UnitBurden([(ms(0), ms(90))], [(ms(80), False)], {"sha256:icu": ms(80)})
    assert burden.by_unit()["A"].measured(ms(60), ms(90)) == before


def _records(burden: Burden) -> list[Callable[[], None]]:
    some = [admitted(f"p{n}", n, "AB"[n % 2]) for n in range(6)]
    some += [admitted("p0", 9, "B", "transferred"), admitted("p1", 20, None, "discharged")]
    scores = [seen(f"p{n}", at, n) for n in range(6) for at in (n, n + 0.5, n + 7, n + 19)]
    events = [ended(f"a{n}", n + 3, "AB"[n % 2]) for n in range(6)]
    events += [marked("a1", 9, "true", 3), marked("a1", 12, "false", 4), marked("a2", 30, "already_treated", 3)]
    return [
        *(partial(burden.take_admission, each) for each in some),
        *(partial(burden.take_score, each) for each in scores),
        *(partial(burden.take_event, each) for each in events),
    ]


@settings(max_examples=100, deadline=None)
@given(rng=st.randoms(use_true_random=False), repeats=st.integers(0, 40))
def test_neither_order_nor_repeats_change_what_is_counted(rng: Any, repeats: int) -> None:
    one, other = Burden(), Burden()
    for take in _records(one):
        take()
    takes = _records(other)
    takes += [rng.choice(takes) for _ in range(repeats)]
    rng.shuffle(takes)
    for take in takes:
        take()
    assert {name: _sorted(each) for name, each in one.by_unit().items()} == {
        name: _sorted(each) for name, each in other.by_unit().items()
    }


def _sorted(unit: UnitBurden) -> object:
    return sorted(unit.present), sorted(unit.ended), unit.policies


@settings(max_examples=50, deadline=None)
@given(beds=st.integers(1, 30), hours=st.floats(1.0, 200.0), episodes=st.integers(0, 60))
def test_a_steady_unit_is_measured_as_it_was(beds: int, hours: float, episodes: int) -> None:
    measured = steady(beds, hours, episodes).by_unit()["A"].measured(0, ms(hours))
    assert measured.episodes == episodes
    assert abs(measured.patient_days * 24 - beds * hours) <= beds  # a stay's start is known to the hour
