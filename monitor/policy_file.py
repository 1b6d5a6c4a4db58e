"""Writes a policy as the TOML file that `load_policy` reads."""

from __future__ import annotations

import msgspec

from agents.policy import Policy
from monitor.toml_values import toml_value

__all__ = ["policy_toml"]


def policy_toml(policy: Policy, chosen_by: str) -> str:
    """Return the file's text: every key with its value, `chosen_by` with the figures, budget and critical limits."""
    said = msgspec.structs.asdict(policy)
    lines = ["# When a sepsis alert is raised and resolved; docs/policies.md says how to choose and try one."]
    for name, value in said.items():
        if name not in {"digest", "critical", "budget"} and value is not None:
            lines.append(f"{name} = {toml_value(value)}")
    lines.append(f"chosen_by = {toml_value(chosen_by)}")
    if policy.budget is not None:
        lines += ["", "[budget]"]
        lines += [f"{name} = {toml_value(value)}" for name, value in msgspec.structs.asdict(policy.budget).items()]
    lines += ["", "[critical]"]
    for sign, bounds in policy.critical.items():
        ends = [
            f"{end} = {toml_value(value)}" for end, value in msgspec.structs.asdict(bounds).items() if value is not None
        ]
        lines.append(f"{sign} = {{ {', '.join(ends)} }}")
    return "\n".join(lines) + "\n"
