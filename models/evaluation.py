"""The figures of a model on stays it has never seen, each with its 95 % interval over stays.

Accuracy is not among them: with two positive hours in a hundred, never warning anybody is 98 % accurate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort
from models.metrics import utility_rows
from models.onset import onset_steps
from models.ranking import Ranking
from models.reliability import calibration_figures
from models.resampling import Figure, Resamples
from models.vital_signs import NAMES

__all__ = ["FIRST_HOURS", "VIEWS", "evaluate", "hours_only", "judge", "view_showing"]

F64 = NDArray[np.float64]

FIRST_HOURS = 48
_DIGITS = 4

# What the model is shown, by the name its figures stand under: vital signs (None: all) and what is hidden.
VIEWS: dict[str, tuple[frozenset[str] | None, frozenset[str]]] = {
    "all": (None, frozenset()),
    "three_vital_signs": (frozenset({"heart_rate", "respiratory_rate", "temperature"}), frozenset()),
    "without_admission": (None, frozenset({"hospital_admitted", "unit_type"})),
}


def view_showing(vitals: frozenset[str] | None, hide: frozenset[str]) -> str | None:
    """Return the name of the view with these vital signs (None: all) and these details hidden; None: there is none."""
    wanted = (vitals or frozenset(NAMES), hide)
    return next((name for name, (seen, hidden) in VIEWS.items() if (seen or frozenset(NAMES), hidden) == wanted), None)


def evaluate(
    risks: F64, cohort: Cohort, *, threshold: float, seed: int, rounds: int = 200, probabilities: bool = True
) -> dict[str, dict[str, float]]:
    """Return, for each figure, its value and the ends of its interval, of risks (R) over a cohort with labels.

    See `judge`; `utility` flags rows at or over `threshold`. Without rounds there are no intervals. Risks that are not
    `probabilities` have no calibration.
    """
    resamples = Resamples.draw(cohort.n_stays, rounds, seed)
    calibrated = risks if probabilities else None
    found = judge(risks, cohort, flags=risks >= threshold, probabilities=calibrated, resamples=resamples)
    return {name: figure.rounded(_DIGITS) for name, figure in found.items()}


def judge(
    scores: F64,
    cohort: Cohort,
    *,
    flags: NDArray[np.bool_] | None,
    probabilities: F64 | None,
    resamples: Resamples,
) -> dict[str, Figure]:
    """Return the figures of a cohort with labels, by name.

    Rows are ranked by `scores` (R). `..._time_adjusted` compares rows of the same hour only, `..._first_48h` leaves
    later rows out, `auroc_per_stay` ranks stays by their highest score up to onset, or to the end. `utility` is the
    challenge's for `flags` (R); calibration is that of `probabilities` (R). None leaves their figures out. Raises
    CohortError where the cohort has no labels.
    """
    labels = cohort.known_labels
    early = cohort.steps < FIRST_HOURS
    found = {
        **_ranked(scores, cohort, np.ones(cohort.n_rows, dtype=np.bool_), resamples, suffix=""),
        **_ranked(scores, cohort, early, resamples, suffix="_first_48h"),
        "auroc_per_stay": _per_stay(scores, cohort, resamples),
    }
    if flags is not None:
        found["utility"] = _utility(labels, cohort, flags, resamples)
    if probabilities is not None:
        found |= calibration_figures(probabilities, labels, cohort.stay_of_row, resamples, cohort.n_stays)
    return found


def hours_only(cohort: Cohort) -> F64:
    """Return a "risk" (R) that is the hour of the stay and nothing else: the baseline any result must stand beside."""
    scaled: F64 = cohort.steps / 1e6
    return scaled


def _ranked(
    scores: F64, cohort: Cohort, rows: NDArray[np.bool_], resamples: Resamples, *, suffix: str
) -> dict[str, Figure]:
    scores, labels, stays = scores[rows], cohort.known_labels[rows], cohort.stay_of_row[rows]
    pooled = Ranking(scores, labels, stays)
    areas = np.array([pooled.areas(times) for times in resamples.times]).reshape(-1, 2)
    auroc, auprc = pooled.areas(np.ones(resamples.n_stays, dtype=np.uint16))
    within_hour = Ranking(scores, labels, stays, groups=cohort.steps[rows])
    return {
        f"auroc{suffix}": resamples.figure(auroc, areas[:, 0]),
        f"auroc_time_adjusted{suffix}": resamples.of_draws(within_hour.auroc),
        f"auprc{suffix}": resamples.figure(auprc, areas[:, 1]),
    }


def _per_stay(scores: F64, cohort: Cohort, resamples: Resamples) -> Figure:
    onset = np.repeat(onset_steps(cohort), cohort.lengths)
    counted = np.where(cohort.steps <= onset, scores, -np.inf)
    highest = np.maximum.reduceat(counted, cohort.offsets[:-1])
    ranking = Ranking(highest, cohort.septic.astype(np.uint8), np.arange(cohort.n_stays))
    return resamples.of_draws(ranking.auroc)


def _utility(labels: NDArray[np.uint8], cohort: Cohort, flags: NDArray[np.bool_], resamples: Resamples) -> Figure:
    flagged, unflagged, best = utility_rows(labels, cohort.offsets)
    gain = np.where(flags, flagged - unflagged, 0.0)
    starts = cohort.offsets[:-1]
    per_stay = np.stack([np.add.reduceat(gain, starts), np.add.reduceat(best - unflagged, starts)], axis=1)
    return resamples.of_sums(per_stay, _normalised)


def _normalised(sums: F64) -> F64:
    gain, most = sums.T
    ratio: F64 = np.divide(gain, most, out=np.full(len(gain), np.nan), where=most > 0)
    return ratio
