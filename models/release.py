"""From trained weights to an artefact: calibrated, with its thresholds, its figures on unseen stays, and its origin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifact import Description, build_model, save_model
from models.calibration import fit_calibration
from models.cohort import Cohort
from models.doubt_fit import fit_doubt
from models.episodes import choose_raise_threshold, episode_starts, episodes_per_day
from models.evaluation import VIEWS, evaluate, hours_only
from models.lstm import Weights
from models.manifest import Assessable, Calibration, Manifest, Scale, Thresholds
from models.metrics import best_utility_threshold
from models.scoring import Scored, score_cohort
from models.split import Split
from models.stay_model import StayModel
from models.subgroups import hospitals
from models.training_config import TrainingConfig

__all__ = ["TEST_STAYS_FILE", "release"]

TEST_STAYS_FILE = "test-stays.txt"
_DIGITS = 6


def release(
    folder: Path,
    *,
    weights: Weights,
    scales: dict[str, Scale],
    hour_log_odds: tuple[float, ...] = (),
    cohort: Cohort,
    parts: Split,
    config: TrainingConfig,
    name: str,
    version: str,
    origin: dict[str, object],
    rounds: int = 200,
    measured: Manifest | None = None,
    progress: Callable[[str], None] | None = None,
) -> StayModel:
    """Write the artefact and return it.

    The calibration stays give the map from logit to risk; they and the validation stays give the limit beyond which a
    stay is unlike those that were trained on, and the thresholds; the test stays give the figures, with and without
    parts of the inputs, and their ids are listed in `test-stays.txt`: stays the model may be shown on. Where the split
    is of one hospital, the stays of each other give figures of their own and are listed as well. `origin` goes into the
    manifest as is. With `measured`, the figures are taken over from that artefact, which the same recipe made without
    its test stays: those have since been learned from. `progress` is called with what is being done.
    """
    say = progress or (lambda _: None)
    say("calibrating")
    description = Description(
        name=name,
        version=version,
        scaling=scales,
        calibration=Calibration(1.0, 0.0),
        thresholds=Thresholds(0.5, 0.5, 0.5),
        assessable=Assessable(),
        training=origin | {"split_digest": parts.digest, "test_stays_sha256": _list_test_stays(folder, cohort, parts)},
        metrics={},
        hour_log_odds=hour_log_odds,
    )
    description = _fitted(weights, description, cohort, parts, say)
    say("choosing thresholds")
    tuning = cohort.select(parts.calibration | parts.validation)
    model = build_model(weights, description)
    scored = score_cohort(model, tuning)
    thresholds = _thresholds(scored, tuning, config)
    description = replace(description, thresholds=thresholds)
    metrics: dict[str, Any] = {"tuning_stays": {"pager": _pager_figures(scored, tuning, thresholds)}}
    if measured is not None:
        metrics |= {"test_stays": measured.metrics["test_stays"], "measured_with_weights": measured.weights_sha256}
    else:
        figures = partial(
            _figures, model, tuning=tuning, thresholds=thresholds, seed=config.seed, rounds=rounds, say=say
        )
        metrics |= _test_figures(figures, cohort, parts)
    return save_model(folder, weights, replace(description, metrics=metrics))


def _fitted(
    weights: Weights, description: Description, cohort: Cohort, parts: Split, say: Callable[[str], None]
) -> Description:
    """Return the description with the calibration, and with what is unlike the training stays."""
    model = build_model(weights, description)
    calibration = cohort.select(parts.calibration)
    fitted = fit_calibration(score_cohort(model, calibration).logit, _labels(calibration))
    say("learning what is unlike")
    # The validation stays stopped the training, which what is unlike knows nothing of: to it they are new.
    tuning = cohort.select(parts.calibration | parts.validation)
    return replace(description, calibration=fitted, doubt=fit_doubt(model, cohort.select(parts.train), tuning))


def _test_figures(figures: Callable[[Cohort], dict[str, object]], cohort: Cohort, parts: Split) -> dict[str, object]:
    """Return the figures on the test stays, and on those of each hospital that was not learned from."""
    elsewhere = cohort.select(parts.elsewhere)
    others = {other: figures(elsewhere.select(stays)) for other, stays in hospitals(elsewhere).items()}
    return {"test_stays": figures(cohort.select(parts.test))} | ({"other_hospitals": others} if others else {})


def _list_test_stays(folder: Path, cohort: Cohort, parts: Split) -> str:
    """Write the ids of the test stays, one a line, and return the digest of the file."""
    listed = "".join(f"{name}\n" for name in sorted(cohort.select(parts.unseen).patient_ids)).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TEST_STAYS_FILE).write_bytes(listed)
    return hashlib.sha256(listed).hexdigest()


def _labels(cohort: Cohort) -> NDArray[np.uint8]:
    _ = cohort.septic  # raises where the cohort has no labels
    return np.zeros(0, dtype=np.uint8) if cohort.labels is None else cohort.labels


def _thresholds(scored: Scored, cohort: Cohort, config: TrainingConfig) -> Thresholds:
    pager_raise = choose_raise_threshold(
        scored.risk,
        scored.observed & scored.assessable,
        cohort.offsets,
        episodes_a_day=config.alert_episodes_per_day,
        resolve_ratio=config.resolve_ratio,
    )
    return Thresholds(
        utility=round(best_utility_threshold(scored.risk, _labels(cohort), cohort.offsets), _DIGITS),
        pager_raise=pager_raise,
        pager_resolve=round(pager_raise * config.resolve_ratio, _DIGITS),
    )


def _figures(
    model: StayModel,
    test: Cohort,
    *,
    tuning: Cohort,
    thresholds: Thresholds,
    seed: int,
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, object]:
    """Return the figures on unseen stays: of the model in each view, of the hour alone, and of the pager."""
    figures: dict[str, object] = {"stays": test.n_stays, "septic_stays": int(test.septic.sum()), "rows": test.n_rows}
    for view, (vitals, hide) in VIEWS.items():
        say(f"testing: {view.replace('_', ' ')}")
        scored = score_cohort(model, test, vitals=vitals, hide=hide)
        figures[view] = evaluate(scored.risk, test, threshold=thresholds.utility, seed=seed, rounds=rounds)
        if vitals is None and not hide:
            figures["pager"] = _pager_figures(scored, test, thresholds)
    say("testing: the hour alone")
    cut = best_utility_threshold(hours_only(tuning), _labels(tuning), tuning.offsets)
    hours = hours_only(test)
    figures["hours_only"] = evaluate(hours, test, threshold=cut, seed=seed, rounds=rounds, probabilities=False)
    return figures


def _pager_figures(scored: Scored, cohort: Cohort, thresholds: Thresholds) -> dict[str, float]:
    """Return what the pager's two thresholds cost and find: a stay is found by an episode up to its last row."""
    decides = scored.observed & scored.assessable
    rule = {"raise_threshold": thresholds.pager_raise, "resolve_threshold": thresholds.pager_resolve}
    starts = episode_starts(scored.risk, decides, cohort.offsets, **rule)
    alerted = np.maximum.reduceat(starts, cohort.offsets[:-1])
    septic = cohort.septic
    in_septic = starts & np.repeat(septic, cohort.lengths)
    return {
        "episodes_per_patient_day": round(episodes_per_day(scored.risk, decides, cohort.offsets, **rule), 4),
        "septic_stays_alerted": round(float(alerted[septic].mean()), 4),
        "other_stays_alerted": round(float(alerted[~septic].mean()), 4),
        "episodes_in_septic_stays": round(float(in_septic.sum() / max(int(starts.sum()), 1)), 4),
    }
