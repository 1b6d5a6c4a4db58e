"""Real stays through a real broker and real workers: every closed step's risk is the one that `score` gives."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.artifact import load_model
from models.cohort import Cohort
from models.scoring import score_cohort
from monitor.replay import ReplayOptions, ReplayStream
from tests.e2e.ward import closed_risks, open_ward, real_stays

_TOLERANCE = 1e-5


def offline_risks(cohort: Cohort) -> dict[tuple[str, int], float]:
    """Return the risk of every row as the command `score` computes it, by stay id and step."""
    risk = score_cohort(load_model("bedside"), cohort).risk
    stay = cohort.stay_of_row
    return {
        (f"{cohort.patient_ids[stay[row]]}-1", int(cohort.steps[row])): float(risk[row]) for row in range(cohort.n_rows)
    }


def stream(bootstrap: str, folder: Path, cohort: Cohort, options: ReplayOptions) -> None:
    """Stream the cohort and compare every step."""
    with open_ward(bootstrap, folder) as ward:
        ward.start()
        ward.wait_ready()
        summary = ward.replay(ReplayStream(cohort, options, datetime.now(UTC)))
        ward.drain()
        closed = closed_risks(ward.values(ward.topics.scores))
        expected = offline_risks(cohort)
        assert expected.keys() <= closed.keys()
        assert max(abs(closed[step] - risk) for step, risk in expected.items()) <= _TOLERANCE
        first = {f"{cohort.patient_ids[i]}-1": int(cohort.steps[row]) for i, row in enumerate(cohort.offsets[:-1])}
        assert all(step < first[stay] for stay, step in closed.keys() - expected.keys())  # hours before the first row
        reasons = {dict(record.headers)["rejected_reason"] for record in ward.records(ward.topics.rejected)}
        assert reasons <= {b"implausible", b"contradictory"}
        assert summary.observations_sent > cohort.n_rows / 2
        assert ward.terminate() == 0


def test_every_closed_step_of_300_stays_on_apache_kafka_equals_score(apache_kafka: str, tmp_path: Path) -> None:
    stream(apache_kafka, tmp_path, real_stays(320, seed=1), ReplayOptions(seed=1))


def test_one_vital_sign_at_a_time_shuffled_and_every_tenth_twice_gives_the_same_on_apache_kafka(
    apache_kafka: str, tmp_path: Path
) -> None:
    options = ReplayOptions(seed=2, split=True, shuffle=True, duplicates=0.1)
    stream(apache_kafka, tmp_path, real_stays(320, seed=1), options)


@pytest.mark.parametrize("options", [ReplayOptions(seed=3), ReplayOptions(seed=3, split=True, duplicates=0.1)])
def test_a_smaller_ward_on_the_embedded_broker_gives_the_same(
    embedded_kafka: str, tmp_path: Path, options: ReplayOptions
) -> None:
    stream(embedded_kafka, tmp_path, real_stays(40, seed=2), options)
