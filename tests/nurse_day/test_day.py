"""The made-up day: who lies in the beds, and a short one played with a nurse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from models.cohort import read_cohort
from monitor.simulation import Episode
from tests.e2e.ward import open_ward
from tests.nurse_day.offline import DEMO, borne
from tests.nurse_day.play import play
from tests.nurse_day.ward_day import DayStream, WardDay, ward_day

_WHOLE = read_cohort(DEMO)


def _day(beds: int = 40, hours: int = 24, lead_hours: int = 24, share: float = 0.02) -> WardDay:
    return ward_day(_WHOLE, beds=beds, septic_share=share, hours=hours, seed=3, lead_hours=lead_hours)


def test_every_bed_is_occupied_all_day_by_one_after_the_other() -> None:
    day = _day()
    ends = day.start + 60 * (_WHOLE.steps[_WHOLE.offsets[1:] - 1] + 1)[day.source]
    for bed in range(40):
        mine = np.flatnonzero(day.bed == bed)
        assert all(ends[one] == day.start[other] for one, other in pairwise(mine.tolist()))
        assert day.start[mine[0]] <= -24 * 60
        assert ends[mine[-1]] >= 15 * 60  # of the next, nothing would be seen that day
    assert (ends > -24 * 60).all()
    assert (day.start < 24 * 60).all()
    late = day.start[day.cohort.stay_of_row] + 60 * day.cohort.steps
    assert late.max() < 24 * 60
    assert 0 < day.here.sum() < day.cohort.n_stays  # some left before the day


def test_a_share_of_the_admissions_is_septic_and_patients_are_met_amid_their_stays() -> None:
    day = _day(beds=300, share=0.1)
    assert 0.05 < np.isfinite(day.onset_hours).mean() < 0.2
    assert (np.isfinite(day.onset_hours) == _WHOLE.septic[day.source]).all()
    at_begin = (day.start <= 0) & day.here
    assert at_begin.sum() == 300
    assert len(set((-day.start[at_begin] // 60).tolist())) > 20


def test_the_stream_says_where_and_when_and_when_an_alert_is_right() -> None:
    day = _day(share=0.3)
    end = datetime.now(UTC) - timedelta(hours=6)
    stream = DayStream(day, 0, end)
    assert abs(stream.begin + 24 * 3600 - end.timestamp()) < 60
    assert (stream.time[: stream.lead] < stream.begin).all()
    assert (stream.time[stream.lead :] >= stream.begin).all()
    assert stream.end.max() < stream.begin + 25 * 3600
    assert stream.place(0) == ("ward-1", "01")
    windows = stream.windows()
    assert len(windows) == np.isfinite(day.onset_hours).sum()
    assert {round(until - since) for since, until in windows.values()} == {16 * 3600}


def test_what_a_day_bore_is_counted_by_hand() -> None:
    one = _WHOLE.select(np.arange(_WHOLE.n_stays) == int(np.flatnonzero(_WHOLE.septic)[0]))
    day = WardDay(
        24,
        one,
        source=np.zeros(1, dtype=np.int64),
        start=np.array([-60]),
        bed=np.zeros(1, dtype=np.int64),
        onset_hours=np.array([15.0]),
    )
    episodes = {0: [Episode("a", 0, 0.0), Episode("a", 1, 1.0), Episode("a", 2, 3.0), Episode("a", 30, 31.0)]}
    found = borne(day, episodes)
    assert (found.stays, found.septic) == (1, 1)
    # The first ended at 00:30, the second at 01:30 and is false too; the third was open 12 hours before the onset.
    assert round(found.false_per_patient_day * found.patient_days) == 2
    assert round(found.ended_per_patient_day * found.patient_days) == 3


def test_a_short_day_ends_with_every_alert_closed_and_every_command_answered(
    embedded_kafka: str, tmp_path: Path
) -> None:
    day = ward_day(_WHOLE, beds=30, septic_share=0.2, hours=6, seed=0, lead_hours=0)
    with open_ward(embedded_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        stream = DayStream(day, 0, datetime.now(UTC) - timedelta(hours=6))
        found = play(ward, day, stream, speed=2_400, seed=0, budget=False)
    assert found["open_at_the_end"] == found["unanswered"] == found["commands_refused_unanswered"] == 0
    assert sum(found["commands"].values()) == sum(found["answers"].values()) > 10
    assert found["answers"].keys() > {"acknowledged", "marked", "rejected"}
    assert found["events"]["sepsis_risk raised"] > 0
