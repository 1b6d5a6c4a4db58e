"""Risks of whole cohorts from files, by the code that scores the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.doubt import NO_SIGN, Doubts
from models.stay_model import StayModel
from models.timeline import Timeline

__all__ = ["Scored", "score_cohort"]

_BLOCK = 1024  # stays advanced together: their arrays fit a processor's cache


@dataclass(frozen=True)
class Scored:
    """One result for each row (R) of a cohort, in its order."""

    logit: NDArray[np.float64]  # before calibration
    risk: NDArray[np.float64]
    assessable: NDArray[np.bool_]  # there is no doubt whether the risk means something
    observed: NDArray[np.bool_]  # the row has at least one usable vital sign that the model sees
    doubt: Doubts


def score_cohort(
    model: StayModel,
    cohort: Cohort,
    progress: Callable[[int], None] | None = None,
    *,
    vitals: frozenset[str] | None = None,
    hide: frozenset[str] = frozenset(),
) -> Scored:
    """Return the risk of each row from that row and those before it in its stay.

    `vitals` and `hide` show the model only a part (see `step_input.masked`). `progress` is called with the number of
    rows that have been scored since the last call.
    """
    logit = np.zeros(cohort.n_rows)
    doubt = Doubts(np.zeros(cohort.n_rows, dtype=np.uint8), np.full(cohort.n_rows, NO_SIGN, dtype=np.int8))
    observed = np.zeros(cohort.n_rows, dtype=np.bool_)
    for hours in Timeline(cohort, vitals=vitals, hide=hide).blocks(_BLOCK):
        state = model.initial(_BLOCK)
        for hour in hours:
            n = len(hour.rows)
            state, logits = model.advance(state[:n], hour.inputs, keep_past=False)
            recorded = hour.rows >= 0
            rows = hour.rows[recorded]
            logit[rows] = logits[recorded]
            found = model.doubt(state, hour.inputs.step, hour.inputs.age_years)
            doubt.reason[rows], doubt.sign[rows] = found.reason[recorded], found.sign[recorded]
            observed[rows] = ~np.isnan(hour.inputs.values[recorded]).all(axis=1)
            if progress:
                progress(len(rows))
    return Scored(logit=logit, risk=model.risk(logit), assessable=doubt.assessable, observed=observed, doubt=doubt)
