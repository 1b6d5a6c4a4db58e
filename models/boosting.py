"""A gradient boosting baseline, LightGBM, on the very features of the network: what a strong model without memory gets.

    python -m models.boosting DATA OUT

DATA is the challenge's table (see `cohort.read_cohort`). The stays of its training part (see `split`) train, those of
its validation part stop the training; OUT is a folder for six models in LightGBM's own text format: with all vital
signs, with three, and without admission details, each without the clock and with it. LightGBM is not among the
program's dependencies: install the group `train`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort, read_cohort
from models.evaluation import VIEWS, view_showing
from models.features import Scaling
from models.manifest import Scale
from models.sequences import HourOdds, feature_sequences, measure_scales, scaling_of
from models.split import split
from models.training_config import load_training_config

__all__ = ["Boosting", "BoostingError", "main", "train_boosting"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_SCALES_FILE = "scales.json"
_MAX_TREES = 1000
_STOP_AFTER = 50  # trees without a better validation result
_SETTINGS = {
    "objective": "binary",
    "metric": "auc",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 127,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class BoostingError(ValueError):
    """LightGBM or a model of it is missing: the message says what to do."""


class Boosting:
    """The trained baseline: a tree ensemble for each view of the inputs, with and without the clock."""

    def __init__(self, folder: Path) -> None:
        """Read the models of a folder; raises BoostingError where one is missing."""
        lightgbm = _lightgbm()
        try:
            scales = msgspec.json.decode((folder / _SCALES_FILE).read_bytes(), type=dict[str, Scale])
            self._trees = {
                name: lightgbm.Booster(model_str=(folder / f"{name}.txt").read_text()) for name in _variants()
            }
        except (OSError, msgspec.MsgspecError) as error:
            msg = f"{folder}: not a folder written by `python -m models.boosting` ({error})"
            raise BoostingError(msg) from error
        self._scaling = scaling_of(scales)

    @staticmethod
    def check(vitals: frozenset[str] | None, hide: frozenset[str]) -> str:
        """Return the view with these vital signs (None: all) and details hidden; raises BoostingError: no trees."""
        view = view_showing(vitals, hide)
        if view is None:
            msg = (
                "LightGBM has trees for all vital signs, for heart rate, respiratory rate and temperature, and for all "
                "vital signs with hospital_admitted and unit_type hidden, not for what is shown here: judge the model "
                "on one of these, or without LightGBM"
            )
            raise BoostingError(msg)
        return view

    def scores(self, cohort: Cohort, vitals: frozenset[str] | None, hide: frozenset[str]) -> dict[str, F64]:
        """Return log-odds (R) for each row of a cohort, so much of it shown: without the clock, and with it.

        Raises BoostingError where there are no trees for that.
        """
        view = self.check(vitals, hide)
        x = _inputs(cohort, view, self._scaling)
        return {
            name: np.asarray(self._trees[f"{view}{suffix}"].predict(_with_clock(x, cohort, suffix), raw_score=True))
            for name, suffix in (("lightgbm", ""), ("lightgbm_with_clock", _CLOCK))
        }


_CLOCK = "-clock"


def _variants() -> list[str]:
    return [f"{view}{suffix}" for view in VIEWS for suffix in ("", _CLOCK)]


def train_boosting(cohort: Cohort, out: Path) -> dict[str, int]:
    """Write all models into a folder, and return how many trees each has.

    Without the clock, a tree ensemble learns as the network does: what to add to the log-odds of the hour, hours
    weighted by their negative rows. With it, the hour is a feature and nothing is matched.
    """
    lightgbm = _lightgbm()
    parts = split(cohort)
    training, validation = cohort.select(parts.train), cohort.select(parts.validation)
    scales = measure_scales(training)
    out.mkdir(parents=True, exist_ok=True)
    (out / _SCALES_FILE).write_text(json.dumps(msgspec.to_builtins(scales), indent=1) + "\n")
    odds = HourOdds(training, load_training_config(None))
    trees = {}
    for view in VIEWS:
        x = [_inputs(part, view, scaling_of(scales)) for part in (training, validation)]
        for suffix in ("", _CLOCK):
            sets = []
            for part, features in zip((training, validation), x, strict=True):
                offset, weight = (None, None) if suffix else odds.of(part.steps)
                sets.append(
                    lightgbm.Dataset(
                        _with_clock(features, part, suffix), part.known_labels, weight=weight, init_score=offset
                    )
                )
            sets[1].reference = sets[0]
            stop = lightgbm.early_stopping(_STOP_AFTER, verbose=False)
            booster = lightgbm.train(_SETTINGS, sets[0], _MAX_TREES, valid_sets=[sets[1]], callbacks=[stop])
            (out / f"{view}{suffix}.txt").write_text(booster.model_to_string(num_iteration=booster.best_iteration))
            trees[f"{view}{suffix}"] = booster.best_iteration
    return trees


def _inputs(cohort: Cohort, view: str, scaling: Scaling) -> F32:
    """Return the network's features of each row (R, F) as a view shows the stays."""
    vitals, hide = VIEWS[view]
    shown = replace(
        cohort,
        hospital_hours=np.full_like(cohort.hospital_hours, np.nan)
        if "hospital_admitted" in hide
        else cohort.hospital_hours,
        unit_type=np.zeros_like(cohort.unit_type) if "unit_type" in hide else cohort.unit_type,
    )
    return feature_sequences(shown, scaling, vitals=vitals).x


def _with_clock(x: F32, cohort: Cohort, suffix: str) -> F32:
    return np.column_stack([x, cohort.steps.astype(np.float32)]) if suffix else x


def _lightgbm() -> ModuleType:
    try:
        import lightgbm  # noqa: PLC0415  (an optional dependency)
    except ImportError as error:
        msg = "LightGBM is not installed; the dependency group `train` has it."
        raise BoostingError(msg) from error
    except OSError as error:
        msg = "LightGBM cannot be loaded: it needs the OpenMP library libgomp (Debian's libgomp1)."
        raise BoostingError(msg) from error
    module: ModuleType = lightgbm
    return module


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.boosting", description="Train the gradient boosting baseline, six models of it."
    )
    parser.add_argument("data", metavar="DATA", type=Path, help="stays with labels, .parquet or a folder of .psv files")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write them into")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Train, write and return the exit code."""
    chosen = _arguments(arguments)
    trees = train_boosting(read_cohort(chosen.data), chosen.out)
    sys.stdout.write("".join(f"{name}: {count} trees\n" for name, count in trees.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
