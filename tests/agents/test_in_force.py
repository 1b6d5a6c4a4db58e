"""The policy in force at each place of a partition, as its log has named it."""

from __future__ import annotations

from agents.in_force import InForce, is_settings_key, settings_key
from agents.messages import Identity, Settings
from agents.record import source_offset
from tests.agents.logs import (
    MINUTE,
    START,
    Record,
    Run,
    between,
    never_alerting,
    new_core,
    numbered,
    observation,
    settings_record,
    work_off,
)

ILL = {"heart_rate": 150, "respiratory_rate": 38, "temperature": 35}
EAGER = between(1e-6, 1e-7)
MODEL_NAMED = Identity("m", "1", "sha256:0")


def seen(minute: int, patient: str = "p") -> Record:
    return observation(patient, START + minute * MINUTE, **ILL)


def test_a_policy_decides_from_its_place_on() -> None:
    log = numbered([seen(0), settings_record(EAGER), seen(1), settings_record(never_alerting()), seen(2)])
    for cuts in range(len(log)), range(0):
        run = work_off(log, core=new_core(never_alerting()), cuts=cuts)
        assert [(offset, alert.transition) for offset, alert in run.alerts] == [(2, "raised"), (4, "resolved")]


def test_the_log_stands_above_the_workers_own_policy() -> None:
    run = work_off(numbered([settings_record(EAGER)]), core=new_core(never_alerting()))
    work_off(numbered([seen(0)], first=1), core=new_core(never_alerting()), onto=run)
    assert run.transitions() == [("p-1", "raised", 1)]


def test_what_is_read_again_is_decided_on_as_it_was() -> None:
    """The settings' own record survived a crash, the patients' did not."""
    log = numbered([settings_record(never_alerting()), seen(0), settings_record(EAGER), seen(0, "q")])
    whole = work_off(log, core=new_core())
    survivors = Run(states={settings_key(0): whole.states[settings_key(0)]})
    again = work_off(log, core=new_core(), onto=survivors)
    assert [(offset, alert.patient_id) for offset, alert in again.alerts] == [(3, "q")]
    assert again.states == whole.states


def test_settings_that_are_in_force_already_change_nothing() -> None:
    run = work_off(numbered([settings_record(EAGER)]))
    before = run.states[settings_key(0)]
    outcome = new_core().process(0, numbered([settings_record(EAGER, START + MINUTE)], first=1), run.states.get)
    assert (outcome.states, outcome.rejected, source_offset(before)) == ({}, [], 0)


def test_the_last_settings_are_kept_and_read_back() -> None:
    known = InForce.load(None)
    assert (known.newest, known.places_at([5]), known.policy(-1)) == (None, [-1], None)
    policies = [between(0.5, 0.1 + number / 100) for number in range(10)]
    for offset, policy in enumerate(policies):
        known.take(offset, Settings(policy, MODEL_NAMED, ""))
    back = InForce.load(known.dump())
    assert (back.newest, back.names(policies[-1], MODEL_NAMED)) == (policies[-1], True)
    assert [back.policy(place) for place in back.places_at([2, 3, 9, 10])] == [None, policies[2], *policies[8:]]
    assert not back.names(policies[-1], Identity("other", "1", "sha256:1"))


def test_a_damaged_record_of_settings_is_as_none() -> None:
    known = InForce.load(None)
    known.take(0, Settings(EAGER, MODEL_NAMED, ""))
    record = known.dump()
    assert InForce.load(record[:-1] + b"x").newest is None
    assert is_settings_key(settings_key(3))
    assert not is_settings_key(b"p000018")
