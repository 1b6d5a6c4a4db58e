"""Real stays through a real broker and real workers: every closed step's risk is the one that `score` gives."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from models.artifact import load_model
from models.cohort import Cohort
from models.doubt import NO_SIGN, REASONS
from models.scoring import score_cohort
from models.vital_signs import NAMES, VITAL_SIGNS
from monitor.cli import main
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


def doubts_differ(scores: list[dict[str, Any]], cohort: Cohort) -> list[tuple[str, int]]:
    """Return the stays and steps whose published doubt is not the one that `score` gives for the row."""
    doubt, stay = score_cohort(load_model("bedside"), cohort).doubt, cohort.stay_of_row
    row_of = {(f"{cohort.patient_ids[stay[row]]}-1", int(cohort.steps[row])): row for row in range(cohort.n_rows)}
    differing = []
    for score in scores:
        row = row_of.get((score["stay_id"], score["step"]))
        if row is None or score["ended"] or not score["ages_minutes"]:
            continue
        reason, sign = int(doubt.reason[row]), int(doubt.sign[row])
        offline = {"reason": REASONS[reason], "vital_sign": None if sign == NO_SIGN else NAMES[sign]}
        if (score["assessable"], score["doubt"]) != (not reason, offline if reason else None):
            differing.append((score["stay_id"], score["step"]))
    return differing


def to_frame(cohort: Cohort) -> pl.DataFrame:
    """Return a cohort as a table in the challenge's columns."""
    stay = cohort.stay_of_row
    columns = {sign.challenge_column: cohort.values[:, i] for i, sign in enumerate(VITAL_SIGNS)}
    return pl.DataFrame(
        {
            "patient_id": [cohort.patient_ids[i] for i in stay],
            **columns,
            "Age": cohort.age_years[stay],
            "Gender": cohort.sex[stay],
            "Unit1": (cohort.unit_type[stay] == 1).astype("float32"),
            "Unit2": (cohort.unit_type[stay] == 2).astype("float32"),
            "HospAdmTime": -cohort.hospital_hours[stay],
            "ICULOS": (cohort.steps + 1).astype("float32"),
        }
    )


def offline_alerts(cohort: Cohort, folder: Path) -> Counter[str]:
    """Return how many alerts of each stay the command `score` opens."""
    file, out = folder / "stays.parquet", folder / "scored.parquet"
    to_frame(cohort).write_parquet(file)
    result = CliRunner().invoke(main, ["score", str(file), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    scored = pl.read_parquet(out).with_columns(before=pl.col("alerting").shift(1, fill_value=False).over("patient_id"))
    opened = scored.filter(pl.col("alerting") & ~pl.col("before"))
    return Counter(f"{patient}-1" for patient in opened["patient_id"])


def stream(bootstrap: str, folder: Path, cohort: Cohort, options: ReplayOptions) -> None:
    """Stream the cohort and compare every step."""
    with open_ward(bootstrap, folder) as ward:
        ward.start()
        ward.wait_ready()
        summary = ward.replay(ReplayStream(cohort, options, datetime.now(UTC)))
        ward.drain()
        scores = ward.values(ward.topics.scores)
        closed = closed_risks(scores)
        expected = offline_risks(cohort)
        assert expected.keys() <= closed.keys()
        assert max(abs(closed[step] - risk) for step, risk in expected.items()) <= _TOLERANCE
        first = {f"{cohort.patient_ids[i]}-1": int(cohort.steps[row]) for i, row in enumerate(cohort.offsets[:-1])}
        assert all(step < first[stay] for stay, step in closed.keys() - expected.keys())  # hours before the first row
        if not options.split:  # one observation an hour, as `score` sees it
            assert doubts_differ(scores, cohort) == []
            events = ward.values(ward.topics.alert_events)
            septic = [event for event in events if event["kind"] == "sepsis_risk"]
            raised = Counter(event["stay_id"] for event in septic if event["transition"] == "raised")
            assert raised == offline_alerts(cohort, folder)
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
