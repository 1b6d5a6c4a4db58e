"""A second, plain writing of the life of one patient's sepsis alert, in minutes: all that must be told."""

from __future__ import annotations

import numpy as np

from agents.messages import AlertEvent
from agents.policy import Policy

__all__ = ["PlainLife"]

Said = list[tuple[str, str]]  # transition and state
_OPEN = {"active", "acknowledged", "snoozed", "latched"}
_ON = {"active", "acknowledged", "snoozed", "dismissed"}  # the condition holds as far as is known


class PlainLife:
    """Knows what was measured, said and told, and says what an observation, a word of the clock or an end must tell."""

    def __init__(self, policy: Policy) -> None:
        """Begin with nothing known; the heart rate alone has critical limits."""
        self._policy = policy
        self.phase, self.priority = "none", "medium"
        self._turning: float | None = None  # since when what is measured speaks for the other side
        self._clock, self._held_until = 0.0, 0.0  # the time of the last observation; until when nothing is raised
        self._over: float | None = None  # when the last alert ended
        self._fell = self._until = 0.0  # when a latched alert's risk fell; the end of a snooze
        self._risk_then = 0.0  # at the snooze or dismissal
        self._risk_told, self._told = 0.0, 0.0
        self._risk, self._beyond, self._noted = 0.0, False, False  # as last known; beyond at the snooze, and ever since
        self._waiting: dict[str, float] = {}  # since when nobody has acknowledged, by kind

    # -- an observation

    def measured(self, now: float, risk: float | None, heart_rate: float) -> Said:
        """Return what an observation must tell of the sepsis alert; a risk of None means nothing."""
        limits = self._policy.critical["heart_rate"]
        self._beyond = heart_rate < (limits.low or 0) or heart_rate > (limits.high or np.inf)
        self._clock, self._risk = now, 0.05 if risk is None else risk
        if self._has_turned(now, risk):
            self._turning = None
            return self._turn(now, self._risk)
        if self.phase in {"snoozed", "dismissed"}:
            return self._woken(now, risk)
        if self.phase == "latched":
            return self._ended(now) if now - self._fell >= 60 * self._policy.latch_hours else []
        return [] if risk is None or self.phase == "none" else self._news(now, risk)

    def _has_turned(self, now: float, risk: float | None) -> bool:
        on, policy = self.phase in _ON, self._policy
        if risk is None:
            return False
        if not (risk < policy.resolve_threshold if on else risk >= policy.raise_threshold):
            self._turning = None
            return False
        self._turning = now if self._turning is None else self._turning
        if on:
            return now - self._turning >= policy.resolve_minutes
        rests = self._over is not None and now < self._over + policy.refractory_minutes
        return now - self._turning >= policy.raise_minutes and now >= self._held_until and not rests

    def _turn(self, now: float, risk: float) -> Said:
        if self.phase == "none":
            return self._raised(now, risk)
        if self.phase == "latched":
            return self._moved("updated", "active", now, risk)
        if self.phase == "active" and self._policy.latching:
            self._fell = now
            return self._moved("updated", "latched", now, risk)
        return self.over(now) if self.phase == "dismissed" else self._ended(now)

    def _woken(self, now: float, risk: float | None) -> Said:
        rose = risk is not None and risk >= float(np.float32(self._risk_then)) + self._policy.snooze_rise
        if self.phase == "dismissed":
            return self._raised(now, self._risk) if rose else []
        crossed = self._beyond and not self._noted
        self._noted = self._noted and self._beyond  # a sign that came back may cross again
        if rose or crossed:
            return self._escalated(now, self._risk)
        return self._wakes() if now >= self._until else []

    def _news(self, now: float, risk: float) -> Said:
        limit, policy = self._policy.escalate_threshold, self._policy
        if limit is not None and risk >= limit and self.priority != "high":
            return self._escalated(now, risk)
        moved = abs(risk - float(np.float32(self._risk_told))) >= policy.update_step
        return (
            self._moved("updated", self.phase, now, risk) if moved and now - self._told >= policy.update_minutes else []
        )

    # -- the clock, people, and the end

    def clock_said(self, now: float, due: set[str]) -> Said:
        """Return what a word of the clock must tell of the sepsis alert."""
        if "snooze_over" in due and self.phase == "snoozed" and now >= self._until:
            return self._wakes()
        late = now - self._waiting.get("sepsis_risk", now) >= self._policy.acknowledge_minutes
        return [("escalated", "active")] if self._unseen(due) and late else []

    def _unseen(self, due: set[str]) -> bool:
        return "escalate" in due and self.phase == "active" and self.priority != "high"

    def obeyed(self, now: float, what: str, fields: dict[str, object]) -> None:
        """Take in that a command for the sepsis alert was obeyed."""
        if what in {"acknowledge", "snooze"}:
            if self.phase == "latched":
                self._ended(now)
            else:
                self.phase = "snoozed" if what == "snooze" else "acknowledged"
            self._until, self._noted = now + float(str(fields.get("minutes", 0))), self._beyond
            self._risk_then = self._risk
        elif what == "dismiss":
            still = self.phase in _ON
            self._ended(now)
            self.phase, self._risk_then = "dismissed" if still else "none", self._risk
        elif fields["verdict"] == "already_treated":
            self._held_until = self._clock + 60 * self._policy.treated_hours
            self.over(now)

    def over(self, now: float) -> Said:
        """Let the alert be over whatever it was; return what the end of the stay tells."""
        if self.phase in _OPEN:
            self._ended(now)
            return [("expired", "ended")]
        self.phase, self._turning = "none", None
        return []

    def noted(self, now: float, event: AlertEvent) -> None:
        """Take in what was told, of any kind: its priority, and since when it waits for somebody."""
        if event.kind == "sepsis_risk":
            self.priority = event.priority
        if event.transition in {"raised", "escalated"} or event.cause == "the snooze is over":
            self._waiting[event.kind] = now

    # -- moves

    def _raised(self, now: float, risk: float) -> Said:
        self._turning = None
        return self._moved("raised", "active", now, risk)

    def _escalated(self, now: float, risk: float) -> Said:
        return self._moved("escalated", "active", now, risk)

    def _wakes(self) -> Said:
        self.phase = "active"
        return [("updated", "active")]

    def _moved(self, transition: str, state: str, now: float, risk: float) -> Said:
        self.phase, self._told, self._risk_told = state, now, risk
        return [(transition, state)]

    def _ended(self, now: float) -> Said:
        self.phase, self._turning, self._over = "none", None, now
        return [("resolved", "ended")]
