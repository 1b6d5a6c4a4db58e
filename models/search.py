"""The search for the network's settings: an Optuna study with a fixed teacher and tutor, and the table it leaves.

    python -m models.search DATA --trials N --cache FOLDER --out docs/model-study.csv

DATA is the challenge's table (see `cohort.read_cohort`). Stays outside the test part (see `split`) are cut in three,
stratified by hospital and sepsis: two thirds are learned from, the third judges, and no trial sees the test part. Each
trial trains the network for a few epochs with settings drawn by a tree-structured Parzen estimator (Bergstra et al.,
NIPS 2011); one whose judgement lies under the median of the trials before it is given up. The table is written after
every trial, and a study whose table is there already goes on with it. Optuna is not among the program's dependencies:
install the group `train`.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort, read_cohort
from models.laboratory import Laboratory, read_laboratory
from models.learner import logits_of
from models.metrics import auroc
from models.sequences import Sequences, feature_sequences
from models.split import split
from models.training import THREE, Run
from models.training_config import TrainingConfig, load_training_config
from models.tutor import Tutor

if TYPE_CHECKING:
    import optuna

__all__ = ["SPACE", "SearchError", "Study", "main", "thirds"]

_SEED = 20261124
_PARTS = 3
_HOURS = 48  # the second figure is of the first so many hours
_STARTUP_TRIALS = 8  # drawn at random, and never given up
_WARM_UP_EPOCHS = 2
_DIGITS = 5

# What is searched: lowest, highest, and whether on a logarithmic scale. The numbers of units and stays are whole.
SPACE: dict[str, tuple[float, float, bool]] = {
    "hidden": (32, 96, False),
    "learning_rate": (0.001, 0.01, True),
    "weight_decay": (0.0001, 0.3, True),
    "input_dropout": (0.0, 0.2, False),
    "output_dropout": (0.0, 0.4, False),
    "tutor_share": (0.5, 0.98, False),
    "tutor_share_hidden": (0.0, 0.95, False),
    "group_size": (32, 128, True),
    "averaging": (0.98, 0.998, False),
    "negative_share": (0.2, 0.6, False),
    "random_start_share": (0.2, 0.8, False),
    "three_sign_share": (0.15, 0.45, False),
    "hide_admission_share": (0.1, 0.5, False),
}
_WHOLE = frozenset({"hidden", "group_size"})
_UNITS_STEP = 16
_FIGURES = tuple(f"{view}_{what}" for view in ("all", "hidden", "three") for what in ("time_adjusted", "first_48h"))


class SearchError(ValueError):
    """Optuna is missing, or the table is of another study: the message says what to do."""


@dataclass(frozen=True)
class _View:
    """The judging stays as one ward would show them."""

    name: str
    sequences: Sequences


def thirds(cohort: Cohort, seed: int = _SEED) -> NDArray[np.int64]:
    """Return the part, 0 to 2, of each stay (S): at random in each stratum of hospital and septic or not."""
    rng = np.random.default_rng(seed)
    part = np.zeros(cohort.n_stays, dtype=np.int64)
    stratum = np.array([f"{name}{int(s)}" for name, s in zip(cohort.hospitals, cohort.septic, strict=True)])
    for each in sorted(set(stratum.tolist())):
        members = rng.permutation(np.flatnonzero(stratum == each))
        part[members] = np.arange(len(members)) % _PARTS
    return part


class Study:
    """What all trials have in common: the stays learned from, what teacher and tutor say, and the judging views."""

    def __init__(
        self, learned: Cohort, judging: Cohort, laboratory: Laboratory | None, config: TrainingConfig, cache: Path
    ) -> None:
        """Train teacher and tutor, or take them from the folder `cache`; laboratory values are the learned rows'."""
        self._learned = learned
        self._judging = judging
        self._config = config
        cache.mkdir(parents=True, exist_ok=True)
        run = Run(learned, judging, config, laboratory)
        if laboratory is not None and config.teacher_share > 0:
            run.hear_teacher(laboratory, cache / "teacher.safetensors", None)
        if config.tutor_share > 0:
            run.find_tutor(cache / "tutor.safetensors", None)
        self._labels: NDArray[np.float32] = run.labels
        self._tutor: Tutor | None = run.tutor
        nan = np.float32(np.nan)
        hidden = replace(
            judging,
            hospital_hours=np.full_like(judging.hospital_hours, nan),
            unit_type=np.zeros_like(judging.unit_type),
        )
        self._views = [
            _View("all", feature_sequences(judging, run.scaling)),
            _View("hidden", feature_sequences(hidden, run.scaling)),
            _View("three", feature_sequences(judging, run.scaling, vitals=THREE)),
        ]

    def judge(self, trial: optuna.Trial) -> bool:
        """Train with a trial's settings and report to it epoch by epoch; return whether that was given up."""
        config = msgspec.structs.replace(self._config, **trial.params)
        began = time.monotonic()
        run = Run(self._learned, self._judging, config, None)
        run.labels, run.tutor = self._labels, self._tutor
        for epoch in range(config.epochs):
            run.learn(epoch)
            figures = self._figures(run)
            trial.set_user_attr("figures", figures)
            trial.set_user_attr("seconds", round(time.monotonic() - began))
            trial.report(float(np.mean(list(figures.values()))), epoch)
            if trial.should_prune():
                return True
        return False

    def _figures(self, run: Run) -> dict[str, float]:
        """Return time-adjusted AUROC and that of the first 48 hours in each view."""
        labels, steps = self._judging.known_labels, self._judging.steps
        early = steps < _HOURS
        figures = {}
        for view in self._views:
            logits = logits_of(run.learner.average, view.sequences)
            figures[f"{view.name}_time_adjusted"] = auroc(logits, labels, groups=steps)
            figures[f"{view.name}_first_48h"] = auroc(logits[early], labels[early])
        return figures


def search(study: Study, config: TrainingConfig, *, trials: int, out: Path, minutes: float | None) -> None:
    """Try settings until the table has so many trials, or the minutes are over; write the table after each."""
    library = _optuna()
    library.logging.set_verbosity(library.logging.WARNING)
    done = _read(out, config.epochs) if out.exists() else []
    found = library.create_study(
        direction="maximize",
        sampler=library.samplers.TPESampler(seed=config.seed + len(done), n_startup_trials=_STARTUP_TRIALS),
        pruner=library.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=_WARM_UP_EPOCHS - 1),
    )
    found.add_trials(done)
    if not done:  # the settings that are in use come first
        found.enqueue_trial({name: getattr(config, name) for name in SPACE})
    until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    for number in range(len(done), trials):
        if time.monotonic() > until:
            return
        trial = found.ask(_space(library))
        given_up = study.judge(trial)
        state = library.trial.TrialState
        last = _value(found.trials[number])
        found.tell(trial, None if given_up else last, state=state.PRUNED if given_up else state.COMPLETE)
        _write(out, found.trials, config.epochs)
        sys.stderr.write(f"trial {number}: {last:.4f}{', given up' if given_up else ''}\n")


def _value(trial: optuna.trial.FrozenTrial) -> float:
    """Return a trial's value, or the last one before it was given up."""
    values = trial.intermediate_values
    return float(values[max(values)]) if values else float("nan")


def _columns(epochs: int) -> list[str]:
    return ["trial", "state", "seconds", "value", *_FIGURES, *SPACE, *(f"epoch_{each + 1}" for each in range(epochs))]


def _write(out: Path, trials: list[optuna.trial.FrozenTrial], epochs: int) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, _columns(epochs), lineterminator="\n")
        table.writeheader()
        for trial in trials:
            row: dict[str, object] = {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "seconds": trial.user_attrs["seconds"],
                "value": round(_value(trial), _DIGITS),
            }
            row |= {name: round(figure, _DIGITS) for name, figure in trial.user_attrs["figures"].items()}
            row |= {
                name: float(f"{value:.5g}") if name not in _WHOLE else value for name, value in trial.params.items()
            }
            row |= {f"epoch_{each + 1}": round(value, _DIGITS) for each, value in trial.intermediate_values.items()}
            table.writerow(row)


def _read(out: Path, epochs: int) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of a table; raises SearchError where it is of a study of another kind."""
    library = _optuna()
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and list(rows[0]) != _columns(epochs):
        msg = f"{out}: the table of a study with other settings or epochs; move it away, or name another file."
        raise SearchError(msg)
    trials = []
    for row in rows:
        values = {each: row[f"epoch_{each + 1}"] for each in range(epochs)}
        complete = row["state"] == "complete"
        trials.append(
            library.trial.create_trial(
                state=library.trial.TrialState.COMPLETE if complete else library.trial.TrialState.PRUNED,
                value=float(row["value"]),
                params={name: int(row[name]) if name in _WHOLE else float(row[name]) for name in SPACE},
                distributions=_space(library),
                intermediate_values={each: float(value) for each, value in values.items() if value},
                user_attrs={
                    "figures": {name: float(row[name]) for name in _FIGURES},
                    "seconds": int(row["seconds"]),
                },
            )
        )
    return trials


def _space(library: ModuleType) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return what each setting is drawn from."""
    space = {}
    for name, (low, high, logarithmic) in SPACE.items():
        if name in _WHOLE:
            step = 1 if logarithmic else _UNITS_STEP
            space[name] = library.distributions.IntDistribution(int(low), int(high), log=logarithmic, step=step)
        else:
            space[name] = library.distributions.FloatDistribution(low, high, log=logarithmic)
    return space


def _optuna() -> ModuleType:
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        msg = "Optuna is not installed; the dependency group `train` has it."
        raise SearchError(msg) from error


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.search", description="Search the network's settings.")
    parser.add_argument("data", type=Path, help="stays with labels, .parquet or a folder of .psv files")
    parser.add_argument("--trials", type=int, default=100, help="trials in all, those of the table counted in")
    parser.add_argument("--minutes", type=float, help="start no trial after so many")
    parser.add_argument("--epochs", type=int, default=5, help="of each trial")
    parser.add_argument("--judges", type=float, default=0.4, help="share of the judging stays without sepsis to use")
    parser.add_argument("--out", type=Path, required=True, help="the table; a study goes on with the one that is there")
    parser.add_argument("--cache", type=Path, required=True, help="folder for what teacher and tutor say")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Search, write the table and return the exit code."""
    chosen = _arguments(arguments)
    config = msgspec.structs.replace(load_training_config(), epochs=chosen.epochs)
    cohort, laboratory = read_cohort(chosen.data), read_laboratory(chosen.data)
    parts = split(cohort)
    known = cohort.select(~parts.test)
    learns = thirds(known) != 0
    judges = ~learns & (known.septic | (np.random.default_rng(_SEED).random(known.n_stays) < chosen.judges))
    rows = np.flatnonzero(np.repeat(~parts.test, cohort.lengths))[np.repeat(learns, known.lengths)]
    chosen_rows = np.zeros(cohort.n_rows, dtype=np.bool_)
    chosen_rows[rows] = True
    study = Study(
        known.select(learns),
        known.select(judges),
        laboratory.rows(chosen_rows) if laboratory else None,
        config,
        chosen.cache,
    )
    search(study, config, trials=chosen.trials, out=chosen.out, minutes=chosen.minutes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
