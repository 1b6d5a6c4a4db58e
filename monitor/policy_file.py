"""Writes a policy as the TOML file that `load_policy` reads."""

from __future__ import annotations

import json

import msgspec

from agents.policy import Policy

__all__ = ["policy_toml"]


def policy_toml(policy: Policy, chosen_by: str) -> str:
    """Return the file's text: every key with its value, `chosen_by` with the figures, the critical limits last."""
    said = msgspec.structs.asdict(policy)
    lines = ["# When a sepsis alert is raised and resolved; docs/policies.md says how to choose and try one."]
    for name, value in said.items():
        if name not in {"digest", "critical"} and value is not None:
            lines.append(f"{name} = {_scalar(value)}")
    lines += [f"chosen_by = {_scalar(chosen_by)}", "", "[critical]"]
    for sign, bounds in policy.critical.items():
        ends = [
            f"{end} = {_scalar(value)}" for end, value in msgspec.structs.asdict(bounds).items() if value is not None
        ]
        lines.append(f"{sign} = {{ {', '.join(ends)} }}")
    return "\n".join(lines) + "\n"


def _scalar(value: object) -> str:
    """Return a text, number or truth value; JSON and TOML write these alike, but TOML knows no pairs of surrogates."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
