"""What a chunk gives to the outside: alert events and risk scores, built from rows of state."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents import episodes
from agents.canary import is_canary
from agents.messages import (
    AlertEvent,
    ClosedStep,
    Command,
    Doubt,
    DoubtReason,
    Identity,
    Reading,
    RiskScore,
    SourcePosition,
)
from agents.moves import BLIND, LOST, PRIORITIES, SEPSIS, Moved, Phase
from agents.open_step import STEP_MS
from agents.policy import Policy
from agents.reasons import Told
from agents.rules import RowRules
from models import early_warning
from models.doubt import NO_SIGN, REASONS
from models.stay_model import StayModel
from models.vital_signs import NAMES

__all__ = ["Outputs", "explained", "utc"]

_MINUTE_MS = 60_000
_STATES: Final[dict[Phase, Literal["active", "acknowledged", "snoozed", "latched", "ended"]]] = {
    Phase.NONE: "ended",
    Phase.ACTIVE: "active",
    Phase.ACKNOWLEDGED: "acknowledged",
    Phase.SNOOZED: "snoozed",
    Phase.LATCHED: "latched",
    Phase.DISMISSED: "ended",
}


def utc(time_ms: int) -> str:
    """Return epoch milliseconds as RFC 3339 in UTC; milliseconds only where there are any."""
    minutes, rest = divmod(time_ms, _MINUTE_MS)
    second, rest = divmod(rest, 1000)
    return f"{_minute(minutes)}{second:02d}.{rest:03d}Z" if rest else f"{_minute(minutes)}{second:02d}Z"


@lru_cache(maxsize=4_096)
def _minute(minutes: int) -> str:
    """Return date, hour and minute from minutes since 1970; kept, because a chunk has few minutes and many times."""
    return datetime.fromtimestamp(minutes * 60, UTC).strftime("%Y-%m-%dT%H:%M:")


class Outputs:
    """Builds messages that name this model and the policy of the row."""

    def __init__(self, model: StayModel, rules: RowRules) -> None:
        self._model = Identity(model.name, model.version, model.digest)
        self._within_hours = model.manifest.assessable.within_hours
        self._rules = rules

    def alert(self, rows: NDArray[Any], moved: Moved, source: SourcePosition) -> AlertEvent:
        """Build the event of a transition that the row has made, without reasons."""
        record, kind, command = rows[moved.row], moved.kind, moved.command
        said = command if isinstance(command, Command) else None
        policy = self._rules.policy(moved.row)
        patient, stay = bytes(record["key"]).decode(), bytes(record["stay_id"]).decode()
        alert = episodes.alert_id(
            patient, stay, int(record["start_ms"]), episodes.KINDS[kind], int(record["episode"][kind])
        )
        sequence, phase = int(record["sequence"][kind]), Phase(record["phase"][kind])
        event = episodes.event_id(alert, sequence)
        if moved.refusal is not None and command is not None:
            sequence = sequence if alert == command.alert_id else 0
            alert, event = command.alert_id, episodes.rejection_id(patient, command.command_id)
        news2, qsofa, sirs = self._scores(rows, np.array([moved.row]))[0]
        return AlertEvent(
            alert_id=alert,
            event_id=event,
            sequence=sequence,
            transition=moved.transition,
            state=_STATES[phase] if sequence else "ended",
            kind=episodes.KINDS[kind],
            source="physiological" if kind == SEPSIS else "technical",
            priority=PRIORITIES[int(record["priority"][kind])],
            patient_id=patient,
            stay_id=stay,
            unit=bytes(record["unit"]).decode() or None,
            bed=bytes(record["bed"]).decode() or None,
            occurred_at=utc(moved.at_ms),
            published_at="",  # the shell knows the time
            risk=round(float(record["risk"]), 6) if kind == SEPSIS and not np.isnan(record["risk"]) else None,
            threshold=_threshold(policy, moved),
            cause=moved.cause,
            vital_signs=_readings(record, max(moved.at_ms, int(record["clock_ms"]))),
            reasons=[],
            news2_partial=news2,
            qsofa_partial=qsofa,
            sirs_partial=sirs,
            model=self._model,
            policy=Identity(policy.name, policy.version, policy.digest),
            log=source,
            raised_at=_time(record["raised_ms"][kind]) if sequence else None,
            since=_since(record, kind) if sequence else None,
            missing=_missing(record, kind, self._within_hours) if sequence else [],
            doubt=_doubt(record) if kind == BLIND and sequence else None,
            command_id=None if command is None else command.command_id,
            by=None if said is None else said.by,
            reason=moved.refusal or (None if said is None else said.reason),
            verdict=None if said is None else said.verdict,
            snoozed_until=_time(record["snooze_ms"][kind]) if phase == Phase.SNOOZED and sequence else None,
            held_until=_held_until(record) if kind == SEPSIS else None,
            scores_disagreeing=self._disagreeing(moved, news2, qsofa, sirs),
            test=is_canary(patient),
        )

    @staticmethod
    def _disagreeing(moved: Moved, news2: int, qsofa: int, sirs: int) -> list[str]:
        """Return which of the partial scores see the patient otherwise than the model."""
        if moved.kind != SEPSIS or moved.transition in {"rejected", "expired"}:
            return []
        return early_warning.disagreeing(news2, qsofa, sirs, alarmed=moved.transition != "resolved")

    def scores(
        self,
        rows: NDArray[Any],
        index: NDArray[np.intp],
        *,
        risk: NDArray[np.float64],
        closed: list[list[ClosedStep]],
        partition: int,
        ended: bool,
    ) -> list[RiskScore]:
        """Build one score for each of these rows."""
        patients = [key.decode() for key in rows["key"][index].tolist()]
        stays = [stay.decode() for stay in rows["stay_id"][index].tolist()]
        clock, known = rows["clock_ms"][index], ~np.isnan(rows["last_value"][index])
        ages = (clock[:, None] - rows["last_ms"][index]) // _MINUTE_MS
        assessable = rows["assessable"][index] > 0
        unsure = ~assessable | (rows["held_ms"][index] > clock)  # the few that need a closer look
        return [
            RiskScore(
                patient_id=patient,
                stay_id=stay,
                time=utc(time_ms),
                step=step,
                risk=value,
                closed=steps,
                assessable=sure,
                ages_minutes={
                    name: minutes for name, minutes, there in zip(NAMES, age, measured, strict=True) if there
                },
                news2_partial=news2,
                qsofa_partial=qsofa,
                sirs_partial=sirs,
                model=self._model,
                source=SourcePosition(partition, offset),
                ended=ended,
                doubt=_doubt(rows[row]) if closer else None,
                held_until=_held_until(rows[row]) if closer else None,
                test=is_canary(patient),
            )
            for row, patient, stay, time_ms, step, value, steps, sure, age, measured, (
                news2,
                qsofa,
                sirs,
            ), offset, closer in zip(
                index.tolist(),
                patients,
                stays,
                clock.tolist(),
                rows["open_step"][index].tolist(),
                risk.tolist(),
                closed,
                assessable.tolist(),
                ages.tolist(),
                known.tolist(),
                self._scores(rows, index),
                rows["offset"][index].tolist(),
                unsure.tolist(),
                strict=True,
            )
        ]

    def _scores(self, rows: NDArray[Any], index: NDArray[np.intp]) -> list[tuple[int, int, int]]:
        values = np.ascontiguousarray(rows["last_value"][index])
        return list(
            zip(
                early_warning.news2_partial(values).tolist(),
                early_warning.qsofa_partial(values).tolist(),
                early_warning.sirs_partial(values).tolist(),
                strict=True,
            )
        )


def _threshold(policy: Policy, moved: Moved) -> float | None:
    """Return the threshold that the transition is about."""
    if moved.kind != SEPSIS:
        return None
    return policy.resolve_threshold if moved.transition in {"resolved", "expired"} else policy.raise_threshold


def _doubt(record: Any) -> Doubt | None:
    if record["assessable"]:
        return None
    sign = int(record["doubt_sign"])
    return Doubt(cast(DoubtReason, REASONS[record["doubt"]]), None if sign == NO_SIGN else NAMES[sign])


def explained(event: AlertEvent, told: Told) -> AlertEvent:
    """Return the event with its reasons."""
    return msgspec.structs.replace(
        event,
        reasons=told.reasons,
        summary=told.summary,
        baseline_risk=told.baseline_risk,
        reasons_method=told.method,
        reasons_delta=told.delta,
    )


def _readings(record: Any, now_ms: int) -> dict[str, Reading]:
    """Return the vital signs as last known, with their ages at a time."""
    return {
        name: Reading(round(float(value), 2), (now_ms - int(when)) // _MINUTE_MS)
        for name, value, when in zip(NAMES, record["last_value"], record["last_ms"], strict=True)
        if not np.isnan(value)
    }


def _time(time_ms: Any) -> str | None:
    return utc(int(time_ms)) if time_ms else None


def _held_until(record: Any) -> str | None:
    """Return until when no sepsis alert of the stay is raised, while that is still to come."""
    return utc(int(record["held_ms"])) if record["held_ms"] > record["clock_ms"] else None


def _since(record: Any, kind: int) -> str | None:
    """Return since when there has been what a technical alert says."""
    if kind == LOST:
        return _time(record["arrived_ms"])
    return _time(record["told_ms"][BLIND]) if kind == BLIND else None


def _missing(record: Any, kind: int, within_hours: int) -> list[str]:
    """Return the vital signs that a technical alert is about.

    When nothing comes they are those of this stay, or all where none was ever measured. When the risk cannot be
    assessed they are those never measured, or too long ago for the model: steps are counted as in `models.doubt`.
    """
    if kind == SEPSIS:
        return []
    known = ~np.isnan(record["last_value"])
    steps = (record["last_ms"] - record["start_ms"]) // STEP_MS
    fresh = known & (int(record["open_step"]) - steps <= within_hours)
    wanted = ~fresh if kind == BLIND else known | (not known.any())
    return [name for name, is_one in zip(NAMES, wanted, strict=True) if is_one]
