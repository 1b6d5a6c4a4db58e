"""Policy files: the shipped one, what is refused and why, and the digest that alerts carry."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agents.policy import PolicyError, chosen_for, load_policy, mismatch
from models.artifact import load_model, untrained_model

GOOD = """
name = "night"
version = "2.0.0"
model = "bedside 1.0.0"
raise_threshold = 0.08
resolve_threshold = 0.05
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "policy.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_shipped_policy_loads() -> None:
    policy = load_policy()
    assert policy.name == "pager"
    assert 0 < policy.resolve_threshold <= policy.raise_threshold < 1
    assert policy.priority == "medium"


def test_a_file_is_taken_with_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + 'priority = "low"\n')
    policy = load_policy(path)
    assert (policy.name, policy.version, policy.priority) == ("night", "2.0.0", "low")
    assert (policy.raise_threshold, policy.resolve_threshold) == (0.08, 0.05)
    assert policy.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_policy(str(path)) == policy


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD.replace("0.08", "1.5"), "raise_threshold"),
        (GOOD.replace("0.08", "0"), "raise_threshold"),
        (GOOD.replace("0.05", '"low"'), "resolve_threshold"),
        (GOOD.replace("0.05", "0.09"), "resolve_threshold must not be above"),
        (GOOD.replace('version = "2.0.0"', ""), "version"),
        (GOOD + "raise_treshold = 0.1\n", "raise_treshold"),
        (GOOD + 'priority = "high"\n', "priority"),
        ("name = ", "not valid"),
        (b"name = '\xff'", "not valid"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str | bytes, named: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(PolicyError, match=named) as refused:
        load_policy(path)
    assert str(path) in str(refused.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.toml cannot be read.*policy\.file"):
        load_policy(tmp_path / "none.toml")
    with pytest.raises(PolicyError, match=r"policy\.file"):
        load_policy(tmp_path)


def test_a_policy_belongs_to_the_model_and_version_that_it_names(tmp_path: Path) -> None:
    shipped, other = load_model("bedside"), untrained_model(seed=1)
    assert chosen_for(load_policy(), shipped)
    assert mismatch(load_policy(), shipped) is None
    assert not chosen_for(load_policy(), other)
    said = mismatch(load_policy(), other)
    assert said is not None
    pager = f"{load_policy().name} {load_policy().version}"
    for named in (pager, f"bedside {shipped.version}", f"{other.name} {other.version}", "policy.file"):
        assert named in said
    assert f"raise_threshold = {other.manifest.thresholds.pager_raise}" in said
    assert not chosen_for(load_policy(written(tmp_path, GOOD.replace("1.0.0", "0.0.1"))), shipped)
