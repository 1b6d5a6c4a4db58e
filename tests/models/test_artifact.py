"""Artefacts: written and read back, and refused where anything about them is wrong."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models import seal
from models.artifact import (
    ArtifactError,
    Description,
    load_model,
    model_folder,
    save_model,
    shipped_models,
    untrained_model,
)
from models.manifest import Assessable, Calibration, Scale, Thresholds, content_sha256
from models.stay_model import StayModel
from models.vital_signs import NAMES
from tests.models.stays import made_up_input

WEIGHTS, MANIFEST = "model.safetensors", "manifest.json"


def saved(folder: Path, seed: int = 1) -> StayModel:
    model = untrained_model(seed, hidden=8)
    description = Description(
        name="tiny",
        version="0.1.0",
        scaling={name: Scale(80.0, 20.0) for name in NAMES},
        calibration=Calibration(1.0, -3.0),
        thresholds=Thresholds(0.03, 0.08, 0.05),
        assessable=Assessable(),
        training={"seed": seed},
        metrics={},
        doubt=model.manifest.doubt,
    )
    return save_model(folder, model.weights, description)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest and write it with the digest of what it says then."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    manifest["content_sha256"] = content_sha256(json.dumps(manifest).encode())
    (folder / MANIFEST).write_text(json.dumps(manifest))


def put_weights(folder: Path, data: bytes) -> None:
    """Replace the weights and make the manifest vouch for them."""
    (folder / WEIGHTS).write_bytes(data)
    edit_manifest(folder, lambda manifest: manifest.update(weights_sha256=hashlib.sha256(data).hexdigest()))


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    model = saved(tmp_path)
    again = load_model(str(tmp_path))
    assert (again.name, again.version, again.digest) == ("tiny", "0.1.0", model.digest)
    inputs = made_up_input(np.random.default_rng(0), 5, 0)
    state, logit = model.advance(model.initial(5), inputs)
    again_state, again_logit = again.advance(again.initial(5), inputs)
    assert again_logit.tobytes() == logit.tobytes()
    assert again_state.tobytes() == state.tobytes()


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    saved(tmp_path / "one")
    saved(tmp_path / "two")
    for name in (WEIGHTS, MANIFEST):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_shipped_model_loads_by_its_name() -> None:
    assert "bedside" in shipped_models()
    model = load_model("bedside")
    assert model.name == "bedside"
    assert model.digest.startswith("sha256:")
    assert len(model.manifest.golden) == 2
    thresholds = model.manifest.thresholds
    assert 0 < thresholds.pager_resolve < thresholds.pager_raise < 1
    assert model.utility_threshold == thresholds.utility


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(ArtifactError, match="bedside"):
        load_model("no-such-model")


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    saved(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_model(str(tmp_path))


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    data = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match="digest differs"):
        load_model(str(tmp_path))
    put_weights(tmp_path, data[: len(data) // 2])
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        load_model(str(tmp_path))


def test_swapped_weights_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "one", seed=1)
    saved(tmp_path / "two", seed=2)
    shutil.copy(tmp_path / "two" / WEIGHTS, tmp_path / "one" / WEIGHTS)
    with pytest.raises(ArtifactError, match="digest differs"):
        load_model(str(tmp_path / "one"))
    put_weights(tmp_path / "one", (tmp_path / "two" / WEIGHTS).read_bytes())
    with pytest.raises(ArtifactError, match="does not give the results"):
        load_model(str(tmp_path / "one"))


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    saved(tmp_path)
    data = bytearray((tmp_path / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="digest differs"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["layout"]["features"].reverse(), "other inputs"),
        (lambda m: m["layout"]["features"].pop(), "other inputs"),
        (lambda m: m["layout"]["vital_signs"].reverse(), "other inputs"),
        (lambda m: m["layout"].update(step_hours=0.5), "other inputs"),
        (lambda m: m["layout"].update(hidden=16), "names, shapes or types"),
        (lambda m: m["scaling"].pop("temperature"), "other inputs"),
        (lambda m: m["scaling"]["temperature"].update(mean=90), "does not give the results"),
        (lambda m: m.update(schema_version=2), "schema 2"),
        (lambda m: m.pop("calibration"), "calibration"),
        (lambda m: m.update(thresholds="high"), "thresholds"),
        (lambda m: m.update(doubt="none"), "doubt"),
        (lambda m: m["doubt"]["tails"].pop("age"), "unlike stays cannot be used: the tails"),
        (lambda m: m["doubt"].update(limit=-1), "the limit"),
        (lambda m: m["doubt"]["centre"].__setitem__(0, 2.0), "does not give the results"),
        (lambda m: m.pop("doubt"), "does not give the results"),
        (lambda m: m["calibration"].update(slope=1.01), "does not give the risks"),
        (lambda m: m["golden"][1].update(risks=[]), "does not give the risks"),
    ],
)
def test_a_foreign_layout_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    saved(tmp_path)
    edit_manifest(tmp_path, change)
    with pytest.raises(ArtifactError, match=message):
        load_model(str(tmp_path))


@pytest.mark.parametrize("name", ["tiny", "bedside", "challenge"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb'"slope": [\d.]+', b'"slope": 1.5'),
        (rb'"pager_raise": [\d.]+', b'"pager_raise": 0.9'),
        (rb'"vital_signs": 2', b'"vital_signs": 1'),
        (rb'"content_sha256": "\w+"', b'"content_sha256": ""'),
        (rb',\s*"content_sha256": "\w+"', b""),
    ],
)
def test_a_careless_edit_is_noticed(tmp_path: Path, name: str, old: bytes, new: bytes) -> None:
    if name == "tiny":
        saved(tmp_path / name)
    else:
        shutil.copytree(model_folder(name), tmp_path / name)
    encoded = (tmp_path / name / MANIFEST).read_bytes()
    changed, count = re.subn(old, new, encoded)
    assert count == 1
    (tmp_path / name / MANIFEST).write_bytes(changed)
    with pytest.raises(ArtifactError, match="not as it was written"):
        load_model(str(tmp_path / name))


def test_an_edit_on_purpose_can_be_vouched_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = saved(tmp_path)
    weights, promised = (tmp_path / WEIGHTS).read_bytes(), model.manifest.golden[0].risks
    encoded = (tmp_path / MANIFEST).read_bytes()
    assert seal.main([str(tmp_path)]) == 0
    assert (tmp_path / MANIFEST).read_bytes() == encoded
    (tmp_path / MANIFEST).write_bytes(encoded.replace(b'"intercept": -3.0', b'"intercept": -2.0'))
    assert seal.main([str(tmp_path)]) == 0
    again = load_model(str(tmp_path))
    assert again.digest in capsys.readouterr().out
    assert again.digest != model.digest
    assert all(one > other for one, other in zip(again.manifest.golden[0].risks, promised, strict=True))
    assert (tmp_path / WEIGHTS).read_bytes() == weights
    # Of weights that do not fit it vouches for nothing.
    (tmp_path / WEIGHTS).write_bytes(weights[:-1])
    assert seal.main([str(tmp_path)]) == 1
    assert "digest differs" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), ([], 2)])
def test_what_vouches_says_how_it_is_used(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        seal.main(arguments)
    assert ended.value.code == code
    assert "python -m models.seal" in "".join(capsys.readouterr())


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / MANIFEST).write_bytes(b"\x80\x04 not json")
    with pytest.raises(ArtifactError, match="not a manifest"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("bias"), "names, shapes or types"),
        (lambda t: t.update(head=t["head"][:-1].copy()), "names, shapes or types"),
        (lambda t: t.update(head=t["head"].astype(np.float64)), "names, shapes or types"),
        (lambda t: t["head"].__setitem__(0, np.float32(0.1)), "grid"),
        (lambda t: t["head"].__setitem__(0, np.float32(np.inf)), "not numbers"),
    ],
)
def test_foreign_weights_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    saved(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    change(tensors)
    save_file(tensors, tmp_path / "changed")
    put_weights(tmp_path, (tmp_path / "changed").read_bytes())
    with pytest.raises(ArtifactError, match=message):
        load_model(str(tmp_path))


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.path, "executed")


def test_a_pickle_posing_as_weights_is_refused_and_not_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    poison = pickle.dumps(Canary(canary))
    pickle.loads(poison)  # noqa: S301  (the trap works)
    assert canary.exists()
    canary.unlink()
    saved(tmp_path / "model")
    put_weights(tmp_path / "model", poison)
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        load_model(str(tmp_path / "model"))
    assert not canary.exists()
