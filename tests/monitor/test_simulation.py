"""Simulation: a log gives the worker's own alerts, a policy beside itself changes nothing, differences are told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.messages import SETTINGS_TYPE, AlertEvent, Settings
from agents.policy import Budget, Policy
from models.artifact import untrained_model
from models.stay_model import StayModel
from monitor.simulation import Episode, LogSide, Side, differences, simulate_cohort
from tests.agents.logs import (
    BUSY,
    EVENTFUL,
    HOUR,
    ILL,
    LIMITS,
    MODEL,
    START,
    Log,
    Record,
    admission,
    new_core,
    numbered,
    observation,
    settings_record,
    threshold_record,
    work_off,
)
from tests.agents.told import EVENTFUL_UNITS, told_wards
from tests.models.stays import made_up_cohort

PARTITIONS = 1
PLACES = (("p", "MICU"), ("q", "SICU"))
EPISODES = st.lists(
    st.builds(
        lambda stay, begin, hours: Episode(stay, begin, float(begin + hours)),
        st.sampled_from(["a", "b"]), st.integers(0, 40), st.integers(0, 10),
    ),
    max_size=8,
)  # fmt: skip


def over(
    log: Log,
    policy: Policy,
    units: Mapping[str, Policy] | None = None,
    *,
    as_named: bool,
    at_once: int = 7,
    instead: Mapping[str, Policy] | None = None,
    model: StayModel = MODEL,
) -> LogSide:
    side = LogSide(model, policy, LIMITS, PARTITIONS, units, as_named=as_named, instead=instead)
    for begin in range(0, len(log), at_once):
        side.take(0, log[begin : begin + at_once])
    return side


def without_reasons(event: AlertEvent) -> AlertEvent:
    return msgspec.structs.replace(
        event, published_at="", reasons=[], summary=None, baseline_risk=None, reasons_method=None, reasons_delta=None
    )


@settings(max_examples=15, deadline=None)
@given(log=told_wards(), at_once=st.integers(1, 40))
def test_the_policy_in_force_gives_the_workers_alerts(log: Log, at_once: int) -> None:
    expected = [without_reasons(alert) for _, alert in work_off(log, core=new_core(EVENTFUL)).alerts]
    found = [without_reasons(alert) for alert in over(log, EVENTFUL, as_named=True, at_once=at_once).events]
    assert by_patient(found) == by_patient(expected)


@settings(max_examples=15, deadline=None)
@given(log=told_wards(units=True), at_once=st.integers(1, 40))
def test_units_and_thresholds_in_force_give_the_workers_alerts(log: Log, at_once: int) -> None:
    expected = work_off(log, core=new_core(EVENTFUL, EVENTFUL_UNITS)).alerts
    found = over(log, EVENTFUL, EVENTFUL_UNITS, as_named=True, at_once=at_once).events
    wanted = by_patient([without_reasons(alert) for _, alert in expected])
    assert by_patient([without_reasons(each) for each in found]) == wanted


@settings(max_examples=15, deadline=None)
@given(log=told_wards(units=True))
def test_a_policy_that_is_tried_decides_whatever_the_log_has_named(log: Log) -> None:
    found = over(log, BUSY, as_named=False).events
    assert {event.policy.digest for event in found} <= {BUSY.digest}
    thresholds = {event.threshold for event in found if event.kind == "sepsis_risk"}
    assert thresholds <= {BUSY.raise_threshold, BUSY.resolve_threshold}


@settings(max_examples=15, deadline=None)
@given(log=told_wards(units=True), at_once=st.integers(1, 40))
def test_a_policy_that_is_tried_in_a_unit_is_as_if_the_log_had_named_it(log: Log, at_once: int) -> None:
    tried = {"MICU": msgspec.structs.replace(BUSY, digest="sha256:t", raise_threshold=0.055, resolve_threshold=0.05)}
    renamed = [_renamed(record, tried) for record in log]
    wanted = over(renamed, EVENTFUL, {**EVENTFUL_UNITS, **tried}, as_named=True).events
    found = over(log, EVENTFUL, EVENTFUL_UNITS, as_named=True, at_once=at_once, instead=tried).events
    assert by_patient(found) == by_patient(wanted)
    assert {event.policy.digest for event in found if event.unit == "MICU" and event.transition != "rejected"} <= {
        "sha256:t"
    }


def _renamed(record: Record, tried: dict[str, Policy]) -> Record:
    """Return a settings record that names the policies tried, whatever it named; any other as it is."""
    if ("ce_type", SETTINGS_TYPE.encode()) not in record.headers:
        return record
    said = msgspec.json.decode(record.value or b"", type=Settings)
    return replace(record, value=settings_record(said.policy, START, {**said.units, **tried}).value)


def test_where_only_a_model_is_tried_units_and_moved_thresholds_stay_in_force() -> None:
    ward = msgspec.structs.replace(BUSY, digest="sha256:w", budget=Budget(0.5, 0.01, 0.2))
    other = untrained_model(2)
    log = numbered(
        [
            settings_record(BUSY, START, {"MICU": ward}),
            threshold_record("MICU", 0.011, ward),
            *(
                admission(name, "admitted", START, source_offset=at, unit=unit)
                for at, (name, unit) in enumerate(PLACES)
            ),
            *(observation(name, START + i * HOUR, **ILL) for i in range(4) for name, _ in PLACES),
        ]
    )
    found = over(log, EVENTFUL, as_named=True, model=other).events
    raised = {event.unit: event.threshold for event in found if event.transition == "raised"}
    assert {event.model.digest for event in found} == {other.digest}
    assert raised["MICU"] == 0.011
    assert raised.get("SICU", BUSY.raise_threshold) == BUSY.raise_threshold


def by_patient(events: list[AlertEvent]) -> dict[str, list[AlertEvent]]:
    found: dict[str, list[AlertEvent]] = defaultdict(list)
    for event in events:
        found[event.patient_id].append(event)
    return found


@given(before=EPISODES, after=EPISODES)
def test_what_differs_is_disjoint_from_the_other_side(before: list[Episode], after: list[Episode]) -> None:
    assert differences(before, before) == {"only_before": [], "only_after": []}
    found, turned = differences(before, after), differences(after, before)
    assert (found["only_before"], found["only_after"]) == (turned["only_after"], turned["only_before"])
    for one in found["only_before"]:
        hours = set(range(one.begin, int(one.end) + 1))
        assert all(each.stay != one.stay or not hours & set(range(each.begin, int(each.end) + 1)) for each in after)


def test_stays_of_a_file_give_the_same_beside_themselves() -> None:
    model, cohort = untrained_model(), made_up_cohort(3)
    side = simulate_cohort(model, BUSY, cohort)
    assert side.episodes
    assert side.as_json()["alerts_per_patient_day"] == len(side.episodes) / (cohort.n_rows / 24)
    assert set(side.figures) >= {"septic_alerted", "false_episodes_per_patient_day"}
    assert np.isfinite(side.figures["other_ever_alerted"])
    assert all(each.begin <= each.end for each in side.episodes)


def test_the_candidate_decides_whatever_the_log_has_named() -> None:
    log = [settings_record(BUSY, START), *(observation("p", START + i * HOUR, heart_rate=90 + i) for i in range(9))]
    log = numbered(log)
    never = msgspec.structs.replace(BUSY, raise_threshold=0.999, resolve_threshold=0.998)
    assert over(log, never, as_named=False).side().episodes == ()
    named = over(log, never, as_named=True).side()
    assert named == over(log, BUSY, as_named=False).side()
    assert named.patient_days == 8 / 24
    assert Side(0, 0.0, ()).as_json()["alerts_per_patient_day"] is None
