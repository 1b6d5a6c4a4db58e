"""The rules in force at each place of a partition, as its log has named them."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from agents.control import LARGEST_SETTINGS, ThresholdSaid
from agents.in_force import MOST_UNITS, InForce, is_settings_key, settings_key, settings_keys
from agents.messages import Identity, Settings
from agents.policy import Budget
from agents.record import sealed, source_offset
from agents.rejection import Rejection
from agents.rules import Rules
from tests.agents.logs import (
    ILL,
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

EAGER = between(1e-6, 1e-7)
MODEL_NAMED = Identity("m", "1", "sha256:0")
OWN = Rules(never_alerting())
PLAIN = structs.replace(between(0.5, 0.25), digest="sha256:1", budget=Budget(0.5, 0.1, 0.6))
BUDGETED = structs.replace(PLAIN, digest="sha256:2")


def said(unit: str, threshold: float, counted: int = 1, policy: str = BUDGETED.digest) -> ThresholdSaid:
    return ThresholdSaid(unit, threshold, counted, policy)


def with_thresholds(known: InForce, *some: tuple[int, ThresholdSaid]) -> InForce:
    for offset, each in some:
        taken = known.with_threshold(offset, each, OWN)
        assert isinstance(taken, InForce)
        known = taken
    return known


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
    assert (known.newest(OWN), known.places_at([5]), known.rules(-1, OWN)) == (OWN, [-1], OWN)
    policies = [between(0.5, 0.1 + number / 100) for number in range(10)]
    for offset, policy in enumerate(policies):
        known = known.with_settings(offset, Settings(policy, MODEL_NAMED, ""))
    back = InForce.load(known.dump())
    assert back.newest(OWN).common == policies[-1]
    assert back.names(Settings(policies[-1], MODEL_NAMED, "whenever"))
    found = [back.rules(place, OWN) for place in back.places_at([2, 3, 9, 10])]
    assert found[0] is OWN
    assert [rules.common for rules in found[1:]] == [policies[2], *policies[8:]]
    for other in (
        Settings(policies[-1], Identity("other", "1", "sha256:1"), ""),
        Settings(OWN.common, MODEL_NAMED, ""),
    ):
        assert not back.names(other)
    assert not back.names(Settings(policies[-1], MODEL_NAMED, "", units={"MICU": EAGER}))


def test_settings_and_thresholds_change_the_rules_each_at_its_place() -> None:
    known = with_thresholds(
        InForce().with_settings(3, Settings(PLAIN, MODEL_NAMED, "", units={"MICU": BUDGETED})),
        (5, said("MICU", 0.4)),
        (7, said("SICU", 0.2, policy=PLAIN.digest)),
        (9, said("MICU", 0.3, counted=2)),
    )
    found = [known.rules(place, OWN) for place in known.places_at([3, 4, 5, 6, 8, 9, 10])]
    assert found[0] is OWN
    assert [rules.of_unit("MICU").raise_threshold for rules in found[1:]] == [0.5, 0.5, 0.4, 0.4, 0.4, 0.3]
    assert [rules.of_unit("SICU").raise_threshold for rules in found[1:]] == [0.5, 0.5, 0.5, 0.2, 0.2, 0.2]
    assert known.newest(OWN).of_unit("elsewhere") == PLAIN
    assert known.newest(OWN) is known.newest(OWN)  # made once: whoever numbers patients by it need not do so again


def test_thresholds_are_read_back_and_what_is_known_is_passed_over() -> None:
    known = with_thresholds(InForce().with_settings(0, Settings(BUDGETED, MODEL_NAMED, "")), (4, said("MICU", 0.4)))
    back = InForce.load(known.dump())
    assert back.newest(OWN).of_unit("MICU").raise_threshold == 0.4
    assert source_offset(known.dump()) == 4
    assert back.with_threshold(4, said("MICU", 0.3, counted=9), OWN) is back
    assert back.with_settings(3, Settings(EAGER, MODEL_NAMED, "")) is back
    assert back.with_threshold(5, said("MICU", 0.3, counted=1), OWN) is back  # it counted no further
    assert isinstance(back.with_threshold(5, said("MICU", 0.9), OWN), Rejection)


def test_a_record_of_an_earlier_version_is_read() -> None:
    settings = {"policy": msgspec.to_builtins(EAGER), "model": msgspec.to_builtins(MODEL_NAMED), "time": ""}
    old = sealed(msgspec.json.encode([{"offset": 7, "settings": settings}]), 7)
    assert InForce.load(old).newest(OWN).common == EAGER
    assert InForce.load(old).dump() == sealed(InForce.load(old).dump()[16:], 7)
    assert InForce.load(old).dump()[16:17] == b"["  # and an earlier version can read it, while no threshold moves


def test_of_many_units_the_newest_threshold_of_each_is_kept() -> None:
    known = InForce().with_settings(0, Settings(BUDGETED, MODEL_NAMED, ""))
    for number in range(2 * MOST_UNITS):
        taken = known.with_threshold(1 + number, said(f"unit {number % 700}", 0.3, counted=number), OWN)
        known = taken if isinstance(taken, InForce) else known
    units = known.newest(OWN).units
    assert len(units) == 700
    assert len(known.dump()) < 200_000
    for number in range(300):
        taken = known.with_threshold(5_000 + number, said(f"another {number}", 0.3), OWN)
        assert isinstance(taken, InForce)
        known = taken
    refused = known.with_threshold(9_000, said("one too many", 0.3), OWN)
    assert isinstance(refused, Rejection)
    assert "units are kept already" in refused.detail


def test_a_record_fits_into_a_batch_however_large_its_settings_are() -> None:
    known, units = InForce(), {f"unit {number}": EAGER for number in range(300)}
    for offset in range(6):
        policy = between(0.5, 0.1 + offset / 100)
        known = known.with_settings(offset, Settings(policy, MODEL_NAMED, "", units=units))
    assert len(known.dump()) <= LARGEST_SETTINGS
    assert InForce.load(known.dump()).newest(OWN).common == policy


@pytest.mark.parametrize("spoil", ["damaged", "missing"])
@pytest.mark.parametrize("which", [0, 1])
def test_the_rules_hold_by_their_copy_which_is_written_anew(which: int, spoil: str) -> None:
    log = numbered([settings_record(EAGER), settings_record(never_alerting()), seen(0)])
    whole, run = work_off(log), work_off(log[:2])
    key = settings_keys(0)[which]
    sound = run.states.pop(key)
    if spoil == "damaged":
        run.states[key] = sound[:-1] + b"x"
    work_off(log[2:], onto=run)
    assert run.states == whole.states
    assert run.states[key] == sound


def test_the_newer_of_two_sound_records_holds() -> None:
    """A crash may have come between the two writes."""
    older = InForce().with_settings(0, Settings(EAGER, MODEL_NAMED, ""))
    newer = older.with_settings(4, Settings(never_alerting(), MODEL_NAMED, ""))
    for both in [older, newer], [newer, older]:
        stored = dict(zip(settings_keys(2), (each.dump() for each in both), strict=True))
        found, held = InForce.of(2, stored.get)
        assert (found.newest(OWN).common, held) == (never_alerting(), "half")


def test_settings_of_which_nothing_is_left_are_counted_as_lost() -> None:
    log = numbered([settings_record(EAGER), seen(0)])
    run = work_off(log[:1])
    run.states |= {key: record[:-1] + b"x" for key, record in run.states.items()}
    outcome = new_core(never_alerting()).process(0, log[1:], run.states.get)
    assert (outcome.state_resets, outcome.alerts) == ({"damaged": 1}, [])


def test_a_damaged_record_of_settings_is_as_none() -> None:
    record = InForce().with_settings(0, Settings(EAGER, MODEL_NAMED, "")).dump()
    assert InForce.load(record[:-1] + b"x").newest(OWN) is OWN
    assert is_settings_key(settings_key(3))
    assert not is_settings_key(b"p000018")
