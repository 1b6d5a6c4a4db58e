"""One plain sentence from the reasons of a risk, as one nurse would say it to another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from models.reasons import HOURS, SignReason
from models.vital_signs import NAMES, TEMPERATURE, VITAL_SIGNS

__all__ = ["measure", "summary"]

_MOST_SIGNS = 3
_LEAST = 0.05  # log-odds that are worth words: a twentieth of the odds
_SHARE_OF_FIRST = 0.25  # a sign that pushed less than this of what the first did is left out
# The least change worth words, in the sign's unit: above what charting and breathing make.
_WORTH_WORDS = dict(zip(NAMES, (5.0, 2.0, 0.3, 2.0, 8.0, 8.0, 8.0), strict=True))

NOTHING = f"no vital sign of the last {HOURS} hours pushed the risk up: it rests on the hours before"


def measure(sign: int, value: float) -> str:
    """Return a value of a vital sign, or a difference of two, with its unit: "1.4 °C", "8/min"."""
    unit = VITAL_SIGNS[sign].unit
    number = f"{value:.1f}" if sign == TEMPERATURE else f"{value:.0f}"
    return f"{number}{unit}" if unit.startswith("/") else f"{number} {unit}"


def summary(signs: Sequence[SignReason]) -> str:
    """Return what pushed the risk up: "temperature up 1.4 °C and respiratory rate up 8/min over 5 h".

    Names up to three vital signs, the strongest first, each by its change over these hours; by its distance from the
    patient's own mean where there is no such change; by its value where there is neither.
    """
    pushing = sorted((sign for sign in signs if sign.contribution >= _LEAST), key=lambda sign: -sign.contribution)
    if not pushing:
        return NOTHING
    enough = pushing[0].contribution * _SHARE_OF_FIRST
    chosen = [sign for sign in pushing[:_MOST_SIGNS] if sign.contribution >= enough]
    parts = []
    for end, group in groupby(map(_phrase, chosen), key=lambda phrase: phrase[1]):
        words = [text for text, _ in group]
        parts.append(" and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part) + end)
    return "; ".join(parts)


def _phrase(reason: SignReason) -> tuple[str, str]:
    """Return what is said of a vital sign, and how the sentence ends that it may share with others."""
    name = VITAL_SIGNS[reason.sign].label.lower()
    least = _WORTH_WORDS[NAMES[reason.sign]]
    apart = reason.now - reason.reference
    change = reason.change or 0.0
    # A fever that has come down a little is still a fever: a change back towards the mean is no reason.
    if abs(change) >= least and change * apart >= 0:
        return f"{name} {'up' if change > 0 else 'down'} {measure(reason.sign, abs(change))}", f" over {reason.hours} h"
    if reason.own and abs(apart) >= least:
        where = "above" if apart > 0 else "below"
        own = measure(reason.sign, abs(apart))
        return f"{name} {own} {where}", " this patient's own mean"
    return f"{name} at {measure(reason.sign, reason.now)}", ""
