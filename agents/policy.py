"""The alert policy: versioned thresholds and times in a TOML file, named with its digest in every alert."""

from __future__ import annotations

import hashlib
import math
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.stay_model import StayModel
from models.vital_signs import NAMES

__all__ = [
    "SHIPPED_POLICY",
    "Bounds",
    "Budget",
    "Policy",
    "PolicyError",
    "at_threshold",
    "chosen_for",
    "critical_bounds",
    "load_policy",
    "milliseconds",
    "mismatch",
]

SHIPPED_POLICY = "pager"
_MINUTE_MS = 60_000
_Name = Annotated[str, msgspec.Meta(pattern=r"\S")]
_Probability = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
_Step = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]
_Time = Annotated[float, msgspec.Meta(ge=0.0, le=100_000.0)]


class PolicyError(Exception):
    """The policy file cannot be used; the message says which key and why."""


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The range outside which a vital sign is critical; an end that is not given has no limit."""

    low: float | None = None
    high: float | None = None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The burden of false alerts that a unit bears, and within which limits its raise threshold may follow it.

    The threshold never goes above `highest_threshold`, at which alerts still find the share of septic stays that was
    promised when the policy was chosen, nor below `lowest_threshold`.
    """

    false_episodes_per_patient_day: Annotated[float, msgspec.Meta(gt=0.0, le=24.0)]
    lowest_threshold: _Probability
    highest_threshold: _Probability
    window_hours: Annotated[float, msgspec.Meta(ge=1.0, le=720.0)] = 24.0  # of event time, over which it is measured
    least_patient_days: Annotated[float, msgspec.Meta(gt=0.0, le=10_000.0)] = 10.0  # with fewer in it nothing moves
    tolerance: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.2  # of the budget, within which nothing moves
    step: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.1  # of the threshold, at most, a move


# Beyond these a vital sign alone scores the most that NEWS2 gives for it (Royal College of Physicians, 2017): 3 points,
# or 2 for a high temperature. 65 mmHg is the target for the mean pressure in septic shock (Surviving Sepsis, 2021).
_CRITICAL = {
    "heart_rate": Bounds(41, 130),
    "respiratory_rate": Bounds(9, 24),
    "temperature": Bounds(35.1, 39.0),
    "oxygen_saturation": Bounds(92, None),
    "systolic_bp": Bounds(91, 219),
    "mean_arterial_pressure": Bounds(65, None),
}


class Policy(msgspec.Struct, frozen=True):
    """When alerts are raised, told again and ended. Times in minutes or hours; 0 switches a rule off.

    `sepsis_risk` is raised when the risk has been at `raise_threshold` or over it for `raise_minutes` of event time,
    and resolved when it has been below `resolve_threshold` for `resolve_minutes` (hysteresis); neither while too little
    is known of the patient; none is raised within `refractory_minutes` of the last. With `latching`, one that nobody
    has acknowledged stays until somebody does, or for `latch_hours` (0 keeps none). `digest` is sha256 of the file.
    """

    name: str
    version: str
    digest: str
    raise_threshold: float  # calibrated probabilities
    resolve_threshold: float
    priority: Literal["low", "medium"] = "medium"
    model: str = ""  # name and version of the model whose risks the thresholds were chosen on
    raise_minutes: float = 0.0
    resolve_minutes: float = 0.0
    refractory_minutes: float = 0.0
    latching: bool = False
    latch_hours: float = 12.0
    escalate_threshold: float | None = None  # a risk that makes the priority high
    acknowledge_minutes: float = 30.0  # by the wall clock: unacknowledged for so long, the priority rises
    update_step: float = 0.05  # a change of risk since it was last told that is told
    update_minutes: float = 60.0  # but not more often than this
    snooze_most_minutes: float = 240.0  # the longest snooze
    snooze_rise: float = 0.05  # a rise of the risk over the one at the snooze, or the dismissal, that ends it
    treated_hours: float = 24.0  # no sepsis_risk for so long after `already_treated`
    mark_hours: float = 72.0  # how long after its end an alert may be marked
    monitoring_lost_minutes: float = 90.0  # by the wall clock: nothing from a patient whose data used to come at once
    monitoring_lost_priority: Literal["low", "medium", "high"] = "medium"
    cannot_assess_minutes: float = 360.0
    cannot_assess_priority: Literal["low", "medium", "high"] = "low"
    critical: dict[str, Bounds] = msgspec.field(default_factory=lambda: dict(_CRITICAL))  # crossing one ends a snooze
    budget: Budget | None = None  # without one the thresholds stay as they are


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file may say; a key that it does not have keeps the default of `Policy`."""

    name: _Name
    version: _Name
    model: str
    raise_threshold: _Probability
    resolve_threshold: _Probability
    chosen_by: str = ""
    priority: Literal["low", "medium"] | msgspec.UnsetType = msgspec.UNSET
    raise_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    resolve_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    refractory_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    latching: bool | msgspec.UnsetType = msgspec.UNSET
    latch_hours: _Time | msgspec.UnsetType = msgspec.UNSET
    escalate_threshold: _Probability | msgspec.UnsetType = msgspec.UNSET
    acknowledge_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    update_step: _Step | msgspec.UnsetType = msgspec.UNSET
    update_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    snooze_most_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    snooze_rise: _Probability | msgspec.UnsetType = msgspec.UNSET
    treated_hours: _Time | msgspec.UnsetType = msgspec.UNSET
    mark_hours: _Time | msgspec.UnsetType = msgspec.UNSET
    monitoring_lost_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    monitoring_lost_priority: Literal["low", "medium", "high"] | msgspec.UnsetType = msgspec.UNSET
    cannot_assess_minutes: _Time | msgspec.UnsetType = msgspec.UNSET
    cannot_assess_priority: Literal["low", "medium", "high"] | msgspec.UnsetType = msgspec.UNSET
    critical: dict[str, Bounds] | msgspec.UnsetType = msgspec.UNSET
    budget: Budget | msgspec.UnsetType = msgspec.UNSET


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
    problem = _problem(said)
    if problem is not None:
        msg = f"{where}: {problem}"
        raise PolicyError(msg)
    given = {
        name: value
        for name, value in msgspec.structs.asdict(said).items()
        if name != "chosen_by" and value is not msgspec.UNSET
    }
    return Policy(digest="sha256:" + hashlib.sha256(raw).hexdigest(), **given)


def _problem(said: _File) -> str | None:
    """Return what contradicts itself in a file whose values are each possible, or None."""
    if said.resolve_threshold > said.raise_threshold:
        return "resolve_threshold must not be above raise_threshold"
    if isinstance(said.escalate_threshold, float) and said.escalate_threshold < said.raise_threshold:
        return "escalate_threshold must not be below raise_threshold"
    if isinstance(said.budget, Budget):
        lowest, highest = said.budget.lowest_threshold, said.budget.highest_threshold
        if not lowest <= said.raise_threshold <= highest:
            return "budget.lowest_threshold and budget.highest_threshold must lie around raise_threshold"
    return None if isinstance(said.critical, msgspec.UnsetType) else _critical_problem(said.critical)


def _critical_problem(critical: dict[str, Bounds]) -> str | None:
    for name, bounds in critical.items():
        if name not in NAMES:
            return f"critical names {name}, which is no vital sign: they are {', '.join(NAMES)}"
        ends = [end for end in (bounds.low, bounds.high) if end is not None]
        if not all(map(math.isfinite, ends)):  # no value is beyond nan: the sign would never be critical
            return f"critical.{name}: low and high must be finite; one that is left out has no limit"
        if ends != sorted(ends):
            return f"critical.{name}: low must not be above high"
    return None


def at_threshold(policy: Policy, raise_threshold: float) -> Policy:
    """Return the policy with another raise threshold, resolving at the same share of it.

    A high priority is never given below the raise threshold.
    """
    if raise_threshold == policy.raise_threshold:
        return policy
    share = policy.resolve_threshold / policy.raise_threshold
    escalate = policy.escalate_threshold
    return msgspec.structs.replace(
        policy,
        raise_threshold=raise_threshold,
        resolve_threshold=raise_threshold * share,
        escalate_threshold=None if escalate is None else max(escalate, raise_threshold),
    )


def milliseconds(*, minutes: float = 0.0, hours: float = 0.0) -> int:
    """Return a policy's time as whole milliseconds."""
    return round((minutes + 60 * hours) * _MINUTE_MS)


def critical_bounds(policy: Policy) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return below and above which each vital sign is critical, (7,) each; infinite where there is no limit."""
    bounds = [policy.critical.get(name, Bounds()) for name in NAMES]
    low = [-np.inf if bound.low is None else bound.low for bound in bounds]
    high = [np.inf if bound.high is None else bound.high for bound in bounds]
    return np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)


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
