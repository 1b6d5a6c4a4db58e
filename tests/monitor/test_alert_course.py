"""The service's alert rule over files: the counts of the vectorised one, and thresholds for a burden."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from agents.decoding import parse_time_ms
from agents.messages import STAY_TYPE
from agents.policy import Policy, load_policy
from models.artifact import Description, build_model, load_model, untrained_model
from models.cohort import Cohort
from models.doubt import Doubts
from models.episodes import episode_starts
from models.scoring import Scored, score_cohort
from models.vital_signs import DIASTOLIC_BP, MEAN_ARTERIAL_PRESSURE
from monitor.alert_course import alert_course, policy_for, threshold_for
from monitor.replay import ReplayOptions, ReplayStream
from tests.agents.logs import HOUR, MODEL, Log, Record, between, new_core, numbered, work_off
from tests.models.stays import made_up_cohort

POLICY = Policy("test", "1", "sha256:0", 0.5, 0.3)


def test_episodes_are_those_that_thresholds_are_chosen_by() -> None:
    cohort, rng = made_up_cohort(1), np.random.default_rng(0)
    n = cohort.n_rows
    assessable = rng.random(n) < 0.9
    doubt = Doubts((~assessable).astype(np.uint8), np.full(n, -1, dtype=np.int8))
    scored = Scored(np.zeros(n), np.round(rng.random(n), 2), assessable, rng.random(n) < 0.9, doubt)
    found = alert_course(cohort, scored, POLICY)
    decides = scored.observed & scored.assessable
    starts = episode_starts(scored.risk, decides, cohort.offsets, raise_threshold=0.5, resolve_threshold=0.3)
    assert np.array_equal(found.raised, starts)
    assert found.is_open[found.raised].all()
    assert (scored.risk[found.is_open & decides] >= 0.3).all()


def streamed(stream: ReplayStream) -> Log:
    headers = {"admissions": (("ce_type", STAY_TYPE.encode()),), "observations": ()}
    return numbered(Record(said.key, said.value, said.time * 1000, headers[said.topic]) for said in stream.messages())


def sound(cohort: Cohort) -> Cohort:
    """Return the stays without what is refused in a stream and is taken out of a file when it is read."""
    values = cohort.values.copy()
    values[:, [DIASTOLIC_BP, MEAN_ARTERIAL_PRESSURE]] = np.nan
    return replace(cohort, values=values, hospital_hours=np.abs(cohort.hospital_hours))


def moves_of_the_file(cohort: Cohort, policy: Policy) -> set[tuple[str, str, int]]:
    """Return patient, move and hour of every alert that begins or ends in the file's stays."""
    course = alert_course(cohort, score_cohort(MODEL, cohort), policy)
    moves = set()
    for stay, patient in enumerate(cohort.patient_ids):
        was_open = False
        for row in range(cohort.offsets[stay], cohort.offsets[stay + 1]):
            step = int(cohort.steps[row])
            assert course.is_open[row] or not course.raised[row]
            if course.raised[row]:
                assert not was_open
                moves.add((patient, "raised", step))
            elif was_open and not course.is_open[row]:
                moves.add((patient, "resolved", step))
            was_open = bool(course.is_open[row])
        if was_open:
            moves.add((patient, "expired", int(cohort.steps[cohort.offsets[stay + 1] - 1]) + 1))
    return moves


@pytest.mark.parametrize("latching", [False, True])
@pytest.mark.parametrize(("minutes", "refractory", "hours"), [(0, 0, 3), (0, 200, 3), (60, 0, 9), (60, 130, 0)])
def test_a_file_gives_the_streams_alerts_where_nobody_answers(
    latching: bool, minutes: float, refractory: float, hours: float
) -> None:
    cohort = sound(made_up_cohort(5, 30))
    scored = score_cohort(MODEL, cohort)
    low, high = np.quantile(scored.risk[scored.assessable], [0.45, 0.6]).tolist()
    policy = structs.replace(
        between(high, low),
        raise_minutes=minutes,
        resolve_minutes=minutes,
        refractory_minutes=refractory,
        latching=latching,
        latch_hours=hours,
    )
    stream = ReplayStream(cohort, ReplayOptions(), datetime(2026, 11, 22, tzinfo=UTC))
    run = work_off(streamed(stream), core=new_core(policy))
    assert run.rejected == []
    begins = dict(zip(cohort.patient_ids, (stream.start * 1000).tolist(), strict=True))
    told = {
        (event.patient_id, event.transition, (parse_time_ms(event.occurred_at) - begins[event.patient_id]) // HOUR)
        for _, event in run.alerts
        if event.transition in {"raised", "resolved", "expired"}
    }
    assert told == moves_of_the_file(cohort, policy)
    assert sum(move == "raised" for _, move, _ in told) > cohort.n_stays / 2
    assert (scored.observed & ~scored.assessable).any()  # an alert that is kept ends at such an hour, too
    causes = [event.cause for _, event in run.alerts]
    kept = latching and hours > 0
    assert any(event.state == "latched" for _, event in run.alerts) == kept
    assert any("nobody acknowledged it" in cause for cause in causes) == kept
    assert any("over the raise threshold again" in cause for cause in causes) == kept


def test_the_threshold_of_a_burden_is_the_highest_one() -> None:
    candidates = [0.1, 0.2, 0.4, 0.8]

    def burden(threshold: float) -> float:
        return 1 - threshold if threshold >= 0.2 else threshold  # falls again where everything is one long alert

    assert threshold_for(0.5, burden, candidates) == pytest.approx(0.5, abs=1e-3)
    assert threshold_for(0.9, burden, candidates) is None
    assert threshold_for(0.1, lambda _: 1.0, candidates) == 0.8
    assert threshold_for(0.1, burden, []) is None


def test_thresholds_of_one_model_are_not_applied_to_another(tmp_path: Path) -> None:
    assert policy_for(load_model("bedside"), None) == load_policy()
    other = untrained_model()
    own = policy_for(other, None)
    assert (own.raise_threshold, own.resolve_threshold) == (0.08, 0.05)
    file = tmp_path / "policy.toml"
    file.write_text('name = "n"\nversion = "1"\nmodel = "bedside"\nraise_threshold = 0.2\nresolve_threshold = 0.1\n')
    assert policy_for(other, file).raise_threshold == 0.2


def test_thresholds_of_one_version_are_not_applied_to_another() -> None:
    shipped = load_model("bedside")
    manifest = shipped.manifest
    parts = (manifest.scaling, manifest.calibration, manifest.thresholds, manifest.assessable)
    newer = build_model(shipped.weights, Description(shipped.name, "99.0.0", *parts, training={}, metrics={}))
    policy = policy_for(newer, None)
    assert (policy.name, policy.model) == ("bedside manifest", "bedside 99.0.0")
    assert policy.raise_threshold == manifest.thresholds.pager_raise
