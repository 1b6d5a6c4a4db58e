"""The life of an alert, driven by hand: risks, commands and the wall clock in any order; and each rule once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from agents.alerts import Alerts
from agents.control import ClockSaid, CommandSaid
from agents.episodes import KINDS, alert_id
from agents.messages import AlertEvent, Command, SourcePosition
from agents.moves import BLIND, LOST, OPEN, SEPSIS, Moved
from agents.outputs import Outputs
from agents.policy import Bounds, Policy
from agents.record import SEEN_COMMANDS, RecordLayout
from tests.agents.logs import HOUR, MINUTE, MODEL, START

LAYOUT = RecordLayout(MODEL)
POLICY = Policy(
    "test",
    "1.0.0",
    "sha256:00",
    0.06,
    0.04,
    escalate_threshold=0.3,
    acknowledge_minutes=30,
    update_step=0.05,
    update_minutes=20,
    snooze_rise=0.1,
    treated_hours=2,
    mark_hours=3,
    monitoring_lost_minutes=90,
    cannot_assess_minutes=60,
    critical={"heart_rate": Bounds(41, 130)},
)


@dataclass
class Bed:
    """One patient with an open stay, and what was told of the alerts."""

    policy: Policy = POLICY
    told: list[AlertEvent] = field(default_factory=list)
    minute: float = 0.0
    commands: int = 0

    def __post_init__(self) -> None:
        """Begin the stay."""
        self.rows = LAYOUT.fresh(1)
        for name, value in (("key", b"p"), ("stay_id", b"p-1"), ("watched", 1), ("start_ms", START)):
            self.rows[name] = value
        self.rows["clock_ms"] = START
        self.rows["risk"] = self.rows["last_value"] = np.nan
        outputs = Outputs(MODEL, self.policy)

        def tell(said: Moved) -> None:
            self.told.append(outputs.alert(self.rows, said, SourcePosition(0, said.place)))

        self.alerts = Alerts(self.rows, self.policy, tell)

    @property
    def now_ms(self) -> int:
        """The time of day."""
        return START + round(self.minute * MINUTE)

    def pass_by(self, minutes: float) -> Bed:
        """Let time go by."""
        self.minute += minutes
        return self

    def see(self, risk: float | None, heart_rate: float = 80.0) -> Bed:
        """Take an observation that makes the risk this; None is one that leaves too little known."""
        index, now = np.array([0]), np.array([self.now_ms])
        self.rows["clock_ms"] = self.now_ms
        self.rows["last_ms"][0, 0], self.rows["last_value"][0, 0] = self.now_ms, heart_rate
        self.rows["risk"] = 0.05 if risk is None else risk
        self.alerts.arrived(index, now, now)
        assessable = np.array([risk is not None])
        self.alerts.observe(index, [0], now, risk=self.rows["risk"].copy(), assessable=assessable)
        return self

    def clock(self, *due: str) -> Bed:
        """Let the wall clock speak."""
        everything = due or ("monitoring_lost", "escalate", "snooze_over")
        self.alerts.clock(0, 0, ClockSaid("p", self.now_ms, frozenset(everything)))
        return self

    def order(self, kind: str, of: str | None = None, *, name: str | None = None, **fields: Any) -> Bed:
        """Give a command on the last alert, or on the one that is named."""
        self.commands += 1
        alert = of or self.told[-1].alert_id
        said = Command(name or f"c{self.commands}", "p", alert, kind, "", **fields)  # type: ignore[arg-type]
        self.alerts.obey(0, 0, CommandSaid("p", self.now_ms, said), self.now_ms)
        return self

    def story(self) -> list[tuple[str, str]]:
        """Transition and state of all that was told."""
        return [(event.transition, event.state) for event in self.told]


def septic(policy: Policy = POLICY) -> Bed:
    return Bed(policy).see(0.08)


# -- raising and resolving


def test_an_alert_is_raised_and_resolved_by_the_risk() -> None:
    bed = septic().pass_by(5).see(0.05).pass_by(5).see(0.03)
    assert bed.story() == [("raised", "active"), ("resolved", "ended")]
    assert (bed.told[0].risk, bed.told[0].threshold, bed.told[1].threshold) == (0.08, 0.06, 0.04)
    assert bed.told[1].raised_at == bed.told[0].occurred_at


def test_a_minimum_duration_passes_over_a_short_rise_and_a_short_fall() -> None:
    bed = Bed(structs.replace(POLICY, raise_minutes=10, resolve_minutes=10))
    bed.see(0.08).pass_by(9).see(0.05).pass_by(1).see(0.08).pass_by(9).see(0.08)
    assert bed.told == []
    assert bed.pass_by(1).see(0.07).story() == [("raised", "active")]
    bed.pass_by(1).see(0.03).pass_by(9).see(0.03)
    assert len(bed.told) == 1
    assert bed.pass_by(1).see(0.01).story()[1:] == [("resolved", "ended")]


def test_what_cannot_be_assessed_neither_counts_nor_forgets_time() -> None:
    bed = Bed(structs.replace(POLICY, raise_minutes=10)).see(0.08).pass_by(5).see(None).pass_by(5).see(0.08)
    assert bed.story() == [("raised", "active")]


def test_no_alert_within_the_refractory_time_of_the_last() -> None:
    bed = septic(structs.replace(POLICY, refractory_minutes=30)).pass_by(1).see(0.03)
    assert len(bed.pass_by(29).see(0.08).told) == 2
    assert bed.pass_by(1).see(0.08).story()[2:] == [("raised", "active")]


def test_a_risk_over_the_higher_threshold_is_of_high_priority_from_the_start() -> None:
    assert [event.priority for event in Bed().see(0.35).told] == ["high"]


# -- news


def test_a_moved_risk_is_told_but_not_too_often() -> None:
    bed = septic().pass_by(19).see(0.2).pass_by(1).see(0.2).pass_by(20).see(0.16).pass_by(20).see(0.15)
    assert [(event.transition, event.risk) for event in bed.told] == [
        ("raised", 0.08),
        ("updated", 0.2),
        ("updated", 0.15),
    ]


def test_a_high_risk_escalates_once_and_takes_the_acknowledgement_away() -> None:
    bed = septic().order("acknowledge").pass_by(1).see(0.3).pass_by(1).see(0.31)
    assert bed.story() == [("raised", "active"), ("acknowledged", "acknowledged"), ("escalated", "active")]
    assert [event.priority for event in bed.told] == ["medium", "medium", "high"]


def test_an_alert_that_nobody_acknowledges_escalates_by_the_wall_clock() -> None:
    bed = septic().pass_by(29.9).clock()
    assert len(bed.told) == 1
    bed.pass_by(0.1).clock().clock().pass_by(60).clock("escalate")
    assert bed.story()[1:] == [("escalated", "active")]
    assert bed.told[-1].priority == "high"
    assert septic().order("acknowledge").pass_by(60).clock("escalate").story()[1:] == [("acknowledged", "acknowledged")]


def test_the_priority_rises_step_by_step() -> None:
    bed = septic(structs.replace(POLICY, priority="low"))
    for _ in range(3):
        bed.pass_by(30).clock("escalate")
    assert [event.priority for event in bed.told] == ["low", "medium", "high"]


# -- people


def test_a_snooze_is_quiet_until_it_is_over() -> None:
    bed = septic().order("snooze", minutes=60, by="nurse").pass_by(30).see(0.17).clock()
    assert bed.story() == [("raised", "active"), ("snoozed", "snoozed")]
    assert (bed.told[1].by, bed.told[1].snoozed_until) == ("nurse", "2026-11-22T11:00:00Z")
    assert bed.pass_by(30).see(0.08).story()[2:] == [("updated", "active")]


def test_the_wall_clock_ends_a_snooze_where_nothing_is_measured() -> None:
    bed = septic().order("snooze", minutes=60).pass_by(59).clock()
    assert bed.pass_by(1).clock("snooze_over").clock("snooze_over").story()[2:] == [("updated", "active")]


def test_a_risen_risk_or_a_critical_vital_sign_ends_a_snooze() -> None:
    rose = septic().order("snooze", minutes=60).pass_by(1).see(0.17).pass_by(1).see(0.18)
    assert [(event.transition, event.priority) for event in rose.told[2:]] == [("escalated", "high")]
    crossed = septic().order("snooze", minutes=60).pass_by(1).see(0.08, heart_rate=131)
    assert crossed.story()[2:] == [("escalated", "active")]


def test_a_vital_sign_that_was_critical_at_the_snooze_must_come_back_first() -> None:
    bed = Bed().see(0.08, heart_rate=140).order("snooze", minutes=60).pass_by(1).see(0.08, heart_rate=150)
    assert len(bed.told) == 2
    assert bed.pass_by(1).see(0.08, 100).pass_by(1).see(0.08, 140).story()[2:] == [("escalated", "active")]


def test_a_dismissed_alert_comes_back_only_after_the_risk_has_fallen_or_when_it_rises() -> None:
    bed = septic().order("dismiss", reason="artefact").pass_by(1).see(0.08)
    assert bed.story() == [("raised", "active"), ("resolved", "ended")]
    assert bed.told[1].reason == "artefact"
    assert bed.pass_by(1).see(0.03).pass_by(1).see(0.08).story()[2:] == [("raised", "active")]
    rose = septic().order("dismiss", reason="artefact").pass_by(1).see(0.18)
    assert rose.story()[2:] == [("raised", "active")]
    assert rose.told[2].alert_id != rose.told[0].alert_id


def test_what_is_already_treated_is_held_back_and_says_so() -> None:
    bed = septic().order("mark", verdict="already_treated").pass_by(119).see(0.35)
    assert bed.story() == [("raised", "active"), ("resolved", "ended")]
    assert (bed.told[1].verdict, bed.told[1].held_until) == ("already_treated", "2026-11-22T12:00:00Z")
    assert bed.pass_by(1).see(0.08).story()[2:] == [("raised", "active")]


def test_an_ended_alert_can_be_marked_for_a_while() -> None:
    bed = septic().pass_by(1).see(0.03).pass_by(60).order("mark", verdict="false")
    assert [(event.transition, event.state, event.verdict) for event in bed.told[2:]] == [("marked", "ended", "false")]
    assert [event.sequence for event in bed.told] == [1, 2, 3]
    assert bed.pass_by(121).order("mark", verdict="true").told[-1].reason == "too_late_to_mark"


@pytest.mark.parametrize(
    ("before", "kind", "fields", "reason"),
    [
        ((), "acknowledge", {"of": "nothing"}, "unknown_alert"),
        ((), "acknowledge", {"sequence": 7}, "stale_sequence"),
        (("acknowledge",), "acknowledge", {}, "already_acknowledged"),
        ((), "snooze", {"minutes": 241}, "snooze_too_long"),
    ],
)
def test_what_cannot_be_obeyed_is_answered(before: tuple[str, ...], kind: str, fields: Any, reason: str) -> None:
    bed = septic()
    for earlier in before:
        bed.order(earlier)
    moved = len(bed.told)
    rows = bed.rows.copy()
    bed.order(kind, name="last", **fields)
    (answer,) = bed.told[moved:]
    assert (answer.transition, answer.reason, answer.command_id) == ("rejected", reason, "last")
    rows["commands"] = bed.rows["commands"]
    assert rows.tobytes() == bed.rows.tobytes()
    assert bed.order(kind, name="last", **fields).told[moved:] == [answer]


def test_an_ended_alert_cannot_be_acknowledged() -> None:
    answer = septic().pass_by(1).see(0.03).order("acknowledge").told[-1]
    assert (answer.transition, answer.reason, answer.sequence) == ("rejected", "alert_ended", 2)


def test_commands_that_are_appended_twice_count_once_however_many() -> None:
    bed = septic()
    commands = [
        CommandSaid("p", bed.now_ms, Command(f"c{at}", "p", bed.told[0].alert_id, "acknowledge", ""), at)
        for at in range(2 * SEEN_COMMANDS)
    ]
    for said in commands:
        bed.alerts.obey(0, 0, said, bed.now_ms)
    answers = list(bed.told[1:])
    assert [event.reason for event in answers] == [None, *["already_acknowledged"] * (2 * SEEN_COMMANDS - 1)]
    before = bed.rows.tobytes()
    for said in commands:
        bed.alerts.obey(0, 0, said, bed.now_ms)
    assert bed.told[1:] == answers
    assert bed.rows.tobytes() == before


# -- latching


def test_a_latched_alert_waits_for_somebody() -> None:
    latching = structs.replace(POLICY, latching=True, latch_hours=2)
    fallen: Callable[[], Bed] = lambda: septic(latching).pass_by(10).see(0.03)  # noqa: E731
    assert fallen().story() == [("raised", "active"), ("updated", "latched")]
    assert fallen().pass_by(5).order("acknowledge").story()[2:] == [("resolved", "ended")]
    assert fallen().pass_by(5).see(0.07).story()[2:] == [("updated", "active")]
    assert fallen().pass_by(119).see(0.03).pass_by(1).see(0.03).story()[2:] == [("resolved", "ended")]
    seen = septic(latching).order("acknowledge").pass_by(10).see(0.03)
    assert seen.story()[1:] == [("acknowledged", "acknowledged"), ("resolved", "ended")]


# -- not knowing


def test_a_silent_patient_is_told_of_until_data_return() -> None:
    bed = Bed().see(0.01).pass_by(89.9).clock()
    assert bed.told == []
    bed.pass_by(0.1).clock().clock().pass_by(5).see(0.01)
    assert [(event.kind, event.transition) for event in bed.told] == [
        ("monitoring_lost", "raised"),
        ("monitoring_lost", "resolved"),
    ]
    lost = bed.told[0]
    assert (lost.source, lost.risk, lost.threshold, lost.since) == ("technical", None, None, "2026-11-22T10:00:00Z")
    assert (lost.missing, lost.vital_signs["heart_rate"].age_minutes) == (["heart_rate"], 90)


def test_an_observation_in_between_cancels_what_the_clock_says() -> None:
    assert Bed().see(0.01).pass_by(10).see(0.01).pass_by(80).clock().told == []


def test_nobody_waits_for_data_that_came_long_after_they_were_taken() -> None:
    bed = Bed()
    bed.alerts.arrived(np.array([0]), np.array([START + 91 * MINUTE]), np.array([START]))
    assert bed.pass_by(1000).clock().told == []


def test_an_open_sepsis_alert_outlives_the_silence_and_ends_with_the_stay() -> None:
    bed = septic().pass_by(90).clock("monitoring_lost")
    bed.alerts.end_stay(0, 0, bed.now_ms, "the stay ended: discharged")
    assert [(event.kind, event.transition) for event in bed.told] == [
        ("sepsis_risk", "raised"),
        ("monitoring_lost", "raised"),
        ("sepsis_risk", "expired"),
        ("monitoring_lost", "expired"),
    ]
    assert bed.story()[2:] == [("expired", "ended")] * 2


def test_a_patient_who_cannot_be_assessed_is_told_of_after_a_while() -> None:
    bed = Bed().see(None).pass_by(59).see(None)
    assert bed.told == []
    (told,) = bed.pass_by(1).see(None).told
    assert (told.kind, told.transition, told.since, told.priority) == (
        "cannot_assess",
        "raised",
        "2026-11-22T10:00:00Z",
        "low",
    )
    assert "heart_rate" not in told.missing
    assert len(told.missing) == 6
    assert bed.pass_by(1).see(0.01).story()[1:] == [("resolved", "ended")]


# -- any order of everything


class LifeOfAlerts(RuleBasedStateMachine):
    """Whatever happens in whatever order: whole stories, each move with a cause, and the same again in a replay."""

    def __init__(self) -> None:
        super().__init__()
        self.bed = Bed()
        self.history: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    @initialize(latching=st.booleans(), minutes=st.sampled_from([0.0, 5.0]), refractory=st.sampled_from([0.0, 30.0]))
    def begin(self, latching: bool, minutes: float, refractory: float) -> None:
        """Take a policy."""
        policy = structs.replace(
            POLICY, latching=latching, raise_minutes=minutes, resolve_minutes=minutes, refractory_minutes=refractory
        )
        self.bed = Bed(policy)

    def do(self, name: str, /, *args: Any, **fields: Any) -> list[AlertEvent]:
        """Let something happen; return what was told."""
        self.history.append((name, args, fields))
        before = len(self.bed.told)
        getattr(self.bed, name)(*args, **fields)
        return self.bed.told[before:]

    @rule(minutes=st.sampled_from([1, 4, 10, 20, 31, 61, 121, 180]))
    def time_goes_by(self, minutes: float) -> None:
        """Nothing moves by itself."""
        assert self.do("pass_by", minutes) == []

    @rule(
        risk=st.sampled_from([0.01, 0.039, 0.04, 0.059, 0.06, 0.08, 0.12, 0.2, 0.3, 0.5, None]),
        heart_rate=st.sampled_from([40, 80, 80, 150]),
    )
    def something_is_measured(self, risk: float | None, heart_rate: float) -> None:
        """Take an observation in."""
        for event in self.do("see", risk, heart_rate):
            assert event.transition in {"raised", "updated", "escalated", "resolved"}
            if event.kind == "sepsis_risk" and event.transition == "raised":
                assert risk is not None
                assert risk >= 0.06
            if event.kind == "sepsis_risk" and event.transition == "resolved" and "nobody" not in event.cause:
                assert risk is not None
                assert risk < 0.04
            if event.kind == "cannot_assess":
                assert (risk is None) == (event.transition == "raised") or event.transition == "updated"
        assert not self.bed.rows["on"][0, LOST]

    @rule(due=st.sets(st.sampled_from(["monitoring_lost", "escalate", "snooze_over"]), min_size=1))
    def the_clock_speaks(self, due: set[str]) -> None:
        """Let it say what may be due, twice."""
        for event in self.do("clock", *sorted(due)):
            wanted = {"raised": "monitoring_lost", "escalated": "escalate", "updated": "snooze_over"}
            assert wanted[event.transition] in due
        assert self.do("clock", *sorted(due)) == []

    @rule(
        what=st.sampled_from(
            [
                ("acknowledge", {}),
                ("snooze", {"minutes": 60}),
                ("snooze", {"minutes": 500}),
                ("dismiss", {"reason": "no"}),
                ("mark", {"verdict": "true"}),
                ("mark", {"verdict": "already_treated"}),
            ]
        ),
        kind=st.sampled_from(KINDS),
        earlier=st.sampled_from([0, 0, 0, 1]),
        seen=st.booleans(),
    )
    def somebody_says(self, what: tuple[str, dict[str, Any]], kind: str, earlier: int, seen: bool) -> None:
        """Give a command, twice: it is answered once."""
        number = KINDS.index(kind)
        episode = int(self.bed.rows["episode"][0, number]) - earlier
        alert = alert_id("p", "p-1", START, kind, episode)
        was = self.bed.rows.copy()
        sequence = {"sequence": int(was["sequence"][0, number])} if seen else {}
        (answer,) = self.do("order", what[0], alert, **what[1], **sequence)
        assert answer.command_id == f"c{self.bed.commands}"
        if answer.transition == "rejected":
            was["commands"] = self.bed.rows["commands"]
            assert was.tobytes() == self.bed.rows.tobytes()
        else:
            assert (answer.kind, answer.alert_id) == (kind, alert)
        assert self.do("order", what[0], alert, name=answer.command_id, **what[1]) == []

    @invariant()
    def stories_are_whole(self) -> None:
        """Sequences have no gaps, stories begin and end once, and no two alerts of a kind are open."""
        sequences: dict[str, int] = {}
        state: dict[str, str] = {}
        for event in self.bed.told:
            if event.transition == "rejected":
                assert event.sequence == sequences.get(event.alert_id, 0)
                continue
            assert event.sequence == sequences.get(event.alert_id, 0) + 1
            assert (event.sequence == 1) == (event.transition == "raised")
            ended = state.get(event.alert_id) == "ended"
            assert not ended or event.transition == "marked"
            assert (event.state == "ended") == (ended or event.transition == "resolved")
            sequences[event.alert_id] = event.sequence
            state[event.alert_id] = event.state
        kinds = {event.alert_id: event.kind for event in self.bed.told if event.transition != "rejected"}
        for number, kind in enumerate(KINDS):
            still_open = [alert for alert, name in kinds.items() if name == kind and state[alert] != "ended"]
            assert len(still_open) == int(self.bed.rows["phase"][0, number] in OPEN)

    def teardown(self) -> None:
        """Live through the same again."""
        again = Bed(self.bed.policy)
        for name, args, fields in self.history:
            getattr(again, name)(*args, **fields)
        assert again.told == self.bed.told
        assert again.rows.tobytes() == self.bed.rows.tobytes()


TestLifeOfAlerts = LifeOfAlerts.TestCase
TestLifeOfAlerts.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# -- many at once


def test_many_rows_are_each_decided_on_as_alone() -> None:
    rng = np.random.default_rng(0)
    risks, known = rng.choice([0.01, 0.05, 0.08, 0.2, 0.35], (40, 6)), rng.random((40, 6)) < 0.4
    rows = np.concatenate([Bed().rows for _ in range(6)])
    rows["key"] = [b"p%d" % row for row in range(6)]
    together: dict[int, list[tuple[str, int]]] = {row: [] for row in range(6)}
    many = Alerts(rows, POLICY, lambda said: together[said.row].append((said.transition, said.at_ms)))
    alone = [Bed() for _ in range(6)]
    index = np.arange(6)
    for step in range(40):
        now = np.full(6, START + step * HOUR // 4)
        rows["clock_ms"], rows["risk"] = now, risks[step]
        many.arrived(index, now, now)
        many.observe(index, [0] * 6, now, risk=risks[step], assessable=known[step])
        for row, bed in enumerate(alone):
            bed.minute = step * 15
            bed.rows["clock_ms"], bed.rows["risk"] = now[row], risks[step, row]
            bed.alerts.arrived(np.array([0]), now[:1], now[:1])
            bed.alerts.observe(
                np.array([0]), [0], now[:1], risk=risks[step, row : row + 1], assessable=known[step, row : row + 1]
            )
    for row, bed in enumerate(alone):
        assert [name for name, _ in together[row]] == [event.transition for event in bed.told]
    assert {SEPSIS, BLIND} <= {kind for row in rows["episode"] for kind in np.flatnonzero(row).tolist()}
