"""The reasons of a risk as an alert event carries them: rounded, strongest first, or withheld."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.messages import Reason
from models.reasons import METHOD, Explanation
from models.summary import summary
from models.vital_signs import NAMES

__all__ = ["Told", "tell"]

_DIGITS = 3  # decimals of log-odds
_WITHHELD = "the reasons are withheld: they miss {missing:.2f} of the log-odds that they should explain"


@dataclass(frozen=True)
class Told:
    """What an alert event says of its reasons; nothing, where it has none."""

    reasons: list[Reason] = field(default_factory=list)
    summary: str | None = None
    baseline_risk: float | None = None
    method: str | None = None
    delta: float | None = None


def tell(explanation: Explanation) -> Told:
    """Return the reasons as they are published; none where they do not add up (`Explanation.sound`)."""
    missing = explanation.delta + explanation.gap
    delta = _rounded(missing)
    if not explanation.sound:
        return Told(summary=_WITHHELD.format(missing=abs(missing)), method=METHOD, delta=delta)
    reasons = [
        Reason(
            vital_sign=NAMES[sign.sign],
            contribution=_rounded(sign.contribution),
            by_hour=[_rounded(by) for by in sign.by_hour],
            hours=sign.hours,
            now=sign.now,
            baseline=sign.reference if sign.own else None,
            change=sign.change,
        )
        for sign in explanation.signs
    ]
    return Told(
        reasons=sorted(
            (reason for reason in reasons if reason.contribution), key=lambda reason: -abs(reason.contribution)
        ),
        summary=summary(explanation.signs),
        baseline_risk=explanation.baseline_risk,
        method=METHOD,
        delta=delta,
    )


def _rounded(log_odds: float) -> float:
    return round(log_odds, _DIGITS) + 0.0  # no -0.0
