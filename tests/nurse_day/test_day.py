"""The made-up day: as many beds and septic stays as asked for, and no hour beyond the day."""

from __future__ import annotations

import numpy as np

from models.cohort import read_cohort
from tests.nurse_day.__main__ import _DEMO, day_of


def test_a_day_has_the_beds_the_share_of_septic_stays_and_the_hours() -> None:
    whole = read_cohort(_DEMO)
    day = day_of(whole, 300, 0.02, 200, seed=1)
    assert day.n_stays == len(set(day.patient_ids)) == 300
    assert day.septic.sum() == 6
    short = day_of(whole, 30, 0.02, 12, seed=1)
    assert short.steps.max() < 12
    assert (short.lengths <= 12).all()
    assert short.offsets[-1] == len(short.values) == len(short.steps)
    known = {values.tobytes() for values in whole.values}
    assert all(values.tobytes() in known for values in np.asarray(short.values))
