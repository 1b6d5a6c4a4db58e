"""`evaluate`: how good a model is on labelled stays, what its alerts cost, and what it must be better than."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from agents.policy import PolicyError
from models.artifact import ArtifactError, load_model, model_folder
from models.boosting import Boosting, BoostingError
from models.cohort import Cohort, CohortError, read_cohort
from models.evaluation import VIEWS
from models.provenance import provenance, read_stays
from models.stay_model import HIDEABLE
from models.vital_signs import NAMES
from monitor.across_hospitals import across_hospitals
from monitor.alert_course import policy_for
from monitor.errors import Failure, failing_on
from monitor.evaluation import Evaluator, TrainedBaseline, View, plain
from monitor.evaluation_tables import print_evaluation
from monitor.invocation import Invocation, pass_invocation
from monitor.names import Names

__all__ = ["SEED", "all_views", "chosen_stays", "command", "spinner", "trained_baselines"]

SEED = 20261122


@click.command(name="evaluate")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--model", metavar="NAME|FOLDER", help="A shipped model, or the folder of one; default: model.name.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy file of the alerts; default: policy.file.")
@click.option("--vitals", type=Names(NAMES), help="The model sees only these vital signs, with commas between.")
@click.option("--hide", type=Names(tuple(sorted(HIDEABLE))), help="Hide these details of a stay, commas between.")
@click.option(
    "--stays", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Only these stays: an id a line."
)
@click.option(
    "--bootstrap", type=click.IntRange(min=0), default=200, show_default=True, help="Rounds; 0: no intervals."
)
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True, help="Seed of every draw.")
@click.option(
    "--lightgbm",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder written by `python -m models.boosting`: a baseline more.",
)
@click.option(
    "--textbook",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder written by `python -m models.textbook`: a baseline more.",
)
@click.option(
    "--across",
    metavar="FOLDER",
    multiple=True,
    help="A model of the same recipe that learned from one hospital (`train --hospital NAME`): its figures beside.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON object.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    file: Path,
    model: str | None,
    policy: Path | None,
    vitals: frozenset[str] | None,
    hide: frozenset[str] | None,
    stays: Path | None,
    bootstrap: int,
    seed: int,
    lightgbm: Path | None,
    textbook: Path | None,
    across: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say how good a model is on the labelled stays of FILE, each figure with a 95 % interval over stays.

    FILE is a .parquet table in the columns of the PhysioNet/CinC Challenge 2019 with SepsisLabel, or a folder of its
    .psv files. Without --vitals and --hide, the model is judged with all vital signs, with three, and without
    admission details. Beside it stand the hour of the stay alone and the early warning scores. Figures on stays that
    the model was trained on flatter it; those it has not seen are listed in test-stays.txt beside it.

    Example: sepsis-monitor evaluate stays.parquet --stays test-stays.txt
    """
    settings = invocation.settings()
    with failing_on(ArtifactError, BoostingError, CohortError, PolicyError):
        name = model or settings.model.name
        loaded = load_model(name)
        rules = policy_for(loaded, policy or settings.policy.file)
        views = _views(vitals, hide)
        trained = trained_baselines(lightgbm, textbook)
        for each, view in product(trained, views):
            each.check(view.vitals, view.hide)
        beside = across_hospitals(across, loaded.manifest)
        whole = read_cohort(file)
        chosen = chosen_stays(whole, stays)
        whole.select(chosen).check_learnable()
        known = provenance(loaded.manifest, model_folder(name), whole, chosen)
        cohort = whole.select(chosen)
        if known.warning:
            click.echo(f"sepsis-monitor: {known.warning}", err=True)
        with spinner() as say:
            evaluator = Evaluator(loaded, rules, cohort, rounds=bootstrap, seed=seed, trained=trained, say=say)
            found = evaluator.everything(views) | {"provenance": known.counts()}
    found = plain(found | ({"across_hospitals": beside} if beside else {}))
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
    else:
        print_evaluation(found)


def chosen_stays(cohort: Cohort, file: Path | None) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which stays (S) a file lists, all without one; raises Failure where it cannot be used."""
    if file is None:
        return np.ones(cohort.n_stays, dtype=np.bool_)
    try:
        ids = read_stays(file)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as a list of stays ({error}); give a text file with a patient_id a line"
        raise Failure(msg) from error
    chosen = np.array([name in ids for name in cohort.patient_ids], dtype=np.bool_)
    if not chosen.any():
        msg = f"{file}: none of its {len(ids)} stays is in the data; give the ids of the column patient_id, one a line"
        raise Failure(msg)
    return chosen


def trained_baselines(lightgbm: Path | None, textbook: Path | None) -> tuple[TrainedBaseline, ...]:
    """Return the baselines of two folders, where given; raises BoostingError, Failure where one is not of its kind."""
    found: list[TrainedBaseline] = []
    if textbook:
        from models.textbook import Textbook, TextbookError  # noqa: PLC0415  (torch)

        with failing_on(TextbookError):
            found.append(Textbook(textbook))
    if lightgbm:
        found.append(Boosting(lightgbm))
    return tuple(found)


def all_views() -> tuple[View, ...]:
    """Return what a model is judged with, unless asked otherwise."""
    return tuple(View(name, *shown) for name, shown in VIEWS.items())


def _views(vitals: frozenset[str] | None, hide: frozenset[str] | None) -> tuple[View, ...]:
    if vitals is None and hide is None:
        return all_views()
    return (View("as_given", vitals, hide or frozenset()),)


@contextmanager
def spinner() -> Iterator[Callable[[str], None]]:
    """Yield what shows the work in hand, on stderr; nothing is shown where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("evaluating") as status:
        yield status.update
