"""The manifest of a model artefact: everything but the weights, as JSON beside them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from models.features import CLOCK_NAMES, FEATURE_NAMES, INPUT_BOUND
from models.vital_signs import NAMES

__all__ = [
    "SCHEMA_VERSION",
    "Assessable",
    "Calibration",
    "Doubt",
    "GoldenStay",
    "Layout",
    "Manifest",
    "Scale",
    "Tail",
    "Thresholds",
    "content_sha256",
]

SCHEMA_VERSION = 1


class Layout(msgspec.Struct, frozen=True):
    """What the weights expect; a program of another layout must refuse them."""

    hidden: int
    step_hours: float = 1.0
    vital_signs: tuple[str, ...] = NAMES
    features: tuple[str, ...] = FEATURE_NAMES
    input_bound: float = INPUT_BOUND

    @classmethod
    def of(cls, hidden: int, *, clock: bool) -> Layout:
        """Return the layout of a network of this program, with or without the clock among its inputs."""
        return cls(hidden=hidden, features=FEATURE_NAMES + CLOCK_NAMES if clock else FEATURE_NAMES)


class Scale(msgspec.Struct, frozen=True):
    """Mean and standard deviation of the plausible values of one vital sign in the training stays, in its unit."""

    mean: float
    deviation: float


class Calibration(msgspec.Struct, frozen=True):
    """Risk = sigmoid(slope * logit + intercept): smooth, strictly rising (Platt 1999)."""

    slope: float
    intercept: float


class Thresholds(msgspec.Struct, frozen=True):
    """Cuts of the risk. The utility's scores a model and must never page a person; the pager has its own two."""

    utility: float
    pager_raise: float
    pager_resolve: float


class Assessable(msgspec.Struct, frozen=True):
    """Enough is known for a risk when this many vital signs were measured within so many hours."""

    vital_signs: int = 2
    within_hours: int = 8


class Tail(msgspec.Struct, frozen=True):
    """How surprising the rare values of one measure are: excess over a threshold in nats at rising values, 0 between.

    Straight lines between the values, and on beyond the first and the last.
    """

    values: tuple[float, ...]
    excess: tuple[float, ...]


class Doubt(msgspec.Struct, frozen=True):
    """What is like the stays that were learned from, and which measurement would settle a doubt; see `models.doubt`."""

    alpha: float  # at most this share of new stays is ever called unlike, of septic ones too
    limit: float | None  # a strangeness above it is unlike; None: too few calibration stays to promise anything
    centre: tuple[float, ...]  # (7) of the medians of twelve hours, as z
    covariance: tuple[tuple[float, ...], ...]  # (7, 7)
    tails: dict[str, Tail]  # by the names in `doubt.TERMS`
    settling: tuple[str, ...]  # all vital signs, the one to be measured first first
    calibration: dict[str, int | float | None] = {}  # for people: stays, septic ones, and the limit of each alone


class GoldenStay(msgspec.Struct, frozen=True):
    """A made-up stay and the logits and risks it must give: recomputed whenever the artefact is loaded."""

    values: tuple[tuple[float | None, ...], ...]  # (steps, 7)
    age_years: float
    sex: float
    hospital_hours: float
    unit_type: int
    logits: tuple[float, ...]  # (steps)
    strangeness: tuple[float, ...] = ()  # (steps) where the artefact can tell
    risks: tuple[float, ...] = ()  # (steps) that the calibration makes of the logits


class Manifest(msgspec.Struct, frozen=True):
    """What an artefact says of itself. Free-form parts (`training`, `metrics`) inform people and decide nothing."""

    name: str
    version: str
    weights_sha256: str
    layout: Layout
    scaling: dict[str, Scale]
    calibration: Calibration
    thresholds: Thresholds
    assessable: Assessable
    golden: tuple[GoldenStay, ...] = ()
    # Added to the logit, by hour of the stay (the last one also later); empty: the model does not see the clock.
    hour_log_odds: tuple[float, ...] = ()
    doubt: Doubt | None = None  # without it nothing is called unlike
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    schema_version: int = SCHEMA_VERSION
    content_sha256: str = ""  # of everything else in the file, see `content_sha256`; written by `encoded`

    def encoded(self) -> bytes:
        """Return the manifest as the bytes of its file: JSON for people, the same for the same content."""
        sealed = msgspec.structs.replace(self, content_sha256=content_sha256(msgspec.json.encode(self)))
        return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def content_sha256(encoded: bytes) -> str:
    """Return the digest of a manifest's JSON object without its own `content_sha256`: keys sorted, no white space.

    Guards a manifest against damage and careless edits, such as a changed threshold. Not against intent: who can write
    the file can write the digest. For that, a deployment compares the model's digest, or signs the files. Raises
    msgspec.MsgspecError where the bytes are not a JSON object.
    """
    content = msgspec.json.decode(encoded, type=dict[str, Any])
    content.pop("content_sha256", None)
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
