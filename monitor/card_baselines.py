"""Baselines of one card beside another model: what they say of stays does not depend on the model they stand beside.

Training LightGBM again for each model's card would give the same rows. They are taken from the evaluation of a card
that has them, where both judged the same stays by the same draws of the bootstrap. Only alert episodes depend on the
model, by the hours that it does not assess: they are left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monitor.errors import Failure

__all__ = ["TRAINED_BASELINES", "take_over_baselines"]

TRAINED_BASELINES = ("textbook", "lightgbm", "lightgbm_with_clock")
_ALIKE = ("data", "bootstrap", "provenance")


def take_over_baselines(found: dict[str, Any], file: Path) -> None:
    """Set the trained baselines of another card's evaluation into this one, in every view.

    Raises Failure where the file is none, has none, or is not of the same stays and draws: also where the figures of
    any baseline that both have differ.
    """
    try:
        other = json.loads(file.read_bytes())
        views = {name: other["views"][name]["baselines"] for name in found["views"]}
        model = f"{other['shipped']['name']} {other['shipped']['version']}"
        alike = all(other[each] == found[each] for each in _ALIKE)
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = f"{file}: not the evaluation of a card with the same views ({error})"
        raise Failure(msg) from error
    if not alike or not all(_agree(view["baselines"], views[name]) for name, view in found["views"].items()):
        msg = f"{file}: an evaluation of other stays or by other draws; its baselines say nothing of those judged here"
        raise Failure(msg)
    if not any(each in beside for beside in views.values() for each in TRAINED_BASELINES):
        msg = f"{file}: no trained baseline in it ({', '.join(TRAINED_BASELINES)})"
        raise Failure(msg)
    for name, view in found["views"].items():
        taken = {each: _without_episodes(views[name][each]) for each in TRAINED_BASELINES if each in views[name]}
        view["baselines"] |= taken
    found["baselines_from"] = model


def _agree(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Return whether the figures of every untrained baseline are those of the other evaluation; there must be some."""
    common = [name for name in one if name not in TRAINED_BASELINES]
    return bool(common) and all(name in two and one[name]["figures"] == two[name]["figures"] for name in common)


def _without_episodes(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"compared": entry["compared"] | {"episodes": {"reached": False}}}
