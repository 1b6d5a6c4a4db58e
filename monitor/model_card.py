"""Write a model's card and its pictures from an evaluation on stays it has not seen.

    python -m monitor.model_card MODEL DATA --out FOLDER

Writes MODEL_CARD.md, evaluation.json, pictures/*.png and, from what the manifest keeps of the training, curves.png, as
`train` does. Without --stays, the model is judged on the stays listed in
test-stays.txt beside it, where there is such a list, else on all. A model that learned from its test stays as well,
once its recipe was measured, is judged by the artefact it was measured with: --measured FOLDER. With --again instead of
DATA, the evaluation in FOLDER is kept, and the rest written anew from it; with --health besides, what the model says
of made-up healthy stays is judged anew, which needs no data. Trained baselines can be taken over from the evaluation of
another card on the same stays: --baselines FILE.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from agents.policy import Policy, PolicyError
from models.artifact import ArtifactError, load_model, model_folder
from models.boosting import BoostingError
from models.cohort import CohortError, read_cohort
from models.provenance import provenance
from models.stay_model import StayModel
from monitor.across_hospitals import across_hospitals
from monitor.alert_course import policy_for
from monitor.card_baselines import take_over_baselines
from monitor.card_pictures import draw_pictures
from monitor.card_text import PICTURE_FOLDER, card_text
from monitor.commands.evaluate import SEED, all_views, chosen_stays, spinner, trained_baselines
from monitor.errors import Failure, failing_on
from monitor.evaluation import Evaluator, health_of, plain

__all__ = ["CardOptions", "main", "rewrite_card", "write_card"]

_EVALUATION_FILE, _CURVES_FILE = "evaluation.json", "curves.png"
_SIGNIFICANT = 5  # digits of a number in the file


@dataclass(frozen=True)
class CardOptions:
    """What a card may be written with."""

    measured: str | None = None  # the artefact that is judged in the model's stead
    stays: Path | None = None
    policy: Path | None = None
    lightgbm: Path | None = None
    textbook: Path | None = None
    baselines: Path | None = None  # the evaluation of another card, whose trained baselines are taken over
    across: tuple[str, ...] = ()  # models of one hospital each
    bootstrap: int = 500
    health: bool = False  # judge the made-up healthy stays anew where the rest of an evaluation is kept


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write into.")
@click.option("--measured", metavar="FOLDER", help="The artefact whose figures a refitted model took over.")
@click.option("--stays", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An id a line.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy file of the alerts; default: the shipped one.")
@click.option("--lightgbm", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A baseline more.")
@click.option("--textbook", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Another.")
@click.option("--baselines", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="evaluation.json.")
@click.option("--across", metavar="FOLDER", multiple=True, help="A model of one hospital: `train --hospital NAME`.")
@click.option("--bootstrap", type=click.IntRange(min=0), default=500, show_default=True, help="Rounds.")
@click.option("--again", is_flag=True, help="Judge nothing: card and pictures from the evaluation that --out holds.")
@click.option("--health", is_flag=True, help="With --again: judge the made-up healthy stays anew, nothing else.")
def main(*, model: str, data: Path | None, out: Path, again: bool, **options: Any) -> None:
    """Write the card of MODEL (a shipped one, or a folder), judged on labelled stays of DATA."""
    if again == (data is not None):
        msg = "give either DATA, to judge the model on, or --again"
        raise click.UsageError(msg)
    if options["health"] and not again:
        msg = "--health goes with --again: with DATA, health is judged anyway"
        raise click.UsageError(msg)
    try:
        if data is None:
            rewrite_card(model, out, CardOptions(**options))
        else:
            write_card(model, data, out, CardOptions(**options))
    except Failure as failure:
        raise click.ClickException(str(failure)) from failure


def write_card(model: str, data: Path, out: Path, options: CardOptions) -> dict[str, Any]:
    """Evaluate, write everything into a folder, and return the evaluation; raises Failure."""
    with failing_on(ArtifactError, BoostingError, CohortError, PolicyError):
        shipped = load_model(model)
        judged = load_model(options.measured or model)
        _refuse_unmeasured(shipped, judged)
        across = across_hospitals(options.across, shipped.manifest)
        rules = policy_for(shipped, options.policy)  # also where the model is judged by another of its recipe
        found = _evaluation(judged, options.measured or model, rules, data, options)
        if judged.digest != shipped.digest:
            _judge_health(found, shipped, rules)
    found["shipped"] = {"name": shipped.name, "version": shipped.version, "digest": shipped.digest}
    return _write(found, across, shipped, out, options.baselines)


def rewrite_card(model: str, out: Path, options: CardOptions) -> dict[str, Any]:
    """Write everything anew from the evaluation that a folder holds, and return it; raises Failure.

    Nothing is judged, but for made-up healthy stays where that is asked for (`health`): for new words, and to set
    models of one hospital beside (`across`).
    """
    with failing_on(ArtifactError, PolicyError):
        shipped = load_model(model)
        across = across_hospitals(options.across, shipped.manifest)
        rules = policy_for(shipped, options.policy)
    file = out / _EVALUATION_FILE
    try:
        found = json.loads(file.read_bytes())
        digest = found["shipped"]["digest"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = f"{file}: not an evaluation of this command ({error}); leave --again out, to judge the model on DATA"
        raise Failure(msg) from error
    if digest != shipped.digest:
        msg = f"{file} is the evaluation of {digest}, not of {shipped.digest}; leave --again out, to judge the model"
        raise Failure(msg)
    if options.health:
        _judge_health(found, shipped, rules)
    return _write(found, across, shipped, out, options.baselines)


def _judge_health(found: dict[str, Any], shipped: StayModel, rules: Policy) -> None:
    """Set what the shipped weights say of health into every view of an evaluation."""
    for view in all_views():
        if view.name in found["views"]:
            found["views"][view.name]["health"] = health_of(shipped, rules, view, SEED)


def _write(
    found: dict[str, Any], across: list[dict[str, Any]], shipped: StayModel, out: Path, baselines: Path | None
) -> dict[str, Any]:
    kept: dict[str, Any] = _shortened(plain(found | ({"across_hospitals": across} if across else {})))
    if baselines is not None:
        take_over_baselines(kept, baselines)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _EVALUATION_FILE).write_text(json.dumps(kept, allow_nan=False) + "\n", encoding="utf-8")
        (out / "MODEL_CARD.md").write_text(card_text(kept, shipped.manifest), encoding="utf-8")
        draw_pictures(kept, out / PICTURE_FOLDER)
        _draw_training(shipped, out / _CURVES_FILE)
    except OSError as error:
        msg = f"{out} cannot be written: {error}"
        raise Failure(msg) from error
    return kept


def _draw_training(shipped: StayModel, path: Path) -> None:
    """Draw the course of the training, where the manifest has it."""
    from models.checkpoint import Epoch  # noqa: PLC0415  (torch)
    from models.curves import draw_curves  # noqa: PLC0415

    epochs = shipped.manifest.training.get("epochs")
    if epochs:
        clock = bool(shipped.manifest.hour_log_odds)
        draw_curves(path, msgspec.convert(epochs, tuple[Epoch, ...]), clock=clock)


def _refuse_unmeasured(shipped: StayModel, judged: StayModel) -> None:
    """Raise Failure where the figures would not be those of the model: its own, or of what it was measured with."""
    measured_with = shipped.manifest.metrics.get("measured_with_weights", shipped.manifest.weights_sha256)
    if measured_with == judged.manifest.weights_sha256:
        return
    msg = (
        f"{shipped.name} {shipped.version} was measured with the weights {measured_with}, which are not those of "
        f"{judged.name} {judged.version}; give the folder of that artefact as --measured, or none where it is its own"
    )
    raise Failure(msg)


def _evaluation(judged: StayModel, name: str, rules: Policy, data: Path, options: CardOptions) -> dict[str, Any]:
    whole, folder = read_cohort(data), model_folder(name)
    listed = provenance(judged.manifest, folder, whole, np.ones(whole.n_stays, dtype=np.bool_)).test_stays
    chosen = chosen_stays(whole, options.stays or listed)
    known = provenance(judged.manifest, folder, whole, chosen)
    with spinner() as say:
        evaluator = Evaluator(
            judged,
            rules,
            whole.select(chosen),
            rounds=options.bootstrap,
            seed=SEED,
            trained=trained_baselines(options.lightgbm, options.textbook),
            say=say,
        )
        return evaluator.everything(all_views()) | {"provenance": known.counts()}


def _shortened(value: Any) -> Any:
    """Return the object with numbers of five digits: more would be noise in a file that is kept."""
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT}g}")
    return value


if __name__ == "__main__":
    main()
