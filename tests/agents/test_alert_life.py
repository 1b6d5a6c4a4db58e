"""The life of an alert whatever happens in whatever order: whole stories, and the same again in a replay."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs

from agents.episodes import KINDS, alert_id
from agents.messages import AlertEvent
from agents.moves import LOST, OPEN
from tests.agents.bed import POLICY, Bed
from tests.agents.logs import START
from tests.agents.plain_life import PlainLife


def of_sepsis(told: list[AlertEvent]) -> list[tuple[str, str]]:
    return [(event.transition, event.state) for event in told if event.kind == "sepsis_risk"]


class LifeOfAlerts(RuleBasedStateMachine):
    """Whatever happens in whatever order: whole stories, each move with a cause, and the same again in a replay."""

    def __init__(self) -> None:
        super().__init__()
        self.bed = Bed()
        self.plain = PlainLife(self.bed.policy)
        self.history: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    @initialize(latching=st.booleans(), minutes=st.sampled_from([0.0, 5.0]), refractory=st.sampled_from([0.0, 30.0]))
    def begin(self, latching: bool, minutes: float, refractory: float) -> None:
        """Take a policy."""
        policy = structs.replace(
            POLICY,
            latching=latching,
            latch_hours=2,
            raise_minutes=minutes,
            resolve_minutes=minutes,
            refractory_minutes=refractory,
        )
        self.bed, self.plain = Bed(policy), PlainLife(policy)
        for wait in (0.0, minutes):  # most that can happen happens to an alert
            self.something_is_measured(wait, 0.08, 80)

    def do(self, name: str, /, *args: Any, **fields: Any) -> list[AlertEvent]:
        """Let something happen; return what was told."""
        self.history.append((name, args, fields))
        before = len(self.bed.told)
        getattr(self.bed, name)(*args, **fields)
        told = self.bed.told[before:]
        assert all(event.cause for event in told)
        for event in told:
            self.plain.noted(self.bed.minute, event)
        return told

    @rule(minutes=st.sampled_from([1, 4, 10, 20, 31, 61, 121, 180]))
    def time_goes_by(self, minutes: float) -> None:
        """Nothing moves by itself."""
        assert self.do("pass_by", minutes) == []

    @rule(
        minutes=st.sampled_from([0, 1, 4, 5, 10, 21, 61]),
        risk=st.sampled_from([0.01, 0.039, 0.04, 0.059, 0.06, 0.08, 0.12, 0.2, 0.3, 0.5, None]),
        heart_rate=st.sampled_from([40, 80, 80, 150]),
    )
    def something_is_measured(self, minutes: float, risk: float | None, heart_rate: float) -> None:
        """Take an observation in, after a while."""
        self.do("pass_by", minutes)
        wanted = self.plain.measured(self.bed.minute, risk, heart_rate)
        told = self.do("see", risk, heart_rate)
        assert of_sepsis(told) == wanted
        for event in told:
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
        expected = self.plain.clock_said(self.bed.minute, due)
        told = self.do("clock", *sorted(due))
        assert of_sepsis(told) == expected
        for event in told:
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
        kind=st.sampled_from(KINDS + KINDS[:1] * 6),
        earlier=st.sampled_from([0] * 7 + [1]),
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
            if kind == "sepsis_risk":
                self.plain.obeyed(self.bed.minute, what[0], what[1])
        assert self.do("order", what[0], alert, name=answer.command_id, **what[1]) == []

    @rule(kind=st.sampled_from(KINDS), earlier=st.sampled_from([0, 0, 0, 1]))
    def somebody_says_what_nobody_can(self, kind: str, earlier: int) -> None:
        """Give a command that lacks what it needs, twice: it is refused once, and moves nothing."""
        number = KINDS.index(kind)
        alert = alert_id("p", "p-1", START, kind, int(self.bed.rows["episode"][0, number]) - earlier)
        was = self.bed.rows.copy()
        (answer,) = self.do("order_what_nobody_can", alert)
        assert (answer.transition, answer.reason, answer.alert_id) == ("rejected", "command_invalid", alert)
        assert answer.command_id == f"c{self.bed.commands}"
        was["commands"] = self.bed.rows["commands"]
        assert was.tobytes() == self.bed.rows.tobytes()
        assert self.do("order_what_nobody_can", alert, name=answer.command_id) == []

    @precondition(lambda self: self.plain.phase in {"active", "acknowledged", "snoozed"})
    @rule(
        what=st.sampled_from(
            [("snooze", {"minutes": 60}), ("mark", {"verdict": "already_treated"}), ("dismiss", {"reason": "no"})]
        ),
        then=st.lists(
            st.tuples(st.sampled_from([1, 5, 21]), st.sampled_from([0.05, 0.08, 0.12]), st.sampled_from([80, 150])),
            min_size=1,
            max_size=3,
        ),
    )
    def it_goes_on_after_an_answer(
        self, what: tuple[str, dict[str, Any]], then: list[tuple[float, float, float]]
    ) -> None:
        """Let somebody quieten the sepsis alert, and measure while it is quiet."""
        self.somebody_says(what, "sepsis_risk", 0, seen=True)
        for minutes, risk, heart_rate in then:
            self.something_is_measured(minutes, risk, heart_rate)

    @precondition(lambda self: self.bed.minute >= 240)
    @rule()
    def the_stay_ends(self) -> None:
        """Let it end: what is open expires, and nothing else is told."""
        still_open = {KINDS[kind] for kind in range(len(KINDS)) if self.bed.rows["phase"][0, kind] in OPEN}
        wanted = self.plain.over(self.bed.minute)
        told = self.do("end_stay")
        assert of_sepsis(told) == wanted
        assert {event.kind for event in told} == still_open
        assert {(event.transition, event.state) for event in told} <= {("expired", "ended")}
        assert self.do("end_stay") == []

    @invariant()
    def stories_are_whole(self) -> None:
        """Sequences have no gaps, stories begin and end once, and no two alerts of a kind are open."""
        sequences: dict[str, int] = {}
        state: dict[str, str] = {}
        latest: set[str] = set()
        kinds = {event.alert_id: event.kind for event in self.bed.told if event.transition != "rejected"}
        for event in self.bed.told:
            if event.transition == "rejected":  # of an earlier alert the state has forgotten how far it came
                assert event.sequence == (sequences[event.alert_id] if event.alert_id in latest else 0)
                continue
            if event.transition == "raised":
                latest = {alert for alert in latest if kinds[alert] != event.kind} | {event.alert_id}
            assert event.sequence == sequences.get(event.alert_id, 0) + 1
            assert (event.sequence == 1) == (event.transition == "raised")
            ended = state.get(event.alert_id) == "ended"
            assert not ended or event.transition == "marked"
            assert (event.state == "ended") == (ended or event.transition in {"resolved", "expired"})
            sequences[event.alert_id] = event.sequence
            state[event.alert_id] = event.state
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
TestLifeOfAlerts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
