"""The life of the alerts of many patients: observations, commands and the wall clock move it, and every move is told.

Pure: what happens to a row depends on the row, on what its log says next and on the policy of the patient's unit. An
alert of each kind lives in its own column of the state record. Observations are decided on for many rows at once, and
only rows that move are looked at one by one.

The life of an alert: none, then active; it may be acknowledged, snoozed, and with a latching policy latched (its
condition has gone before anybody acknowledged it); then none again. A dismissed alert has ended for everybody, but its
condition still holds: it is not raised again before the condition has gone, or has become worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import clock, episodes, obedience
from agents.control import ClockSaid, CommandFaulty, CommandSaid
from agents.moves import BLIND, HIGH, LOST, OPEN, SEPSIS, Moved, Moves, Phase, Seen, Transition
from agents.policy import Policy, milliseconds
from models.doubt import REASONS

__all__ = ["Alerts"]

_MINUTE_MS = 60_000
_DOUBTS = {
    "too_few": "too few vital signs were measured",
    "too_old": "the vital signs are too old",
    "unlike": "the vital signs are unlike those that the model learned from",
}
_Index = NDArray[np.intp]


class Alerts(Moves):
    """Says which alerts of rows of state records move, and why."""

    # -- observations

    def arrived(self, index: _Index, wall_ms: NDArray[np.int64], time_ms: NDArray[np.int64]) -> None:
        """Note that the log had something new of these rows, appended at `wall_ms`, about what was at `time_ms`.

        Only a patient whose data come about when they are taken is watched for silence: nobody waits for a replay.
        """
        rows = self.rows
        arrived = np.maximum(rows["arrived_ms"][index], wall_ms)
        rows["arrived_ms"][index] = arrived
        rows["live"][index] = arrived - time_ms <= self.rules.terms(index)["lost_ms"]

    def calm(
        self,
        index: _Index,
        clock_ms: NDArray[np.int64],
        *,
        risk: NDArray[np.float64],
        assessable: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Tell at which observations (N) of these rows nothing can move: no alert is on its way, none begins or ends.

        `clock_ms` is the patient's time at each. Where all of a row's observations up to one are calm, only where risk
        and doubt stand after the last of them is left to be noted. Doubtful cases are not calm.
        """
        rows, terms = self.rows, self.rules.terms(index)
        phase, on, turning = rows["phase"][index], rows["on"][index] > 0, rows["turning_ms"][index]
        shown = ((phase == Phase.ACTIVE) | (phase == Phase.ACKNOWLEDGED)) & on
        none = (phase == Phase.NONE) & ~on
        high = rows["priority"][index, SEPSIS] >= HIGH
        worse = ~high & (risk >= terms["escalate_threshold"])
        moved = np.abs(risk - rows["told_risk"][index].astype(np.float64)) >= terms["update_step"]
        quiet = none[:, SEPSIS] & (~assessable | (risk < terms["raise_threshold"]))
        goes_on = shown[:, SEPSIS] & (~assessable | ((risk >= terms["resolve_threshold"]) & ~worse & ~moved))
        wait = terms["blind_ms"]
        doubtful = ~assessable & (wait > 0)
        since = turning[:, BLIND]
        unclear = np.where(doubtful, (since > 0) & (clock_ms - since < wait), since == 0)
        blind = (none[:, BLIND] & unclear) | (shown[:, BLIND] & doubtful & (since == 0))
        return np.asarray((quiet | goes_on) & (turning[:, SEPSIS] == 0) & blind & none[:, LOST], dtype=np.bool_)

    def observe(
        self,
        index: _Index,
        places: Sequence[int],
        wall_ms: NDArray[np.int64],
        *,
        risk: NDArray[np.float64],
        assessable: NDArray[np.bool_],
    ) -> None:
        """Decide on these (distinct) rows after an observation each, which has moved risk and clock already.

        `wall_ms` (N,) is when the observations came into the log.
        """
        rows, terms, times = self.rows, self.rules.terms(index), self.rows["clock_ms"][index]
        on = rows["on"][index].astype(np.bool_)
        turning = rows["turning_ms"][index]
        septic = episodes.risk_turn(
            terms,
            on=on[:, SEPSIS],
            since_ms=turning[:, SEPSIS],
            risk=risk,
            assessable=assessable,
            ended_ms=rows["over_ms"][index, SEPSIS],
            held_ms=rows["held_ms"][index],
            clock_ms=times,
        )
        blind = self._blind_turn(terms["blind_ms"], on[:, BLIND], turning[:, BLIND], assessable, times)
        rows["turning_ms"][index, SEPSIS], rows["turning_ms"][index, BLIND] = septic.since_ms, blind.since_ms
        stirred = self._stirred(index, terms, risk, assessable)
        stirred |= septic.began | septic.ended | blind.began | blind.ended
        for at in np.flatnonzero(stirred).tolist():
            seen = Seen(places[at], int(index[at]), int(wall_ms[at]), float(risk[at]), bool(assessable[at]))
            if rows["on"][seen.row, LOST] and rows["live"][seen.row]:  # what comes hours late says nothing of now
                self.end(Moved(seen.place, seen.row, LOST, "resolved", int(times[at]), "something is measured again"))
            self._septic(seen, began=bool(septic.began[at]), ended=bool(septic.ended[at]))
            since = int(turning[at, BLIND]) or int(times[at])
            self._blind(seen, since, began=bool(blind.began[at]), ended=bool(blind.ended[at]))

    @staticmethod
    def _blind_turn(
        wait: Any,
        on: NDArray[np.bool_],
        since: NDArray[np.int64],
        assessable: NDArray[np.bool_],
        clock: NDArray[np.int64],
    ) -> episodes.Turn:
        doubtful = ~assessable & (wait > 0)
        always = np.ones_like(assessable)
        return episodes.turn(
            episodes.Waits(on_ms=wait),
            on=on,
            since_ms=since,
            high=doubtful,
            low=~doubtful,
            known=always,
            blocked=~always,
            clock_ms=clock,
        )

    def _stirred(
        self, index: _Index, terms: Any, risk: NDArray[np.float64], assessable: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return which rows may move though no episode of theirs begins or ends."""
        rows = self.rows
        phase = rows["phase"][index]
        septic = phase[:, SEPSIS]
        shown = assessable & ((septic == Phase.ACTIVE) | (septic == Phase.ACKNOWLEDGED))
        worse = (rows["priority"][index, SEPSIS] < HIGH) & (risk >= terms["escalate_threshold"])
        rose = (
            (septic == Phase.DISMISSED)
            & assessable
            & (risk >= rows["snooze_risk"][index].astype(np.float64) + terms["snooze_rise"])
        )
        stirred: NDArray[np.bool_] = (
            (shown & (worse | self._is_news(index, terms, risk)))
            | rose
            | (phase == Phase.SNOOZED).any(axis=1)
            | (septic == Phase.LATCHED)
            | (rows["on"][index, LOST] > 0)
        )
        return stirred

    def _is_news(self, index: _Index, terms: Any, risk: NDArray[np.float64]) -> NDArray[np.bool_]:
        rows = self.rows
        moved = np.abs(risk - rows["told_risk"][index].astype(np.float64)) >= terms["update_step"]
        waited = rows["clock_ms"][index] - rows["told_ms"][index, SEPSIS] >= terms["update_ms"]
        return np.asarray(moved & waited, dtype=np.bool_)

    def _septic(self, seen: Seen, *, began: bool, ended: bool) -> None:
        rows, policy, row = self.rows, self.rules.policy(seen.row), seen.row
        phase, at_ms = Phase(rows["phase"][row, SEPSIS]), int(rows["clock_ms"][row])
        if began and phase == Phase.LATCHED:
            self.put(row, SEPSIS, Phase.ACTIVE, on=1)
            self.move(
                seen, "updated", f"risk {seen.risk:.1%} is over the raise threshold again; nobody has seen it yet"
            )
        elif began:
            self.start(seen, SEPSIS, at_ms, _raise_cause(policy, seen.risk))
        elif ended:
            cause = f"risk {seen.risk:.1%} is below the lower threshold of {policy.resolve_threshold:.1%}"
            if policy.latching and policy.latch_hours and phase == Phase.ACTIVE:
                self.put(row, SEPSIS, Phase.LATCHED, on=0)
                self.move(seen, "updated", cause + "; kept until somebody acknowledges it")
            else:
                self.end(Moved(seen.place, row, SEPSIS, "resolved", at_ms, cause))
        elif phase in {Phase.SNOOZED, Phase.DISMISSED}:
            self._wake_by_risk(seen, phase)
        elif phase == Phase.LATCHED:
            if at_ms - int(rows["told_ms"][row, SEPSIS]) >= milliseconds(hours=policy.latch_hours):
                cause = f"nobody acknowledged it within {policy.latch_hours:g} h of the risk's fall"
                self.end(Moved(seen.place, row, SEPSIS, "resolved", at_ms, cause))
        elif phase and seen.assessable:
            self._news(seen)

    def _news(self, seen: Seen) -> None:
        rows, row, index = self.rows, seen.row, np.array([seen.row])
        limit = self.rules.policy(row).escalate_threshold
        if limit is not None and seen.risk >= limit and rows["priority"][row, SEPSIS] < HIGH:
            self.escalate(seen, HIGH, f"risk {seen.risk:.1%} reached the threshold of {limit:.1%} for a high priority")
        elif self._is_news(index, self.rules.terms(index), np.array([seen.risk]))[0]:
            before = float(rows["told_risk"][row])
            self.move(seen, "updated", f"risk went from {before:.1%} to {seen.risk:.1%}")

    def _wake_by_risk(self, seen: Seen, phase: Phase) -> None:
        """End a snooze, or raise anew what was dismissed, where the patient has become worse; or the time is over."""
        rows, row = self.rows, seen.row
        before = float(rows["snooze_risk"][row])
        rose = seen.assessable and seen.risk >= before + self.rules.policy(row).snooze_rise
        if phase == Phase.DISMISSED:
            if rose:
                cause = f"risk rose from {before:.1%}, at which the last alert was dismissed, to {seen.risk:.1%}"
                self.start(seen, SEPSIS, int(rows["clock_ms"][row]), cause)
            return
        critical = self.critical(row)
        crossed = critical & ~int(rows["critical"][row])
        rows["critical"][row] &= critical  # a sign that has come back may cross again
        priority = min(int(rows["priority"][row, SEPSIS]) + 1, HIGH)
        if rose:
            self.escalate(seen, priority, f"risk rose from {before:.1%}, at which it was snoozed, to {seen.risk:.1%}")
        elif crossed:
            self.escalate(seen, priority, "a vital sign has crossed a critical limit since the alert was snoozed")
        elif rows["clock_ms"][row] >= rows["snooze_ms"][row, SEPSIS]:
            self.wake(seen.place, row, SEPSIS, int(rows["clock_ms"][row]), seen.wall_ms)

    def critical(self, row: int) -> int:
        """Return which vital signs are beyond a critical limit as last known, one bit each."""
        values, terms = self.rows["last_value"][row], self.rules.terms(np.array([row]))
        beyond = ((values < terms["critical_low"]) | (values > terms["critical_high"])).reshape(-1)
        return int(sum(1 << sign for sign in np.flatnonzero(beyond).tolist()))

    def _blind(self, seen: Seen, since_ms: int, *, began: bool, ended: bool) -> None:
        rows, row = self.rows, seen.row
        at_ms = int(rows["clock_ms"][row])
        if began:
            rows["told_ms"][row, BLIND] = since_ms
            cause = f"the risk has meant nothing for {(at_ms - since_ms) // _MINUTE_MS} minutes: {self._doubt(row)}"
            self.start(seen, BLIND, at_ms, cause)
        elif ended:
            self.end(Moved(seen.place, row, BLIND, "resolved", at_ms, "the risk means something again"))
        elif rows["phase"][row, BLIND] == Phase.SNOOZED and at_ms >= rows["snooze_ms"][row, BLIND]:
            self.wake(seen.place, row, BLIND, at_ms, seen.wall_ms)

    def _doubt(self, row: int) -> str:
        return _DOUBTS.get(REASONS[self.rows["doubt"][row]], "too little is known of the patient")

    # -- the wall clock

    def clock(self, place: int, row: int, said: ClockSaid) -> None:
        """Act on what the wall clock said, as far as it is still true."""
        rows, now_ms, terms = self.rows[row : row + 1], said.time_ms, self.rules.terms(np.array([row]))
        if "monitoring_lost" in said.due and clock.is_silent(rows, now_ms, terms)[0]:
            self._lose(place, row, now_ms)
        over, late = clock.snoozes_over(rows, now_ms)[0], clock.waits_too_long(rows, now_ms, terms)[0]
        for kind in range(len(episodes.KINDS)):
            if "snooze_over" in said.due and over[kind]:
                self.wake(place, row, kind, now_ms, now_ms)
            elif "escalate" in said.due and late[kind]:
                self.rows["priority"][row, kind] += 1
                self.rows["waiting_ms"][row, kind] = now_ms
                cause = f"nobody has acknowledged it for {self.rules.policy(row).acknowledge_minutes:g} minutes"
                self.tell(Moved(place, row, kind, "escalated", now_ms, cause))

    def _lose(self, place: int, row: int, at_ms: int) -> None:
        rows = self.rows
        silent_minutes = (at_ms - int(rows["arrived_ms"][row])) / _MINUTE_MS
        what = "nothing new" if rows["last_ms"][row].any() else "nothing since the admission"
        cause = f"{what} has come of the patient for {silent_minutes:.3g} minutes"
        self.start(Seen(place, row, at_ms, float(rows["risk"][row]), assessable=False), LOST, at_ms, cause)

    # -- people

    def obey(self, place: int, row: int, said: CommandSaid | CommandFaulty, wall_ms: int) -> bool:
        """Do what a command says, or tell why not; return whether a hold on sepsis alerts began.

        One that the log has had before changes nothing and is not answered again.
        """
        rows, command = self.rows, said.command
        if obedience.repeats(rows, row, said):
            return False
        obedience.remember(rows, row, said)
        if isinstance(said, CommandFaulty):
            kind, why = obedience.named_kind(rows, row, command), said.rejection
            self.answer(Moved(place, row, kind, "rejected", said.time_ms, why.detail, command, why.reason))
            return False
        kind, refusal = obedience.meant(rows, row, said, self.rules.policy(row))
        if refusal is not None:
            self.answer(Moved(place, row, kind, "rejected", said.time_ms, refusal[1], command, refusal[0]))
            return False
        moved = self._obeyed(row, kind, said, wall_ms)
        self.tell(Moved(place, row, kind, moved[0], said.time_ms, moved[1], command))
        return said.command.verdict == "already_treated"

    def _obeyed(self, row: int, kind: int, said: CommandSaid, wall_ms: int) -> tuple[Transition, str]:
        """Change the row as a possible command says; return the transition and its cause."""
        rows, command, policy = self.rows, said.command, self.rules.policy(row)
        phase = Phase(rows["phase"][row, kind])
        if command.type in {"acknowledge", "snooze"} and phase == Phase.LATCHED:
            self.over(row, kind, said.time_ms)  # it waited for somebody to see it, and there is nothing left to snooze
            return "resolved", "somebody has seen it after the risk had fallen"
        if command.type == "acknowledge":
            self.put(row, kind, Phase.ACKNOWLEDGED)
            return "acknowledged", "somebody has seen it"
        if command.type == "snooze":
            self.put(row, kind, Phase.SNOOZED)
            rows["snooze_ms"][row, kind] = said.time_ms + milliseconds(minutes=command.minutes or 0.0)
            # Of a patient whose data come at once a late command is one of now, too: where nothing more comes, no event
            # time would ever end the snooze.
            rows["snooze_live"][row, kind] = obedience.given_now(said, wall_ms) or bool(rows["live"][row])
            if kind == SEPSIS:
                rows["snooze_risk"][row], rows["critical"][row] = rows["risk"][row], self.critical(row)
            return "snoozed", f"snoozed for {command.minutes:g} minutes"
        if command.type == "dismiss":
            self.over(row, kind, said.time_ms, on=int(rows["on"][row, kind]))
            if kind == SEPSIS:
                rows["snooze_risk"][row] = rows["risk"][row]
            return "resolved", f"dismissed: {command.reason}"
        if command.verdict != "already_treated":
            return "marked", f"marked as {command.verdict}"
        rows["held_ms"][row] = int(rows["clock_ms"][row]) + milliseconds(hours=policy.treated_hours)
        self.over(row, kind, said.time_ms if phase in OPEN else int(rows["over_ms"][row, kind]))
        cause = f"already treated: no sepsis alert for {policy.treated_hours:g} h"
        return ("resolved" if phase in OPEN else "marked"), cause

    # -- the stay's end

    def end_stay(self, place: int, row: int, at_ms: int, cause: str) -> None:
        """End what is open: the stay is over, which does not say that its reason is."""
        for kind in range(len(episodes.KINDS)):
            self.end(Moved(place, row, kind, "expired", at_ms, cause))


def _raise_cause(policy: Policy, risk: float) -> str:
    threshold, minutes = policy.raise_threshold, policy.raise_minutes
    if minutes:
        return f"risk {risk:.1%} has not been below the raise threshold of {threshold:.1%} for {minutes:g} minutes"
    return f"risk {risk:.1%} reached the raise threshold of {threshold:.1%}"
