"""One patient whose alerts are driven by hand: risks, commands and the wall clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.alerts import Alerts
from agents.control import ClockSaid, CommandFaulty, CommandSaid
from agents.messages import AlertEvent, Command, NamedCommand, SourcePosition
from agents.moves import Moved
from agents.outputs import Outputs
from agents.policy import Bounds, Policy
from agents.record import RecordLayout
from agents.rejection import Rejection
from agents.rules import RowRules, Rules
from tests.agents.logs import HOUR, MINUTE, MODEL, START

__all__ = ["LAYOUT", "POLICY", "Bed"]

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
        rules = RowRules(Rules(self.policy), self.rows)
        outputs = Outputs(MODEL, rules)

        def tell(said: Moved) -> None:
            self.told.append(outputs.alert(self.rows, said, SourcePosition(0, said.place)))

        self.alerts = Alerts(self.rows, rules, tell)

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
        self.rows["clock_ms"], self.rows["open_step"] = self.now_ms, (self.now_ms - START) // HOUR
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

    def end_stay(self) -> Bed:
        """End the stay; what comes after it is decided on as in the next."""
        self.alerts.end_stay(0, 0, self.now_ms, "the stay ended: discharged")
        return self

    def order(self, kind: str, of: str | None = None, *, name: str | None = None, **fields: Any) -> Bed:
        """Give a command on the last alert, or on the one that is named."""
        self.commands += 1
        alert = of or self.told[-1].alert_id
        said = Command(name or f"c{self.commands}", "p", alert, kind, "", **fields)  # type: ignore[arg-type]
        self.alerts.obey(0, 0, CommandSaid("p", self.now_ms, said), self.now_ms)
        return self

    def order_what_nobody_can(self, of: str, *, name: str | None = None) -> Bed:
        """Give a command on an alert that lacks what its type needs."""
        self.commands += 1
        named = NamedCommand(name or f"c{self.commands}", "p", of)
        why = Rejection("command_invalid", "a snooze command needs minutes")
        self.alerts.obey(0, 0, CommandFaulty("p", self.now_ms, named, why), self.now_ms)
        return self

    def story(self) -> list[tuple[str, str]]:
        """Transition and state of all that was told."""
        return [(event.transition, event.state) for event in self.told]
