"""The alert policy: versioned thresholds in a TOML file, named with its digest in every alert."""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from models.stay_model import StayModel

__all__ = ["SHIPPED_POLICY", "Policy", "PolicyError", "chosen_for", "load_policy", "mismatch"]

SHIPPED_POLICY = "pager"
_Probability = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]


class PolicyError(Exception):
    """The policy file cannot be used; the message says which key and why."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    version: str
    model: str
    raise_threshold: _Probability
    resolve_threshold: _Probability
    priority: Literal["low", "medium"] = "medium"
    chosen_by: str = ""


class Policy(msgspec.Struct, frozen=True):
    """When a sepsis alert is raised and when it is resolved.

    Raised when the risk reaches `raise_threshold`, resolved when it falls below `resolve_threshold` (hysteresis), both
    calibrated probabilities; neither while too little is known of the patient. `digest` is sha256 of the file.
    """

    name: str
    version: str
    digest: str
    raise_threshold: float
    resolve_threshold: float
    priority: Literal["low", "medium"] = "medium"
    model: str = ""  # name and version of the model whose risks the thresholds were chosen on


def load_policy(source: str | Path | None = None) -> Policy:
    """Load a policy file, or the shipped one when `source` is None; raises PolicyError."""
    if source is None:
        raw = resources.files("agents").joinpath("policies", f"{SHIPPED_POLICY}.toml").read_bytes()
    else:
        try:
            raw = Path(source).read_bytes()
        except OSError as error:
            msg = f"the policy file {source} cannot be read: {error.strerror}; name an existing one as policy.file"
            raise PolicyError(msg) from error
    where = f"the policy file {source or SHIPPED_POLICY} is not valid"
    try:
        said = msgspec.convert(tomllib.loads(raw.decode()), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        msg = f"{where}: {error}"
        raise PolicyError(msg) from error
    if said.resolve_threshold > said.raise_threshold:
        msg = f"{where}: resolve_threshold must not be above raise_threshold"
        raise PolicyError(msg)
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    return Policy(
        said.name, said.version, digest, said.raise_threshold, said.resolve_threshold, said.priority, said.model
    )


def chosen_for(policy: Policy, model: StayModel) -> bool:
    """Return whether the policy's thresholds were chosen on this model's risks, by its name and version."""
    return policy.model == f"{model.name} {model.version}"


def mismatch(policy: Policy, model: StayModel) -> str | None:
    """Return a sentence on a policy that was chosen for another model, and what to do; None where it was for this."""
    if chosen_for(policy, model):
        return None
    own = model.manifest.thresholds
    return (
        f"the policy {policy.name} {policy.version} was chosen for the model {policy.model}, not for {model.name} "
        f"{model.version}: at its thresholds this model may alert far too often or hardly ever; name a policy file "
        f"made for this model as policy.file (its manifest has raise_threshold = {own.pager_raise}, "
        f"resolve_threshold = {own.pager_resolve})"
    )
