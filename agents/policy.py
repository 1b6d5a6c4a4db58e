"""The alert policy: versioned thresholds in a TOML file, named with its digest in every alert."""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

__all__ = ["SHIPPED_POLICY", "Policy", "PolicyError", "load_policy"]

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
            msg = f"the policy file cannot be read: {error.strerror}; give an existing TOML file as policy.file"
            raise PolicyError(msg) from error
    try:
        said = msgspec.convert(tomllib.loads(raw.decode()), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        msg = f"the policy file is not valid: {error}"
        raise PolicyError(msg) from error
    if said.resolve_threshold > said.raise_threshold:
        msg = "the policy file is not valid: resolve_threshold must not be above raise_threshold"
        raise PolicyError(msg)
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    return Policy(
        said.name, said.version, digest, said.raise_threshold, said.resolve_threshold, said.priority, said.model
    )
