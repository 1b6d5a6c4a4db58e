"""Units with policies of their own, whose thresholds move: each patient is decided on by the rule of its unit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agents.in_force import is_settings_key, settings_key
from agents.policy import Budget, Policy
from agents.record import source_offset
from tests.agents.logs import (
    EVENTFUL,
    HOUR,
    ILL,
    MINUTE,
    START,
    Record,
    Run,
    admission,
    between,
    clock,
    command,
    new_core,
    numbered,
    observation,
    settings_record,
    threshold_record,
    vital_signs,
    work_off,
)
from tests.agents.plain_rules import PlainRules
from tests.agents.told import EVENTFUL_UNITS, told_wards

few = settings(max_examples=40, deadline=None)
CALM = structs.replace(between(0.9, 0.8), name="calm", digest="sha256:a")  # no risk of these tests reaches it
EAGER = structs.replace(between(0.01, 0.008), name="eager", digest="sha256:b", budget=Budget(0.5, 0.005, 0.95))
UNITS = {"MICU": EAGER}


def here(patient: str, unit: str | None, minute: int = 0, kind: str = "admitted") -> Record:
    where: dict[str, object] = {} if unit is None else {"unit": unit}
    return admission(patient, kind, START + minute * MINUTE, source_offset=None, **where)


def seen(patient: str, minute: int) -> Record:
    return observation(patient, START + minute * MINUTE, **ILL)


def lived(*records: Record, cuts: Sequence[int] = (), common: Policy = CALM) -> Run:
    return work_off(numbered(records), core=new_core(common, UNITS), cuts=cuts)


def told(run: Run) -> list[tuple[str, str, str, str | None]]:
    return [(alert.patient_id, alert.transition, alert.policy.name, alert.unit) for _, alert in run.alerts]


# -- whose rule


def test_two_units_in_one_chunk_are_decided_on_by_their_own_policies() -> None:
    log = [here("p", "MICU"), here("q", "SICU"), here("r", None), *(seen(name, 1) for name in "pqr")]
    run = lived(*log)
    assert told(run) == [("p", "raised", "eager", "MICU")]
    assert run.alerts[0][1].threshold == EAGER.raise_threshold
    assert run.alerts[0][1].policy.digest == EAGER.digest


@pytest.mark.parametrize("cuts", [(), range(6)])
def test_a_transfer_moves_the_alert_under_the_other_rule_and_keeps_its_id(cuts: Sequence[int]) -> None:
    log = [here("p", "MICU"), seen("p", 1), here("p", "SICU", 2, "transferred"), seen("p", 3), seen("p", 4)]
    run = lived(*log, here("p", "MICU", 5, "transferred"), seen("p", 6), cuts=cuts)
    assert told(run) == [
        ("p", "raised", "eager", "MICU"),
        ("p", "resolved", "calm", "SICU"),
        ("p", "raised", "eager", "MICU"),
    ]
    first, second, third = (alert for _, alert in run.alerts)
    assert first.alert_id == second.alert_id != third.alert_id
    assert (first.sequence, second.sequence, third.sequence) == (1, 2, 1)
    assert second.threshold == CALM.resolve_threshold
    lower = f"is below the lower threshold of {CALM.resolve_threshold:.1%}"  # the rule has moved, not the risk
    assert (second.cause, first.risk) == (f"risk {second.risk:.1%} {lower}", second.risk)


def test_the_next_stay_is_in_no_unit_until_something_says_so() -> None:
    log = [here("p", "MICU"), seen("p", 1), here("p", None, 60, "discharged"), seen("p", 70)]
    run = lived(*log)
    assert told(run) == [("p", "raised", "eager", "MICU"), ("p", "expired", "eager", "MICU")]
    assert run.scores[-1].stay_id == "p-2"


def test_an_admission_is_watched_for_silence_by_the_units_own_time() -> None:
    patient = structs.replace(EAGER, monitoring_lost_minutes=20)
    core = new_core(CALM, {"MICU": patient})
    log = [
        here("p", "MICU"),
        here("q", "SICU"),
        *(clock(name, START + 30 * MINUTE, "monitoring_lost") for name in "pq"),
    ]
    run = work_off(numbered(log), core=core)
    assert told(run) == [("p", "raised", "eager", "MICU")]
    assert run.alerts[0][1].kind == "monitoring_lost"


def test_commands_and_marks_are_judged_by_the_policy_of_the_unit() -> None:
    run = lived(here("p", "MICU"), seen("p", 1))
    alert = run.alerts[0][1].alert_id
    strict = {"MICU": structs.replace(EAGER, snooze_most_minutes=10)}
    told_now = work_off(
        numbered([command("p", "snooze", alert, START + 2 * MINUTE, minutes=30)], first=2),
        core=new_core(CALM, strict),
        onto=run,
    )
    assert (told_now.alerts[-1][1].transition, told_now.alerts[-1][1].reason) == ("rejected", "snooze_too_long")


# -- thresholds


def test_a_threshold_holds_from_its_place_on_and_only_in_its_unit() -> None:
    high, both = threshold_record("MICU", 0.9, EAGER), ("MICU", "SICU")
    log = [settings_record(EAGER), *map(here, "pq", both), high, seen("p", 1), seen("q", 1)]
    for cuts in ((), range(len(log))):
        assert told(lived(*log, cuts=cuts)) == [("q", "raised", "eager", "SICU")]
    before = [settings_record(EAGER), *map(here, "pq", both), seen("p", 1), high, seen("q", 1), seen("p", 2)]
    run = lived(*before)
    assert told(run)[:2] == [("p", "raised", "eager", "MICU"), ("q", "raised", "eager", "SICU")]
    resolved = run.alerts[2][1]
    assert (resolved.transition, resolved.log.offset) == ("resolved", 6)
    assert resolved.threshold == pytest.approx(0.9 * 0.8)  # the same share of it


def test_patients_of_no_known_unit_have_a_threshold_of_their_own() -> None:
    log = [settings_record(EAGER), threshold_record("", 0.9, EAGER), seen("p", 1), here("q", "MICU"), seen("q", 2)]
    assert told(lived(*log)) == [("q", "raised", "eager", "MICU")]


def test_a_high_priority_is_never_given_below_the_raise_threshold() -> None:
    policy = structs.replace(EAGER, escalate_threshold=0.02)
    core, log = new_core(policy), [threshold_record("", 0.03, policy), seen("p", 1)]
    alert = work_off(numbered(log), core=core).alerts[0][1]
    assert (alert.priority, alert.threshold) == ("high", 0.03)
    assert policy.escalate_threshold is not None


def test_of_two_thresholds_the_one_that_counted_further_holds() -> None:
    newer, older = threshold_record("MICU", 0.9, EAGER, START), threshold_record("MICU", 0.01, EAGER, START - HOUR)
    for log in ([newer, older], [older, newer], [newer, older, newer], [older, newer, newer, older]):
        run = lived(here("p", "MICU"), *log, seen("p", 1))
        assert (run.alerts, run.reasons) == ([], [])


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (threshold_record("MICU", 0.96, EAGER), "limits"),
        (threshold_record("MICU", 0.004, EAGER), "limits"),
        (threshold_record("MICU", 0.5, structs.replace(EAGER, digest="sha256:c")), "another policy"),
        (threshold_record("SICU", 0.9, CALM), "no budget"),
        (threshold_record("x" * 65, 0.5, EAGER), "64 bytes"),
        (threshold_record("MICU", 0.5, EAGER, START + HOUR, START), "300 s"),
    ],
)
def test_a_threshold_that_cannot_hold_is_refused_with_its_reason_and_changes_nothing(record: Record, why: str) -> None:
    run = lived(here("p", "MICU"), record, seen("p", 1))
    ((offset, refusal),) = run.rejected
    assert (offset, refusal.reason in {"threshold_invalid", "time_ahead"}, why in refusal.detail) == (1, True, True)
    assert told(run) == [("p", "raised", "eager", "MICU")]
    assert not any(map(is_settings_key, run.states))


def test_a_threshold_sleeps_while_another_policy_is_in_force() -> None:
    high = threshold_record("MICU", 0.9, EAGER)
    other = settings_record(CALM, START, {"MICU": structs.replace(EAGER, digest="sha256:c")})
    back = settings_record(CALM, START, UNITS)
    log = [here("p", "MICU"), high, seen("p", 1), other, seen("p", 2), back, seen("p", 3)]
    for cuts in ((), range(len(log))):
        assert [pair[1] for pair in told(lived(*log, cuts=cuts))] == ["raised", "resolved"]


# -- against a plain writing of the same


@few
@given(st.data())
def test_every_alert_names_the_policy_and_threshold_that_the_log_says(data: st.DataObject) -> None:
    log = data.draw(told_wards(40, units=True))
    run = work_off(log, core=new_core(EVENTFUL, EVENTFUL_UNITS), cuts=data.draw(st.lists(st.integers(0, len(log)))))
    rules, refused = PlainRules(EVENTFUL, EVENTFUL_UNITS), set()
    at: dict[int, dict[str | None, tuple[str, float, float]]] = {}
    for record in log:
        if rules.read(record.headers, record.value):
            refused.add(record.offset)
        each = {unit: rules.of(unit) for unit in (None, "MICU", "SICU", "ward 7")}
        at[record.offset] = {
            unit: (said["digest"], said["raise_threshold"], said["resolve_threshold"]) for unit, said in each.items()
        }
    assert refused == {offset for offset, refusal in run.rejected if refusal.reason == "threshold_invalid"}
    for offset, alert in run.alerts:
        digest, high, low = at[offset][alert.unit]
        assert alert.policy.digest == digest
        if alert.kind == "sepsis_risk":
            assert alert.threshold == (low if alert.transition in {"resolved", "expired"} else high)


_STEP = st.tuples(
    st.sampled_from(["seen"] * 4 + ["moved", "threshold"]),
    st.integers(0, 90),
    vital_signs(),
    st.sampled_from(["MICU", "SICU"]),
    st.sampled_from([0.04, 0.05, 0.06, 0.07, 0.08, 0.2]),
)
_PLAIN = structs.replace(between(0.079, 0.076), name="one", digest="sha256:d", budget=Budget(0.5, 0.05, 0.1))
_PLAIN_UNITS = {
    "MICU": structs.replace(between(0.05, 0.045), name="two", digest="sha256:e", budget=Budget(1, 0.04, 0.08))
}


@few
@given(st.lists(_STEP, min_size=1, max_size=25))
def test_alerts_follow_the_risks_by_the_hysteresis_of_unit_and_threshold(
    steps: list[tuple[str, int, dict[str, float], str, float]],
) -> None:
    """The scores of every record are worked through once more by a plain loop."""
    time_ms, log = START, [here("p", "SICU")]
    for kind, minutes, signs, unit, threshold in steps:
        time_ms += minutes * MINUTE
        if kind == "seen":
            log.append(observation("p", time_ms, **signs))
        elif kind == "moved":
            log.append(admission("p", "transferred", time_ms, unit=unit))
        else:
            log.append(threshold_record(unit, threshold, _PLAIN_UNITS.get(unit, _PLAIN), time_ms, time_ms))
    records = numbered(log)
    run = work_off(records, core=new_core(_PLAIN, _PLAIN_UNITS), cuts=range(len(log)))
    risks = {score.source.offset: score for score in run.scores}
    rules, unit, alerting = PlainRules(_PLAIN, _PLAIN_UNITS), "SICU", False
    expected: list[tuple[int, str, str, float]] = []
    for record, (kind, _, _, said_unit, _) in zip(records, [("", 0, {}, "", 0.0), *steps], strict=True):
        rules.read(record.headers, record.value)
        unit = said_unit if kind == "moved" else unit
        score, rule = risks.get(record.offset), rules.of(unit)
        if kind != "seen" or score is None or not score.assessable:
            continue
        if not alerting and score.risk >= rule["raise_threshold"]:
            alerting = True
            expected.append((record.offset, "raised", rule["name"], rule["raise_threshold"]))
        elif alerting and score.risk < rule["resolve_threshold"]:
            alerting = False
            expected.append((record.offset, "resolved", rule["name"], rule["resolve_threshold"]))
    turned = [pair for pair in run.alerts if pair[1].transition != "updated"]  # a risk that has moved, in between
    assert [(at, each.transition, each.policy.name, each.threshold) for at, each in turned] == expected


# -- what is read again


def test_what_is_read_again_is_decided_on_at_the_thresholds_of_then() -> None:
    """The partition's own record survived a crash, the patients' did not."""
    moved = [threshold_record("MICU", 0.9 - 0.01 * number, EAGER, START + number) for number in range(20)]
    log: list[Record] = [
        here("p", "MICU"),
        seen("p", 1),
        moved[0],
        seen("p", 2),
        *moved[1:],
        here("q", "MICU"),
        seen("q", 1),
    ]
    whole = lived(*log)
    survivors = Run(states={settings_key(0): whole.states[settings_key(0)]})
    again = work_off(numbered(log), core=new_core(CALM, UNITS), onto=survivors)
    assert again.alerts == whole.alerts
    assert [alert.transition for _, alert in again.alerts] == ["raised", "resolved"]
    assert again.states == whole.states
    assert source_offset(whole.states[settings_key(0)]) == 4 + 18
