"""How a model and its card came to be, as commands: what a model card says under "How to reproduce"."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from models.manifest import Manifest
from models.training_config import TrainingConfigError, load_training_config

__all__ = ["reproduction"]

# Configurations that come with the product; the first one is what `train` takes without --config.
_CONFIGS = (None, "models/challenge.toml")
_SHOWN = "monitor/data/demo-stays.parquet"
_SAID_NOTHING = {"healthy_share": 0.0, "order_weight": 0.0}  # what a setting is where an older manifest has none
_ROUNDS = 500  # of the bootstrap, unless `monitor.model_card` is told otherwise


def reproduction(found: dict[str, Any], manifest: Manifest) -> str:
    """Return the commands that make the model, its baselines and its card, and what they need, as Markdown."""
    training = manifest.training
    libraries = ", ".join(f"{name} {version}" for name, version in training.get("libraries", {}).items())
    lines, notes = _training(manifest)
    makes, gives = _beside(found, _options(training))
    lines += makes
    measured = " --measured MEASURED" if _refitted(manifest) else ""
    rounds = found["bootstrap"]["rounds"]
    bootstrap = "" if rounds == _ROUNDS else f" --bootstrap {rounds}"
    if "baselines_from" in found:
        notes = f"EVALUATION is `evaluation.json` of {found['baselines_from']}. {notes}"
    lines.append(f"python -m monitor.model_card MODEL DATA{measured}{gives}{bootstrap} --out MODEL")
    return (
        "In the root of the repository:\n\n```\n" + "\n".join(lines) + "\n```\n\n"
        f"DATA has sha256 `{training.get('data_sha256', 'unknown')}`; seed {training.get('seed', 'unknown')}; "
        f"{libraries or 'libraries unknown'}. {notes}The whole configuration is in `manifest.json`."
    )


def _training(manifest: Manifest) -> tuple[list[str], str]:
    """Return the commands that train the model, and what to know of them."""
    training, options = manifest.training, _options(manifest.training)
    named = f" --name {manifest.name} --version {manifest.version}{options}"
    notes = ""
    if "CONFIG" in options:
        notes = "CONFIG is a TOML file of the configuration in `manifest.json`. "
    made = (
        "The code of the time gave them; another state of the features, or other libraries, may give other digests. "
        f"The weights have sha256 `{manifest.weights_sha256}`"
    )
    if not _refitted(manifest):
        return [f"sepsis-monitor train DATA --out MODEL{named}"], f"{notes}{made}. "
    shown, kept = _kept_out(training), ""
    if shown:
        kept = f" --keep-out {shown}"
        notes += "SHOWN has the stays that `test-stays.txt` lists. " if shown == "SHOWN" else ""
    notes += f"{made}, those measured `{manifest.metrics['measured_with_weights']}`. "
    return [
        f"sepsis-monitor train DATA --out MEASURED{named}",
        f"sepsis-monitor train DATA --out MODEL --refit MEASURED{kept}{named}",
    ], notes


def _beside(found: dict[str, Any], options: str) -> tuple[list[str], str]:
    """Return the commands that make what stands beside the model, and the options that the card takes it by."""
    taken_over = "baselines_from" in found
    baselines = {} if taken_over else next(iter(found["views"].values()))["baselines"]
    makes, gives = [], " --baselines EVALUATION" if taken_over else ""
    if "lightgbm" in baselines:
        makes.append("python -m models.boosting DATA BOOSTING   # a baseline; needs the dependency group `train`")
        gives += " --lightgbm BOOSTING"
    if "textbook" in baselines:
        makes.append("python -m models.textbook DATA TEXTBOOK   # a baseline")
        gives += " --textbook TEXTBOOK"
    for hospital in sorted({each["trained_on"] for each in found.get("across_hospitals", [])}):
        makes.append(f"sepsis-monitor train DATA --out ON-{hospital} --hospital {hospital}{options}")
        gives += f" --across ON-{hospital}"
    return makes, gives


def _options(training: dict[str, Any]) -> str:
    """Return the options by which `train` takes the manifest's configuration, "" where it is the default one."""
    used, hospital = training.get("config"), training.get("hospital")
    here = f" --hospital {hospital}" if hospital else ""
    if not isinstance(used, dict):
        return here
    for name in _CONFIGS:
        try:
            known = msgspec.to_builtins(load_training_config(Path(__file__).parents[1] / name if name else None))
        except TrainingConfigError:  # a file of the repository that the installed package lacks
            continue
        if _same(used, known):
            seed = "" if used.get("seed") == known["seed"] else f" --seed {used.get('seed')}"
            return (f" --config {name}" if name else "") + seed + here
    return " --config CONFIG" + here


def _same(used: dict[str, Any], known: dict[str, Any]) -> bool:
    """Return whether two configurations train alike, but for the seed: settings of nothing at all count as none."""
    used, known = _SAID_NOTHING | used, dict(known)
    if not used["healthy_share"] and not known["healthy_share"]:
        unused = {"healthy_weight", "healthy_odds"}
        used, known = ({name: each[name] for name in each.keys() - unused} for each in (used, known))
    return bool(used | {"seed": None} == known | {"seed": None})


def _refitted(manifest: Manifest) -> bool:
    """Return whether the model learned from its test stays, too, once its recipe was measured."""
    return bool(manifest.metrics.get("measured_with_weights", manifest.weights_sha256) != manifest.weights_sha256)


def _kept_out(training: dict[str, Any]) -> str:
    """Return the file of the test stays that a refitted model still has not learned from; "" where there are none."""
    if not training.get("stays", {}).get("test"):
        return ""
    with resources.as_file(resources.files("monitor") / _SHOWN.removeprefix("monitor/")) as path:
        ids = pl.read_parquet(path, columns=["patient_id"])["patient_id"].unique().sort().to_list()
    listed = hashlib.sha256("".join(f"{name}\n" for name in ids).encode()).hexdigest()
    return _SHOWN if listed == training.get("test_stays_sha256") else "SHOWN"
