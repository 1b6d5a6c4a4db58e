"""Write a model's card and its pictures from an evaluation on stays it has not seen.

    python -m monitor.model_card MODEL DATA --out FOLDER

Writes MODEL_CARD.md, evaluation.json and pictures/*.png. Without --stays, the model is judged on the stays listed in
test-stays.txt beside it, where there is such a list, else on all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from agents.policy import PolicyError
from models.artifact import ArtifactError, load_model, model_folder
from models.boosting import Boosting, BoostingError
from models.cohort import CohortError, read_cohort
from models.provenance import provenance
from monitor.alert_course import policy_for
from monitor.card_pictures import draw_pictures
from monitor.card_text import PICTURE_FOLDER, card_text
from monitor.commands.evaluate import SEED, all_views, chosen_stays, spinner
from monitor.errors import Failure, failing_on
from monitor.evaluation import Evaluator, plain

__all__ = ["main", "write_card"]

_SIGNIFICANT = 5  # digits of a number in the file


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write into.")
@click.option("--stays", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An id a line.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy file of the alerts; default: the shipped one.")
@click.option("--lightgbm", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A baseline more.")
@click.option("--bootstrap", type=click.IntRange(min=0), default=500, show_default=True, help="Rounds.")
def main(
    *, model: str, data: Path, out: Path, stays: Path | None, policy: Path | None, lightgbm: Path | None, bootstrap: int
) -> None:
    """Write the card of MODEL (a shipped one, or a folder), judged on labelled stays of DATA."""
    try:
        write_card(model, data, out, stays=stays, policy=policy, lightgbm=lightgbm, rounds=bootstrap)
    except Failure as failure:
        raise click.ClickException(str(failure)) from failure


def write_card(
    model: str, data: Path, out: Path, *, stays: Path | None, policy: Path | None, lightgbm: Path | None, rounds: int
) -> dict[str, Any]:
    """Evaluate, write everything into a folder, and return the evaluation; raises Failure."""
    with failing_on(ArtifactError, BoostingError, CohortError, PolicyError):
        loaded, whole = load_model(model), read_cohort(data)
        rules = policy_for(loaded, policy)
        boosting = Boosting(lightgbm) if lightgbm else None
        folder = model_folder(model)
        everyone = np.ones(whole.n_stays, dtype=np.bool_)
        listed = provenance(loaded.manifest, folder, whole, everyone).test_stays
        chosen = chosen_stays(whole, stays or listed)
        known = provenance(loaded.manifest, folder, whole, chosen)
        with spinner() as say:
            cohort = whole.select(chosen)
            evaluator = Evaluator(loaded, rules, cohort, rounds=rounds, seed=SEED, boosting=boosting, say=say)
            found: dict[str, Any] = plain(evaluator.everything(all_views()) | {"provenance": known.counts()})
    found = _shortened(found)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "evaluation.json").write_text(json.dumps(found, allow_nan=False) + "\n", encoding="utf-8")
        (out / "MODEL_CARD.md").write_text(card_text(found, loaded.manifest), encoding="utf-8")
        draw_pictures(found, out / PICTURE_FOLDER)
    except OSError as error:
        msg = f"{out} cannot be written: {error}"
        raise Failure(msg) from error
    return found


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
