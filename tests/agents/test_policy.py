"""Policy files: the shipped one, what is refused and why, and the digest that alerts carry."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from agents.policy import PolicyError, at_threshold, chosen_for, critical_bounds, load_policy, mismatch
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


def test_what_a_file_leaves_out_is_as_in_the_shipped_one(tmp_path: Path) -> None:
    bare, shipped = load_policy(written(tmp_path, GOOD)), load_policy()
    own = {"name", "version", "digest", "model", "raise_threshold", "resolve_threshold", "escalate_threshold", "budget"}
    rest = set(structs.asdict(shipped)) - own
    assert {name: getattr(bare, name) for name in rest} == {name: getattr(shipped, name) for name in rest}
    assert (shipped.raise_minutes, shipped.resolve_minutes, shipped.refractory_minutes) == (0, 0, 0)
    assert bare.escalate_threshold is None


BUDGET = """
[budget]
false_episodes_per_patient_day = 0.5
lowest_threshold = 0.06
highest_threshold = 0.1
"""


def test_a_budget_holds_the_threshold_within_its_limits(tmp_path: Path) -> None:
    budget = load_policy(written(tmp_path, GOOD + BUDGET)).budget
    assert budget is not None
    assert (budget.lowest_threshold, budget.highest_threshold, budget.window_hours) == (0.06, 0.1, 24.0)
    assert load_policy(written(tmp_path, GOOD)).budget is None


@pytest.mark.parametrize(("before", "after"), [("0.06", "0.09"), ("0.1\n", "0.07\n")])
def test_a_raise_threshold_outside_the_limits_of_the_budget_is_refused(tmp_path: Path, before: str, after: str) -> None:
    with pytest.raises(PolicyError, match=r"must lie around raise_threshold"):
        load_policy(written(tmp_path, GOOD + BUDGET.replace(before, after)))


def test_a_vital_sign_without_a_limit_is_never_critical(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, GOOD + "[critical]\nheart_rate = { high = 120 }\n"))
    low, high = critical_bounds(policy)
    assert np.isinf(low).all()
    assert high[0] == 120
    assert np.isinf(high[1:]).all()


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
        (GOOD + "raise_minutes = -1\n", "raise_minutes"),
        (GOOD + "escalate_threshold = 0.07\n", "escalate_threshold must not be below"),
        (GOOD + "[critical]\nlactate = { high = 4 }\n", "lactate"),
        (GOOD + "[critical]\nheart_rate = { low = 90, high = 80 }\n", "low must not be above high"),
        (GOOD + "[critical]\nheart_rate = { low = nan }\n", "critical.heart_rate: low and high must be finite"),
        (GOOD + "[critical]\nheart_rate = { low = 50, high = nan }\n", "must be finite"),
        (GOOD + "[critical]\nheart_rate = { high = inf }\n", "must be finite"),
        (GOOD + "raise_minutes = nan\n", "raise_minutes"),
        (GOOD.replace('version = "2.0.0"', 'version = " "'), "version"),
        (GOOD.replace('"night"', '""'), "name"),
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


def test_another_threshold_keeps_the_hysteresis_and_no_priority_is_high_below_it() -> None:
    policy = structs.replace(load_policy(), raise_threshold=0.1, resolve_threshold=0.06, escalate_threshold=0.3)
    lower, higher = at_threshold(policy, 0.05), at_threshold(policy, 0.4)
    assert (lower.raise_threshold, lower.resolve_threshold) == pytest.approx((0.05, 0.03))
    assert higher.resolve_threshold == pytest.approx(0.24)
    assert higher.escalate_threshold == 0.4
    assert lower.escalate_threshold == 0.3
    assert structs.replace(higher, raise_threshold=0.1, resolve_threshold=0.06, escalate_threshold=0.3) == policy
    assert at_threshold(policy, 0.1) is policy
    assert at_threshold(structs.replace(policy, escalate_threshold=None), 0.4).escalate_threshold is None
