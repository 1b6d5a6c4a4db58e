"""Early-warning scores from vital signs alone: the baselines that are shown beside the model.

All are partial: consciousness, supplemental oxygen and laboratory values are not vital signs that a monitor sends, so
a score here is a lower bound of the score a nurse would chart, and is always labelled partial. A vital sign that is
not known gives no points. Values are rounded to the resolution of the chart (whole numbers; tenths of a degree), half
up, before they are looked up, so that a median of 20.5 breaths has one row of the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.vital_signs import (
    HEART_RATE,
    N_VITAL_SIGNS,
    OXYGEN_SATURATION,
    RESPIRATORY_RATE,
    SYSTOLIC_BP,
    TEMPERATURE,
)

__all__ = [
    "NEWS2_SIGNS",
    "disagreeing",
    "mews_partial",
    "news2_partial",
    "news2_points",
    "qsofa_partial",
    "sirs_partial",
]


@dataclass(frozen=True)
class _Chart:
    """One row of a scoring chart: the lowest value of each band but the first, and the points of each band."""

    sign: int
    from_values: tuple[float, ...]
    points: tuple[int, ...]
    per_unit: int = 1  # 10: the chart has tenths

    def score(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the points (N,) of this row's vital sign; 0 where it is missing."""
        column = values[:, self.sign]
        charted = np.floor(column * np.float32(self.per_unit) + np.float32(0.5))
        band = np.searchsorted(np.array(self.from_values, dtype=np.float32) * self.per_unit, charted, side="right")
        points = np.array((*self.points, 0), dtype=np.int64)[band]
        return np.where(np.isnan(column), np.int64(0), points)


# Royal College of Physicians, National Early Warning Score (NEWS) 2, London 2017; SpO2 scale 1.
_NEWS2 = (
    _Chart(HEART_RATE, (41, 51, 91, 111, 131), (3, 1, 0, 1, 2, 3)),
    _Chart(RESPIRATORY_RATE, (9, 12, 21, 25), (3, 1, 0, 2, 3)),
    _Chart(TEMPERATURE, (35.1, 36.1, 38.1, 39.1), (3, 1, 0, 1, 2), per_unit=10),
    _Chart(OXYGEN_SATURATION, (92, 94, 96), (3, 2, 1, 0)),
    _Chart(SYSTOLIC_BP, (91, 101, 111, 220), (3, 2, 1, 0, 3)),
)
NEWS2_SIGNS: tuple[int, ...] = tuple(chart.sign for chart in _NEWS2)

# Subbe CP et al., Validation of a modified Early Warning Score in medical admissions, QJM 94:521-526 (2001).
_MEWS = (
    _Chart(SYSTOLIC_BP, (71, 81, 101, 200), (3, 2, 1, 0, 2)),
    _Chart(HEART_RATE, (41, 51, 101, 111, 130), (2, 1, 0, 1, 2, 3)),
    _Chart(RESPIRATORY_RATE, (9, 15, 21, 30), (2, 0, 1, 2, 3)),
    _Chart(TEMPERATURE, (35.0, 38.5), (2, 0, 2), per_unit=10),
)

# Singer M et al., The Third International Consensus Definitions for Sepsis, JAMA 315:801-810 (2016).
_QSOFA_BREATHS_FROM = 22
_QSOFA_SYSTOLIC_TO = 100

# Bone RC et al., Definitions for sepsis and organ failure, Chest 101:1644-1655 (1992).
_SIRS_FEVER_OVER = 38.0
_SIRS_COLD_UNDER = 36.0
_SIRS_HEART_OVER = 90
_SIRS_BREATHS_OVER = 20


def news2_points(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the NEWS2 points (N, 7) of each vital sign in `values` (N, 7); diastolic and mean pressure have none."""
    points = np.zeros((len(values), N_VITAL_SIGNS), dtype=np.int64)
    for chart in _NEWS2:
        points[:, chart.sign] = chart.score(values)
    return points


def news2_partial(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the partial NEWS2 (N,) of values (N, 7): five of its seven parameters, at most 15 of 20 points."""
    return sum((chart.score(values) for chart in _NEWS2), np.zeros(len(values), dtype=np.int64))


def qsofa_partial(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the partial qSOFA (N,), 0 to 2 of 3, without mentation."""
    return _count(
        values[:, RESPIRATORY_RATE] >= _QSOFA_BREATHS_FROM,
        values[:, SYSTOLIC_BP] <= _QSOFA_SYSTOLIC_TO,
    )


def sirs_partial(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the partial SIRS (N,), 0 to 3 of 4, without white cells and PaCO2."""
    temperature = values[:, TEMPERATURE]
    return _count(
        (temperature > _SIRS_FEVER_OVER) | (temperature < _SIRS_COLD_UNDER),
        values[:, HEART_RATE] > _SIRS_HEART_OVER,
        values[:, RESPIRATORY_RATE] > _SIRS_BREATHS_OVER,
    )


def mews_partial(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the partial MEWS (N,) without the level of consciousness: at most 11 of 14 points."""
    return sum((chart.score(values) for chart in _MEWS), np.zeros(len(values), dtype=np.int64))


def disagreeing(news2: int, qsofa: int, sirs: int, *, alarmed: bool) -> list[str]:
    """Return which partial scores see a patient otherwise than an alarm, or its end, does.

    A score alarms from 5 points of NEWS2 (urgent response, RCP 2017), 2 of qSOFA and 2 of SIRS. One that does not may
    lack only what no monitor sends.
    """
    scores = (("news2_partial", news2, 5), ("qsofa_partial", qsofa, 2), ("sirs_partial", sirs, 2))
    return [name for name, points, alarms_from in scores if (points >= alarms_from) != alarmed]


def _count(*criteria: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many criteria hold for each row; a comparison with a missing value does not hold."""
    return sum((criterion.astype(np.int64) for criterion in criteria), np.zeros(len(criteria[0]), dtype=np.int64))
