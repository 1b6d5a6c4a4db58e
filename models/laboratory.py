"""Laboratory values: what the teacher of a training run sees beside the vital signs; no model at the bedside does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort, read_columns

__all__ = ["COLUMNS", "Laboratory", "read_laboratory"]

F32 = NDArray[np.float32]

# By their challenge names; all but those of `_AS_THEY_ARE` are spread over orders of magnitude and taken as logarithms.
COLUMNS = (
    *("EtCO2", "BaseExcess", "HCO3", "FiO2", "pH", "PaCO2", "SaO2", "AST", "BUN", "Alkalinephos", "Calcium"),
    *("Chloride", "Creatinine", "Bilirubin_direct", "Glucose", "Lactate", "Magnesium", "Phosphate", "Potassium"),
    *("Bilirubin_total", "TroponinI", "Hct", "Hgb", "PTT", "WBC", "Fibrinogen", "Platelets"),
)
_AS_THEY_ARE = ("BaseExcess", "pH", "FiO2", "SaO2")
_BOUND = 5.0
_OLD_HOURS = 48


@dataclass(frozen=True)
class Laboratory:
    """The values of a cohort's rows (R, 27) as they were reported, NaN where there was none."""

    values: F32

    def rows(self, keep: NDArray[np.bool_]) -> Laboratory:
        """Return those of the rows where `keep` (R) is true."""
        return Laboratory(self.values[keep])

    def features(self, cohort: Cohort) -> F32:
        """Return, for each row, the last known values as z-scores and how recent they are (R, 54); 0 if never seen."""
        scaled = self.values.copy()
        for column, name in enumerate(COLUMNS):
            if name not in _AS_THEY_ARE:
                scaled[:, column] = np.log1p(np.maximum(scaled[:, column], 0))
        known = ~np.isnan(scaled)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, scaled, 0).sum(axis=0, dtype=np.float64) / count
        deviation = np.sqrt(np.where(known, (scaled - mean) ** 2, 0).sum(axis=0) / count)
        scaled = np.clip((scaled - mean) / np.maximum(deviation, np.finfo(np.float32).tiny), -_BOUND, _BOUND)
        last = np.maximum.accumulate(np.where(known, np.arange(len(scaled))[:, None], -1), axis=0)
        ever = last >= np.repeat(cohort.offsets[:-1], cohort.lengths)[:, None]
        level = np.where(ever, np.take_along_axis(scaled, np.maximum(last, 0), axis=0), 0)
        age = cohort.steps[:, None] - cohort.steps[np.maximum(last, 0)]
        recency = np.where(ever, 1 - np.log1p(np.clip(age, 0, _OLD_HOURS)) / np.log1p(_OLD_HOURS), 0)
        return np.concatenate([level, recency], axis=1).astype(np.float32)


def read_laboratory(path: Path) -> Laboratory | None:
    """Return the laboratory values of a file's rows, in the order of `read_cohort`; None where it has none.

    Raises CohortError where a column is not of numbers.
    """
    values = read_columns(path, COLUMNS)
    return None if np.isnan(values).all() else Laboratory(values)
