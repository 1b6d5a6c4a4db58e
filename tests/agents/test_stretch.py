"""What a chunk gives to the outside: alerts that follow the risks, scores, refusals."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agents.core import Core
from agents.messages import AlertEvent, Doubt
from agents.outputs import utc
from models.manifest import Tail
from models.stay_model import StayModel
from models.vital_signs import NAMES
from tests.agents.logs import (
    BUSY,
    EVENTFUL,
    HOUR,
    ILL,
    LIMITS,
    MINUTE,
    MODEL,
    START,
    WELL,
    Log,
    Record,
    Run,
    admission,
    between,
    closed_risks,
    command,
    garbage,
    never_alerting,
    new_core,
    numbered,
    observation,
    vital_signs,
    wards,
    work_off,
)
from tests.agents.told import told_wards

few = settings(max_examples=40, deadline=None)


# -- alerts


@few
@given(wards())
def test_alerts_are_whole_stories_one_at_a_time(log: list[Record]) -> None:
    stories: dict[str, list[AlertEvent]] = {}
    open_alerts: dict[str, str] = {}
    for _, alert in work_off(log).alerts:
        stories.setdefault(alert.alert_id, []).append(alert)
        if alert.transition == "raised":
            assert alert.patient_id not in open_alerts
            open_alerts[alert.patient_id] = alert.alert_id
        else:
            assert open_alerts.pop(alert.patient_id) == alert.alert_id
    for story in stories.values():
        assert [(alert.transition, alert.state) for alert in story] in (
            [("raised", "active")],
            [("raised", "active"), ("resolved", "ended")],
            [("raised", "active"), ("expired", "ended")],
        )
        assert [alert.sequence for alert in story] == list(range(1, len(story) + 1))
        assert (story[0].risk or 0) >= BUSY.raise_threshold == story[0].threshold


@few
@given(st.lists(st.tuples(st.integers(0, 90), vital_signs()), min_size=1, max_size=20))
def test_alerts_follow_the_risks_by_hysteresis(measured: list[tuple[int, dict[str, float]]]) -> None:
    """The scores of every record are worked through once more by a plain loop."""
    time_ms, log = START, []
    for minutes, signs in measured:
        time_ms += minutes * MINUTE
        log.append(observation("p", time_ms, **signs))
    run = work_off(numbered(log), cuts=range(len(log)))
    expected: list[tuple[int, str, float]] = []
    alerting = False
    for score in run.scores:
        if score.assessable and not alerting and score.risk >= BUSY.raise_threshold:
            alerting = True
            expected.append((score.source.offset, "raised", score.risk))
        elif score.assessable and alerting and score.risk < BUSY.resolve_threshold:
            alerting = False
            expected.append((score.source.offset, "resolved", score.risk))
    assert [(offset, alert.transition, alert.risk) for offset, alert in run.alerts] == expected


def test_an_alert_says_what_was_known_and_why() -> None:
    first = observation("p", START, **WELL, systolic_bp=95)
    run = work_off(numbered([first, observation("p", START + 5 * MINUTE, **ILL)]), core=new_core(between(1e-6, 1e-7)))
    (offset, alert), *others = run.alerts
    assert (offset, others) == (0, [])
    assert (alert.stay_id, alert.occurred_at, alert.published_at) == ("p-1", "2026-11-22T10:00:00Z", "")
    assert {name: reading.value for name, reading in alert.vital_signs.items()} == {**WELL, "systolic_bp": 95}
    assert {reading.age_minutes for reading in alert.vital_signs.values()} == {0}
    assert {reason.vital_sign for reason in alert.reasons} == {*WELL, "systolic_bp"}
    assert (alert.news2_partial, alert.qsofa_partial, alert.sirs_partial) == (2, 1, 0)
    assert (alert.model.digest, alert.policy.name) == (MODEL.digest, "test")


def test_no_alert_on_too_little() -> None:
    eager = between(1e-6, 1e-7)
    run = work_off(numbered([observation("p", START, heart_rate=150)]), core=new_core(eager))
    assert run.alerts == []
    assert [score.assessable for score in run.scores] == [False]
    later = [observation("p", START + MINUTE, temperature=39)]
    assert work_off(numbered(later, first=1), core=new_core(eager), onto=run).transitions() == [("p-1", "raised", 1)]


def test_a_score_says_why_it_cannot_be_assessed_and_what_to_measure() -> None:
    first, second = "heart_rate", "respiratory_rate"  # the order in which this model asks for them
    log = [
        admission("p", "admitted", START, age=70),
        observation("p", START, heart_rate=80),
        observation("p", START + MINUTE, respiratory_rate=20),
        observation("p", START + 9 * HOUR, heart_rate=80),
    ]
    run = Run()
    for offset, record in enumerate(log):
        work_off(numbered([record], first=offset), core=new_core(never_alerting()), onto=run)
    assert [(score.assessable, score.doubt) for score in run.scores] == [
        (False, Doubt("too_few", first)),
        (False, Doubt("too_few", second)),
        (True, None),
        (False, Doubt("too_old", second)),
    ]


def test_a_patient_of_whom_too_little_is_known_for_long_gets_a_technical_alert() -> None:
    log = [observation("p", START + hour * HOUR, heart_rate=80 + hour) for hour in range(3)]
    log.append(observation("p", START + 3 * HOUR, **WELL))
    policy = structs.replace(never_alerting(), cannot_assess_minutes=120)
    alerts = [alert for _, alert in work_off(numbered(log), core=new_core(policy)).alerts]
    assert [(alert.kind, alert.transition, alert.since) for alert in alerts] == [
        ("cannot_assess", "raised", utc(START)),
        ("cannot_assess", "resolved", utc(START)),
    ]
    assert (alerts[0].doubt, alerts[0].risk) == (Doubt("too_few", "respiratory_rate"), None)
    assert alerts[0].missing == [name for name in NAMES if name != "heart_rate"]
    assert alerts[0].cause == "the risk has meant nothing for 120 minutes: too few vital signs were measured"


def test_a_technical_alert_names_the_signs_that_are_too_old() -> None:
    log = [observation("p", START, **{name: WELL[name] for name in sorted(WELL)[1:]})]
    log += [observation("p", START + hour * HOUR, heart_rate=80) for hour in range(7, 14)]
    policy = structs.replace(never_alerting(), cannot_assess_minutes=120)
    (alert,) = [alert for _, alert in work_off(numbered(log), core=new_core(policy)).alerts]
    assert (alert.kind, alert.doubt.reason if alert.doubt else None) == ("cannot_assess", "too_old")
    assert alert.missing == [name for name in NAMES if name != "heart_rate"]
    ages = {name: reading.age_minutes for name, reading in alert.vital_signs.items()}
    within = MODEL.manifest.assessable.within_hours * 60
    assert {name for name in ages if ages[name] > within} == set(alert.vital_signs) - {"heart_rate"}


@settings(max_examples=20, deadline=None)
@given(log=told_wards())
def test_the_sign_that_would_settle_a_doubt_is_a_missing_one(log: Log) -> None:
    for _, alert in work_off(log, core=new_core(EVENTFUL)).alerts:
        if alert.kind == "cannot_assess" and alert.doubt is not None and alert.doubt.reason != "unlike":
            assert alert.doubt.vital_sign in alert.missing


def test_a_treated_patients_score_says_until_when_alerts_are_held_back() -> None:
    core = new_core(between(1e-6, 1e-7))
    run = work_off(numbered([observation("p", START, **ILL)]), core=core)
    treated = command("p", "mark", run.alerts[0][1].alert_id, START + MINUTE, verdict="already_treated")
    work_off(numbered([treated, observation("p", START + 2 * MINUTE, **WELL)], first=1), core=core, onto=run)
    work_off(numbered([observation("p", START + 24 * HOUR, **WELL)], first=3), core=core, onto=run)
    assert [score.held_until for score in run.scores] == [None, utc(START + 24 * HOUR), None]
    assert [alert.transition for _, alert in run.alerts] == ["raised", "resolved", "raised"]


def test_nothing_is_decided_on_a_stay_that_is_unlike() -> None:
    doubt = MODEL.manifest.doubt
    assert doubt is not None
    cliff = Tail((17.0, 18.0), (1000.0, 0.0))
    strict = structs.replace(doubt, tails=doubt.tails | {"age": cliff})
    model = StayModel(structs.replace(MODEL.manifest, doubt=strict), MODEL.digest, MODEL.weights)
    core = Core(model, between(1e-6, 1e-7), LIMITS)
    run = work_off(numbered([admission("p", "admitted", START, age=5), observation("p", START, **ILL)]), core=core)
    assert (run.alerts, run.scores[-1].doubt) == ([], Doubt("unlike", None))
    corrected = [admission("p", "updated", START + MINUTE, age=50), observation("p", START + 2 * MINUTE, **ILL)]
    work_off(numbered(corrected, first=2), core=core, onto=run)
    assert run.transitions() == [("p-1", "raised", 1)]
    assert run.scores[-1].doubt is None


def test_an_open_alert_survives_a_restart_under_a_stricter_policy() -> None:
    run = work_off(numbered([observation("p", START, **ILL)]), core=new_core(between(1e-6, 1e-7)))
    later = numbered([observation("p", START + MINUTE, **WELL)], first=1)
    work_off(later, core=new_core(never_alerting()), onto=run)
    assert run.transitions() == [("p-1", "raised", 1), ("p-1", "resolved", 2)]
    assert run.alerts[0][1].alert_id == run.alerts[1][1].alert_id


def test_each_episode_has_an_id_of_its_own() -> None:
    raising, resolving = new_core(between(1e-6, 1e-7)), new_core(never_alerting())
    run = Run()
    for number in range(4):
        record = numbered([observation("p", START + number * MINUTE, **ILL)], first=number)
        work_off(record, core=resolving if number % 2 else raising, onto=run)
    assert [alert.sequence for _, alert in run.alerts] == [1, 2, 1, 2]
    assert len({alert.alert_id for _, alert in run.alerts}) == 2
    assert len({alert.event_id for _, alert in run.alerts}) == 4


# -- scores


def test_one_score_a_patient_and_chunk_tells_every_closed_step() -> None:
    log = numbered(observation("p", START + hour * HOUR, heart_rate=80 + hour) for hour in range(4))
    run = work_off(log)
    (score,) = run.scores
    assert [closed.step for closed in score.closed] == [0, 1, 2]
    assert (score.step, score.source.offset, score.ended) == (3, 3, False)
    assert run.outcomes[0].steps_closed == 3


def test_a_score_has_the_ages_of_the_vital_signs() -> None:
    log = [observation("p", START, **WELL), observation("p", START + 90 * MINUTE, heart_rate=90)]
    (score,) = work_off(numbered(log)).scores
    assert score.ages_minutes == {"heart_rate": 0, "respiratory_rate": 90, "temperature": 90}
    assert score.time == "2026-11-22T11:30:00Z"


# -- refusals


def test_a_partly_refused_observation_counts_and_is_reported() -> None:
    run = work_off(numbered([observation("p", START, heart_rate=80, temperature=99)]))
    assert (run.reasons, run.outcomes[0].accepted) == (["implausible"], 1)
    assert run.scores[0].ages_minutes == {"heart_rate": 0}


def test_a_record_in_the_wrong_partition_is_refused_and_touches_nothing() -> None:
    here = Core(MODEL, BUSY, LIMITS, right_partition=lambda _: 0)
    elsewhere = Core(MODEL, BUSY, LIMITS, right_partition=lambda _: 1)
    first = work_off(numbered([observation("p", START, heart_rate=80)]), core=here)
    later = numbered([observation("p", START + MINUTE, heart_rate=81)], first=300)
    run = work_off(later, core=elsewhere, onto=first)
    assert run.reasons == ["wrong_partition"]
    good = numbered([observation("p", START + 2 * MINUTE, heart_rate=82)], first=1)
    assert work_off(good, core=here, onto=run).outcomes[-1].accepted == 1


def test_records_that_the_state_holds_are_counted() -> None:
    log = numbered([observation("p", START, heart_rate=80), observation("p", START + MINUTE, heart_rate=81)])
    run = work_off(log, core=new_core())
    work_off(log, core=new_core(), onto=run)
    assert [outcome.replayed for outcome in run.outcomes] == [0, 2]


def test_a_long_list_of_closed_steps_comes_in_several_scores() -> None:
    log = [admission("p", "admitted", START + 50 * 24 * HOUR, admitted=utc(START))]
    log += [observation("p", START + 50 * 24 * HOUR, heart_rate=80)]
    run = work_off(numbered(log))
    assert [len(score.closed) for score in run.scores] == [1000, 200]
    assert [step for step, _ in closed_risks(run)["p"]] == list(range(1200))


def test_refusals_are_in_the_order_of_the_log() -> None:
    log = [
        observation("p", START + 30 * HOUR, heart_rate=80),
        observation("p", START, heart_rate=80),
        garbage("p", START),
        observation("q", START, heart_rate=1),
    ]
    assert [(offset, said.reason) for offset, said in work_off(numbered(log)).rejected] == [
        (1, "too_late"),
        (2, "not_json"),
        (3, "implausible"),
    ]
