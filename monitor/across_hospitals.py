"""How a recipe does at a hospital it has never seen: the figures of models that each learned from one hospital.

    sepsis-monitor train DATA --out on-a --hospital A
    sepsis-monitor train DATA --out on-b --hospital B
    sepsis-monitor evaluate DATA --model MODEL --across on-a --across on-b

`train` measures such a model on its own test stays and on all stays of the other hospitals, with intervals over stays,
and writes that into the manifest. Here those figures are read and set side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from models.artifact import load_model
from models.evaluation import VIEWS
from models.manifest import Manifest
from monitor.errors import Failure

__all__ = ["across_hospitals"]

_OF_A_RECIPE = ("config", "data_sha256")  # what two manifests' `training` have in common then


def across_hospitals(folders: Iterable[str], like: Manifest) -> list[dict[str, Any]]:
    """Return one entry for each hospital that each folder's model was tested on.

    Raises Failure where a folder's model is not of one hospital, or not of the recipe and the data that `like` is of;
    ArtifactError where it cannot be loaded.
    """
    found = []
    for folder in folders:
        model = load_model(folder)
        training, metrics = model.manifest.training, model.manifest.metrics
        hospital = training.get("hospital")
        if not hospital:
            msg = f"{folder}: not a model of one hospital; make one by `sepsis-monitor train DATA --hospital NAME`"
            raise Failure(msg)
        differing = [name for name in _OF_A_RECIPE if training.get(name) != like.training.get(name)]
        if differing:
            msg = (
                f"{folder}: its {' and '.join(differing)} are not those of {like.name} {like.version}, so it says "
                "nothing of that model; train it anew on the same data and configuration"
            )
            raise Failure(msg)
        tested = {hospital: metrics["test_stays"]} | metrics["other_hospitals"]
        for name, figures in tested.items():
            found.append(
                {
                    **{"trained_on": hospital, "tested_on": name, "digest": model.digest},
                    **{each: figures[each] for each in ("stays", "septic_stays")},
                    "views": {view: figures[view] for view in VIEWS},
                }
            )
    return found
