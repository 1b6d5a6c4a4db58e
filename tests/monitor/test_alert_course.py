"""The service's alert rule over files: the counts of the vectorised one, and thresholds for a burden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.policy import Policy, load_policy
from models.artifact import Description, build_model, load_model, untrained_model
from models.doubt import Doubts
from models.episodes import episode_starts
from models.scoring import Scored
from monitor.alert_course import alert_course, policy_for, threshold_for
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
