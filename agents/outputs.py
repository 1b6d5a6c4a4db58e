"""What a chunk gives to the outside: alert events and risk scores, built from rows of state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from agents import episodes
from agents.messages import AlertEvent, ClosedStep, Doubt, DoubtReason, Identity, Reading, RiskScore, SourcePosition
from agents.policy import Policy
from agents.reasons import Told
from models import early_warning
from models.doubt import NO_SIGN, REASONS
from models.stay_model import StayModel
from models.vital_signs import NAMES

__all__ = ["Outputs", "utc"]

_MINUTE_MS = 60_000


def utc(time_ms: int) -> str:
    """Return epoch milliseconds as RFC 3339 in UTC; milliseconds only where there are any."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{time_ms % 1000:03d}Z" if time_ms % 1000 else f"{moment}Z"


class Outputs:
    """Builds messages that name this model and this policy."""

    def __init__(self, model: StayModel, policy: Policy) -> None:
        self._model = Identity(model.name, model.version, model.digest)
        self._policy = Identity(policy.name, policy.version, policy.digest)
        self._priority = policy.priority

    def alert(
        self,
        rows: NDArray[Any],
        row: int,
        transition: Literal["raised", "resolved"],
        *,
        risk: float,
        threshold: float,
        cause: str,
        told: Told,
        source: SourcePosition,
    ) -> AlertEvent:
        """Build the row's next alert event; its episode and sequence numbers have been moved already."""
        record = rows[row]
        stay = bytes(record["stay_id"]).decode()
        sequence = int(record["sequence"])
        patient, start_ms = bytes(record["key"]).decode(), int(record["start_ms"])
        alert = episodes.alert_id(patient, stay, start_ms, "sepsis_risk", int(record["episode"]))
        news2, qsofa, sirs = self._scores(rows, np.array([row]))[0]
        return AlertEvent(
            alert_id=alert,
            event_id=episodes.event_id(alert, sequence),
            sequence=sequence,
            transition=transition,
            state="ended" if transition == "resolved" else "active",
            kind="sepsis_risk",
            source="physiological",
            priority=self._priority,
            patient_id=patient,
            stay_id=stay,
            unit=bytes(record["unit"]).decode() or None,
            bed=bytes(record["bed"]).decode() or None,
            occurred_at=utc(int(record["clock_ms"])),
            published_at="",  # the shell knows the time
            risk=risk,
            threshold=threshold,
            cause=cause,
            vital_signs=_readings(record),
            reasons=told.reasons,
            news2_partial=news2,
            qsofa_partial=qsofa,
            sirs_partial=sirs,
            model=self._model,
            policy=self._policy,
            log=source,
            summary=told.summary,
            baseline_risk=told.baseline_risk,
            reasons_method=told.method,
            reasons_delta=told.delta,
            scores_disagreeing=early_warning.disagreeing(news2, qsofa, sirs, alarmed=transition != "resolved"),
        )

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
        partial = self._scores(rows, index)
        return [
            RiskScore(
                patient_id=bytes(rows["key"][row]).decode(),
                stay_id=bytes(rows["stay_id"][row]).decode(),
                time=utc(int(rows["clock_ms"][row])),
                step=int(rows["open_step"][row]),
                risk=float(risk[i]),
                closed=closed[i],
                assessable=bool(rows["assessable"][row]),
                ages_minutes={name: reading.age_minutes for name, reading in _readings(rows[row]).items()},
                news2_partial=partial[i][0],
                qsofa_partial=partial[i][1],
                sirs_partial=partial[i][2],
                model=self._model,
                source=SourcePosition(partition, int(rows["offset"][row])),
                ended=ended,
                doubt=_doubt(rows[row]),
            )
            for i, row in enumerate(index.tolist())
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


def _doubt(record: Any) -> Doubt | None:
    if record["assessable"]:
        return None
    sign = int(record["doubt_sign"])
    return Doubt(cast(DoubtReason, REASONS[record["doubt"]]), None if sign == NO_SIGN else NAMES[sign])


def _readings(record: Any) -> dict[str, Reading]:
    clock = int(record["clock_ms"])
    return {
        name: Reading(round(float(value), 2), (clock - int(when)) // _MINUTE_MS)
        for name, value, when in zip(NAMES, record["last_value"], record["last_ms"], strict=True)
        if not np.isnan(value)
    }
