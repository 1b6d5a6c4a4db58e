"""What README, the model's account and the shipped policy say of the models is what their cards and manifests say."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from agents.policy import SHIPPED_POLICY, load_policy
from models.artifact import load_model, model_folder
from monitor.policy_file import policy_toml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ACCOUNT = (ROOT / "docs" / "model-development.md").read_text()


@pytest.mark.parametrize("view", ["all", "three_vital_signs", "without_admission", "hours_only"])
def test_the_readmes_figures_are_those_of_the_card(view: str) -> None:
    views = evaluation("bedside")["views"]
    found = views["all"]["baselines"][view]["figures"] if view == "hours_only" else views[view]["overall"]
    figures = (found[name] for name in ("auroc_time_adjusted", "auroc_first_48h", "utility"))
    row = " | ".join(f"{each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})" for each in figures)
    assert f"| {row} |" in README


def evaluation(model: str) -> dict[str, Any]:
    """Return what a shipped model's card was written from."""
    found: dict[str, Any] = json.loads((model_folder(model) / "evaluation.json").read_text())
    return found


def short(value: float) -> str:
    """Return a share as the account writes it: three digits, no zero before the point."""
    return f"{value:.3f}".removeprefix("0")


def short_interval(figure: dict[str, float]) -> str:
    return f"{short(figure['value'])} ({short(figure['low'])} to {short(figure['high'])})"


@pytest.mark.parametrize("view", ["all", "three_vital_signs", "without_admission"])
def test_the_accounts_figures_of_bedside_are_those_of_its_card(view: str) -> None:
    overall = evaluation("bedside")["views"][view]["overall"]
    adjusted, early = (overall[name] for name in ("auroc_time_adjusted", "auroc_first_48h"))
    assert f"| {short(adjusted['value'])} / {short(early['value'])} |" in ACCOUNT
    for figure in (adjusted, early):
        assert f"| {short_interval(figure)} |" in ACCOUNT
    if view == "all":
        assert f"| {short_interval(overall['utility'])};" in ACCOUNT


@pytest.mark.parametrize(("view", "inputs"), [("all", "seven"), ("three_vital_signs", "three")])
def test_the_accounts_figures_of_challenge_are_those_of_its_card(view: str, inputs: str) -> None:
    overall = evaluation("challenge")["views"][view]["overall"]
    figures = " | ".join(short_interval(overall[name]) for name in ("utility", "auroc", "auprc"))
    assert f"| {inputs} vital signs | {figures} | {short(overall['auroc_time_adjusted']['value'])} |" in ACCOUNT
    assert f"`challenge` {load_model('challenge').version}, test part" in ACCOUNT


def test_the_readmes_alarms_and_health_are_those_of_the_cards_evaluation() -> None:
    found = evaluation("bedside")
    thresholds = load_model("bedside").manifest.thresholds
    measured_at = (found["policy"]["raise_threshold"], found["policy"]["resolve_threshold"])
    assert measured_at == (thresholds.pager_raise, thresholds.pager_resolve)
    assert found["shipped"]["digest"] == load_model("bedside").digest
    alarms = {name: figure["value"] for name, figure in found["views"]["all"]["alarms"]["whole_stay"].items()}
    text = " ".join(README.split())
    assert (
        f"has {alarms['episodes_per_patient_day']:.3f} on them; {alarms['septic_alerted']:.1%}".replace("%", " %")
        in text
    )
    for name in ("other_ever_alerted", "ppv_episode"):
        assert f"{alarms[name]:.1%}".replace("%", " %") in text
    seven, three = (found["views"][view]["health"] for view in ("all", "three_vital_signs"))
    assert seven["below_a_tenth"]
    complete, missing = zip(seven["other_levels"], three["other_levels"], strict=True)
    largest = "largest_odds_of_raise_threshold"
    assert f"with three vital signs (up to {three[largest]:.2f})" in text
    assert f"(up to {complete[0][largest]:.2f}, with three {complete[1][largest]:.2f})" in text
    assert f"(up to {missing[0][largest]:.2f} and {missing[1][largest]:.2f}, " in text
    assert f"{missing[0]['alerts']} and {missing[1]['alerts']} alerts were raised in {missing[0]['stays']}" in text
    assert (complete[0]["alerts"], complete[1]["alerts"]) == (0, 0)


def test_the_shipped_policy_is_one_that_tune_wrote_for_the_shipped_model() -> None:
    policy = load_policy()
    raw = resources.files("agents").joinpath("policies", f"{SHIPPED_POLICY}.toml").read_text()
    chosen_by = tomllib.loads(raw)["chosen_by"]
    assert chosen_by.startswith("sepsis-monitor tune ")
    assert load_model("bedside").digest in chosen_by
    assert policy_toml(policy, chosen_by) == raw
    assert policy.budget is not None
    assert f"{policy.budget.highest_threshold:.6f}" in chosen_by
    for share in re.findall(r"(\d+)% of the (?:septic|other)", chosen_by):
        assert f"{share} % of the" in " ".join(README.split())


def test_the_alert_in_the_readme_is_of_the_shipped_model_and_policy() -> None:
    assert load_model("bedside").digest in README
    assert load_policy().digest in README


@pytest.mark.parametrize(
    "document",
    sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []
