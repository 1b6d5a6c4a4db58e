"""Model artefacts: a folder with `model.safetensors` and `manifest.json`, checked before a number comes out of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models.doubt import TERMS, problem_of
from models.lstm import Weights
from models.manifest import (
    SCHEMA_VERSION,
    Assessable,
    Calibration,
    Doubt,
    GoldenStay,
    Layout,
    Manifest,
    Scale,
    Tail,
    Thresholds,
    content_sha256,
)
from models.stay_model import StayModel, StepInput
from models.vital_signs import N_VITAL_SIGNS, NAMES, VITAL_SIGNS

__all__ = [
    "ArtifactError",
    "Description",
    "build_model",
    "load_model",
    "model_folder",
    "save_model",
    "seal_model",
    "shipped_models",
    "untrained_model",
]

_SHIPPED = Path(__file__).parent / "artifacts"
_WEIGHTS_FILE = "model.safetensors"
_MANIFEST_FILE = "manifest.json"
_GOLDEN_TOLERANCE = 1e-4  # of a logit: another processor's tanh may differ in its last bit, a wrong layout far more
_RISK_TOLERANCE = 1.5e-6  # one in the last of the decimals of a risk
_GOLDEN_STEPS = 16


class ArtifactError(ValueError):
    """An artefact is missing, damaged or of another layout: the message names the folder and what to do."""


@dataclass(frozen=True)
class Description:
    """What a manifest says beside what follows from the weights."""

    name: str
    version: str
    scaling: dict[str, Scale]
    calibration: Calibration
    thresholds: Thresholds
    assessable: Assessable
    training: dict[str, object]
    metrics: dict[str, object]
    hour_log_odds: tuple[float, ...] = ()  # of a model that sees the clock
    doubt: Doubt | None = None


def shipped_models() -> tuple[str, ...]:
    """Return the names of the artefacts that come with the package."""
    return tuple(sorted(folder.parent.name for folder in _SHIPPED.glob(f"*/{_MANIFEST_FILE}")))


def model_folder(name_or_folder: str) -> Path:
    """Return the folder of a shipped model, or the folder given; raises ArtifactError where there is none."""
    folder = _SHIPPED / name_or_folder if name_or_folder in shipped_models() else Path(name_or_folder)
    if not folder.is_dir():
        msg = (
            f"No model {name_or_folder!r}: give a folder, or one of {', '.join(shipped_models()) or '(none shipped)'}."
        )
        raise ArtifactError(msg)
    return folder


def load_model(name_or_folder: str) -> StayModel:
    """Return the artefact that is shipped under a name, or that lies in a folder.

    Raises ArtifactError where there is none, where the manifest is not as it was written, where the weights are not
    those of the manifest, where the layout is not this program's, or where the made-up stays of the manifest do not
    give the logits and risks written there.
    """
    folder = model_folder(name_or_folder)
    model = _load(folder, sealed=True)
    if not all(_risks_as_promised(model, golden) for golden in model.manifest.golden):
        msg = f"{folder}: the calibration does not give the risks its manifest promises; train or copy it again."
        raise ArtifactError(msg)
    return model


def seal_model(folder: Path) -> StayModel:
    """Vouch for a manifest as it stands: write the risks of its made-up stays and its digest anew, and return it.

    The weights stay as they are. Raises ArtifactError where `load_model` would for another reason than the manifest's
    own digest and its risks.
    """
    model = _load(folder, sealed=False)
    golden = tuple(_with_risks(model, stay) for stay in model.manifest.golden)
    (folder / _MANIFEST_FILE).write_bytes(msgspec.structs.replace(model.manifest, golden=golden).encoded())
    return load_model(str(folder))


def _load(folder: Path, *, sealed: bool) -> StayModel:
    """Return the artefact in a folder, its risks unchecked; with `sealed`, the manifest must be as it was written."""
    encoded, data = _read(folder / _MANIFEST_FILE), _read(folder / _WEIGHTS_FILE)
    manifest = _manifest(folder, encoded, sealed=sealed)
    if hashlib.sha256(data).hexdigest() != manifest.weights_sha256:
        msg = f"{folder}: the weights are not those of the manifest (digest differs); copy both files again."
        raise ArtifactError(msg)
    model = StayModel(manifest, "sha256:" + hashlib.sha256(encoded).hexdigest(), _weights(folder, data, manifest))
    for golden in manifest.golden:
        if not _as_promised(model, golden):
            msg = f"{folder}: the model does not give the results its manifest promises; train or copy it again."
            raise ArtifactError(msg)
    return model


def build_model(weights: Weights, description: Description) -> StayModel:
    """Return the model that `save_model` would write; raises ArtifactError where its sums would not be exact."""
    return _build(weights, description)[0]


def save_model(folder: Path, weights: Weights, description: Description) -> StayModel:
    """Write an artefact into a folder, made where missing, and return it as `load_model` reads it back.

    Weights are rounded to the grid. Raises ArtifactError where their sums would not be exact.
    """
    model, encoded, data = _build(weights, description)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _WEIGHTS_FILE).write_bytes(data)
    (folder / _MANIFEST_FILE).write_bytes(encoded)
    loaded = load_model(str(folder))
    if loaded.digest != model.digest:
        msg = f"{folder}: what was written is not what is read back."
        raise ArtifactError(msg)
    return loaded


def untrained_model(seed: int = 0, hidden: int = 64, *, clock: bool = False) -> StayModel:
    """Return a model with random weights, of the same cost and layout as a trained one: for tests and benchmarks."""
    rng = np.random.default_rng(seed)
    spread = 1.0 / np.sqrt(hidden)

    def draw(*shape: int) -> NDArray[np.float32]:
        return rng.uniform(-spread, spread, shape).astype(np.float32)

    weights = Weights(
        inputs=draw(4 * hidden, len(Layout.of(hidden, clock=clock).features)),
        recurrent=draw(4 * hidden, hidden),
        bias=draw(4 * hidden),
        head=draw(hidden),
        head_bias=draw(1),
    )
    middle = {sign.name: Scale((sign.low + sign.high) / 2, (sign.high - sign.low) / 8) for sign in VITAL_SIGNS}
    description = Description(
        name=f"untrained-{seed}",
        version="0.0.0",
        scaling=middle,
        calibration=Calibration(slope=4.0, intercept=-3.0),
        thresholds=Thresholds(utility=0.03, pager_raise=0.08, pager_resolve=0.05),
        assessable=Assessable(),
        training={"seed": seed},
        metrics={},
        hour_log_odds=(-5.0, -4.5, -4.0) if clock else (),
        doubt=_made_up_doubt(),
    )
    return build_model(weights, description)


def _made_up_doubt() -> Doubt:
    """Return a doubt layer of the usual cost that finds only the wildest stays unlike."""
    return Doubt(
        alpha=0.02,
        limit=60.0,
        centre=(0.0,) * N_VITAL_SIGNS,
        covariance=tuple(tuple(float(i == j) for j in range(N_VITAL_SIGNS)) for i in range(N_VITAL_SIGNS)),
        tails={name: Tail((-200.0, 0.0, 200.0), (10.0, 0.0, 10.0)) for name in TERMS},
        settling=NAMES,
    )


def _build(weights: Weights, description: Description) -> tuple[StayModel, bytes, bytes]:
    """Return the model and the bytes of its manifest and its weights."""
    weights = weights.on_grid()
    problem = weights.check() or (problem_of(description.doubt) if description.doubt else None)
    if problem:
        msg = f"These weights cannot be shipped: {problem}."
        raise ArtifactError(msg)
    data = save_tensors(weights.tensors())
    manifest = Manifest(
        name=description.name,
        version=description.version,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        layout=Layout.of(weights.hidden, clock=bool(description.hour_log_odds)),
        scaling=description.scaling,
        calibration=description.calibration,
        thresholds=description.thresholds,
        assessable=description.assessable,
        training=description.training,
        metrics=description.metrics,
        hour_log_odds=description.hour_log_odds,
        doubt=description.doubt,
    )
    manifest = msgspec.structs.replace(manifest, golden=_golden(StayModel(manifest, "", weights)))
    encoded = manifest.encoded()
    manifest = msgspec.json.decode(encoded, type=Manifest)
    return StayModel(manifest, "sha256:" + hashlib.sha256(encoded).hexdigest(), weights), encoded, data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = (
            f"{path}: cannot be read ({error.strerror}); a model is a folder with {_WEIGHTS_FILE} and {_MANIFEST_FILE}."
        )
        raise ArtifactError(msg) from error


def _manifest(folder: Path, encoded: bytes, *, sealed: bool) -> Manifest:
    try:
        manifest = msgspec.json.decode(encoded, type=Manifest)
    except msgspec.MsgspecError as error:
        msg = f"{folder}: {_MANIFEST_FILE} is not a manifest of this program ({error})."
        raise ArtifactError(msg) from error
    if manifest.schema_version != SCHEMA_VERSION:
        msg = f"{folder}: manifest schema {manifest.schema_version}, this program reads {SCHEMA_VERSION}; train again."
        raise ArtifactError(msg)
    if sealed and manifest.content_sha256 != content_sha256(encoded):
        msg = (
            f"{folder}: {_MANIFEST_FILE} is not as it was written (content_sha256 differs or is missing); copy it "
            "again, or vouch for it as it stands by `python -m models.seal FOLDER`."
        )
        raise ArtifactError(msg)
    expected = Layout.of(manifest.layout.hidden, clock=bool(manifest.hour_log_odds))
    if manifest.layout != expected or set(manifest.scaling) != set(manifest.layout.vital_signs):
        msg = f"{folder}: made for other inputs than this program computes; train it again with this version."
        raise ArtifactError(msg)
    problem = problem_of(manifest.doubt) if manifest.doubt else None
    if problem:
        msg = f"{folder}: what the manifest says of unlike stays cannot be used: {problem}; copy or train it again."
        raise ArtifactError(msg)
    return manifest


def _weights(folder: Path, data: bytes, manifest: Manifest) -> Weights:
    hidden, inputs = manifest.layout.hidden, len(manifest.layout.features)
    expected = {
        "inputs": (4 * hidden, inputs),
        "recurrent": (4 * hidden, hidden),
        "bias": (4 * hidden,),
        "head": (hidden,),
        "head_bias": (1,),
    }
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError) as error:
        msg = f"{folder}: {_WEIGHTS_FILE} is not a safetensors file ({error})."
        raise ArtifactError(msg) from error
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected or any(tensor.dtype != np.float32 for tensor in tensors.values()):
        msg = f"{folder}: the weights have other names, shapes or types than the manifest says; copy both files again."
        raise ArtifactError(msg)
    weights = Weights(**tensors)
    problem = weights.check()
    if problem:
        msg = f"{folder}: {problem}; results would depend on the batch. Train it again with this version."
        raise ArtifactError(msg)
    return weights


def _golden(model: StayModel) -> tuple[GoldenStay, ...]:
    """Return two made-up stays, one with everything, one with gaps and little known, with logits and risks."""
    rng = np.random.default_rng(0)
    typical = np.array([[84, 18, 37, 97, 122, 64, 82]])
    drift = rng.normal(0, [6, 2, 0.3, 1, 8, 5, 6], (_GOLDEN_STEPS, N_VITAL_SIGNS)).cumsum(axis=0) * 0.4
    full = np.round(np.clip(typical + drift, 21, 99.9), 1)
    sparse = np.where(rng.random(full.shape) < 0.6, np.nan, full)  # noqa: PLR2004  (three of five values missing)
    stays = (
        GoldenStay(values=_rows(full), age_years=71.0, sex=1.0, hospital_hours=30.0, unit_type=2, logits=()),
        GoldenStay(values=_rows(sparse), age_years=44.0, sex=0.0, hospital_hours=-2.0, unit_type=0, logits=()),
    )
    found = [(stay, *_golden_results(model, stay)) for stay in stays]
    return tuple(
        _with_risks(
            model,
            msgspec.structs.replace(
                stay, logits=tuple(logits.round(9).tolist()), strangeness=tuple(strangeness.round(9).tolist())
            ),
        )
        for stay, logits, strangeness in found
    )


def _with_risks(model: StayModel, stay: GoldenStay) -> GoldenStay:
    return msgspec.structs.replace(stay, risks=tuple(model.risk(np.array(stay.logits)).tolist()))


def _risks_as_promised(model: StayModel, stay: GoldenStay) -> bool:
    """Return whether the calibration makes the promised risks of the promised logits, on any processor alike."""
    found = model.risk(np.array(stay.logits))
    return len(found) == len(stay.risks) and bool((np.abs(found - np.array(stay.risks)) <= _RISK_TOLERANCE).all())


def _as_promised(model: StayModel, stay: GoldenStay) -> bool:
    logits, strangeness = _golden_results(model, stay)
    pairs = ((logits, stay.logits), (strangeness, stay.strangeness))
    return all(
        len(found) == len(promised) and bool((np.abs(found - np.array(promised)) <= _GOLDEN_TOLERANCE).all())
        for found, promised in pairs
    )


def _rows(values: NDArray[np.floating]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if np.isnan(value) else float(value) for value in row) for row in values)


def _golden_results(model: StayModel, stay: GoldenStay) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logits and the strangeness (steps each; no strangeness where the artefact cannot tell)."""
    values = np.array(
        [[np.nan if value is None else value for value in row] for row in stay.values], dtype=np.float32
    ).reshape(-1, N_VITAL_SIGNS)
    logits, strangeness = np.zeros(len(values)), []
    state = model.initial(1)
    for step in range(len(values)):
        inputs = StepInput(
            step=np.array([step], dtype=np.int32),
            values=values[step : step + 1],
            late_values=np.full((1, N_VITAL_SIGNS), np.nan, dtype=np.float32),
            late_steps=np.zeros((1, N_VITAL_SIGNS), dtype=np.int32),
            age_years=np.array([stay.age_years], dtype=np.float32),
            sex=np.array([stay.sex], dtype=np.float32),
            hospital_hours=np.array([stay.hospital_hours], dtype=np.float32),
            unit_type=np.array([stay.unit_type], dtype=np.int8),
        )
        state, logit = model.advance(state, inputs)
        logits[step] = logit[0]
        strangeness += model.strangeness(state, inputs.step, inputs.age_years).tolist()
    return logits, np.array(strangeness)
