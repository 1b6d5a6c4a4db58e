"""Alarm figures of stays made by hand, where every number can be counted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.alarm_figures import AlertCourse, alarm_figures, leads, repeated_alerts
from models.cohort import Cohort
from models.onset import onset_steps
from models.resampling import Resamples
from models.vital_signs import N_VITAL_SIGNS


def cohort(*stays: tuple[int, int | None]) -> Cohort:
    """Return stays of so many hours, with the first positive label at an hour, or none."""
    lengths = [hours for hours, _ in stays]
    labels = [np.zeros(hours) if first is None else (np.arange(hours) >= first).astype(float) for hours, first in stays]
    n = len(stays)
    return Cohort(
        patient_ids=tuple(f"p{stay}" for stay in range(n)),
        hospitals=("A",) * n,
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        values=np.full((sum(lengths), N_VITAL_SIGNS), np.nan, dtype=np.float32),
        steps=np.concatenate([np.arange(hours) for hours in lengths]).astype(np.int32),
        labels=np.concatenate(labels).astype(np.uint8),
        age_years=np.full(n, 60, dtype=np.float32),
        sex=np.zeros(n, dtype=np.float32),
        hospital_hours=np.zeros(n, dtype=np.float32),
        unit_type=np.zeros(n, dtype=np.int8),
    )


def course(stays: Cohort, *episodes: tuple[int, int, int]) -> AlertCourse:
    """Return alerts as (stay, first hour, last hour)."""
    raised = np.zeros(stays.n_rows, dtype=np.bool_)
    is_open = np.zeros(stays.n_rows, dtype=np.bool_)
    for stay, first, last in episodes:
        start = int(stays.offsets[stay])
        raised[start + first] = True
        is_open[start + first : start + last + 1] = True
    return AlertCourse(raised, is_open)


def values(stays: Cohort, alerts: AlertCourse, first_hours: int | None = None) -> dict[str, float]:
    found = alarm_figures(stays, alerts, Resamples.draw(stays.n_stays, 20, 0), first_hours=first_hours)
    return {name: figure.value for name, figure in found.items()}


def test_onset_is_six_hours_after_the_first_label() -> None:
    stays = cohort((30, 20), (10, None), (5, 0))
    onset: NDArray[np.float64] = onset_steps(stays)
    assert onset.tolist() == [26, np.inf, 6]


def test_every_figure_of_a_small_ward() -> None:
    # Onsets at 26 (window 14 to 29), 26 and 26; two stays without sepsis.
    stays = cohort((40, 20), (40, 20), (27, 20), (48, None), (24, None))
    alerts = course(
        stays,
        *((0, 5, 16), (0, 35, 38)),  # open when the window begins; the second is behind it and not counted
        *((1, 2, 3), (1, 24, 25)),  # one too early, one two hours before
        *((3, 10, 12), (3, 20, 47)),
    )
    found = values(stays, alerts)
    assert found["septic_alerted"] == pytest.approx(2 / 3)
    assert found["septic_alerted_6h_early"] == pytest.approx(1 / 3)
    assert found["septic_raised_in_window"] == pytest.approx(1 / 3)
    assert found["septic_raised_6h_early"] == 0
    assert found["ppv_episode"] == pytest.approx(2 / 5)
    assert found["ppv_episode_raised_in_window"] == pytest.approx(1 / 5)
    assert found["ppv_stay"] == pytest.approx(2 / 3)
    assert found["episodes_per_patient_day"] == pytest.approx(5 * 24 / (30 + 30 + 27 + 48 + 24))
    assert found["episodes_per_patient_day_septic"] == pytest.approx(3 * 24 / 87)
    assert found["episodes_per_patient_day_other"] == pytest.approx(2 * 24 / 72)
    assert found["other_ever_alerted"] == pytest.approx(1 / 2)
    assert (found["lead_hours_lower_quartile"], found["lead_hours_median"]) == (4.5, 7)  # of 12 and 2
    assert found["raised_lead_hours_median"] == 2


def test_the_first_hours_leave_straddling_stays_out() -> None:
    # Onsets at 40 (inside), 55 (its window is cut by the limit) and 76 (wholly behind it), and none.
    stays = cohort((50, 34), (60, 49), (80, 70), (60, None))
    alerts = course(stays, (0, 30, 31), (1, 0, 50), (2, 10, 70), (3, 47, 59))
    found = values(stays, alerts, first_hours=48)
    assert found["septic_alerted"] == 1
    assert found["ppv_episode"] == pytest.approx(1 / 3)
    assert found["other_ever_alerted"] == 1
    assert found["episodes_per_patient_day"] == pytest.approx(3 * 24 / (44 + 48 + 48))


def test_without_alerts_there_is_no_lead() -> None:
    stays = cohort((40, 20), (40, None))
    found = values(stays, course(stays))
    assert found["septic_alerted"] == 0
    assert np.isnan(found["ppv_episode"])
    assert np.isnan(found["lead_hours_median"])


def test_repeats_come_every_six_hours_while_flagged() -> None:
    stays = cohort((20, None), (9, None))
    flags = np.ones(29, dtype=np.bool_)
    flags[[0, 6]] = False
    found = repeated_alerts(stays, flags)
    assert np.flatnonzero(found.raised).tolist() == [1, 7, 13, 19, 20, 26]
    assert np.array_equal(found.is_open, flags)


def test_leads_are_those_of_the_quartiles() -> None:
    stays = cohort((40, 20), (40, 20), (27, 20), (48, None))
    alerts = course(stays, (0, 5, 16), (1, 24, 25))
    found = leads(stays, alerts)
    assert found.septic_stays == 3
    assert found.hours.tolist() == [12, 2]
