"""Writes a policy as the TOML file that `load_policy` reads."""

from __future__ import annotations

import textwrap

import msgspec

from agents.policy import Policy
from monitor.toml_values import toml_value

__all__ = ["policy_toml"]

_MEANINGS = {  # what a key means, behind its value
    "raise_minutes": "of event time, at or over the raise threshold, before an alert is raised",
    "resolve_minutes": "below the lower threshold, before it is resolved",
    "refractory_minutes": "after an alert has ended, before the next",
    "latching": "whether an alert that nobody has acknowledged stays when the risk has fallen",
    "latch_hours": "and for how long",
    "escalate_threshold": "a risk that makes the priority high",
    "acknowledge_minutes": "by the wall clock: unacknowledged for so long, the priority rises by one",
    "update_step": "a change of risk that is told",
    "update_minutes": "but not more often than this",
    "snooze_rise": "a rise of the risk that ends a snooze",
    "treated_hours": 'no sepsis alert for so long after "already treated"',
    "mark_hours": "how long after its end an alert may be marked",
    "monitoring_lost_minutes": "by the wall clock: nothing new of a patient",
    "cannot_assess_minutes": "of event time: too little known",
    "window_hours": "of event time, over which it is measured",
    "least_patient_days": "with fewer in it nothing moves",
    "tolerance": "of the budget, within which nothing moves",
    "step": "of the threshold, at most, a move",
}
_APART = {"digest", "critical", "budget"}
_WIDTH = 110
_BUDGET = """\
# `sepsis-monitor budget` moves the raise threshold between these limits, so that what a unit bears is this."""
_CRITICAL = """\
# Crossing one of these ends a snooze: beyond the shipped ones a vital sign alone scores the most that NEWS2 gives for
# it (RCP, 2017); 65 mmHg is the target for the mean pressure in septic shock (Surviving Sepsis Campaign, 2021)."""


def policy_toml(policy: Policy, chosen_by: str) -> str:
    """Return the file's text: every key with its value, `chosen_by` with the figures, budget and critical limits."""
    said = msgspec.structs.asdict(policy)
    lines = ["# When a sepsis alert is raised and resolved; docs/policies.md says how to choose and try one."]
    lines += [_line(name, value) for name, value in said.items() if name not in _APART and value is not None]
    lines += _chosen(chosen_by)
    if policy.budget is not None:
        lines += ["", _BUDGET, "[budget]"]
        lines += [_line(name, value) for name, value in msgspec.structs.asdict(policy.budget).items()]
    lines += ["", _CRITICAL, "[critical]"]
    for sign, bounds in policy.critical.items():
        ends = [
            f"{end} = {_plain(value)}" for end, value in msgspec.structs.asdict(bounds).items() if value is not None
        ]
        lines.append(f"{sign} = {{ {', '.join(ends)} }}")
    return "\n".join(lines) + "\n"


def _line(name: str, value: object) -> str:
    meaning = _MEANINGS.get(name)
    return f"{name} = {_plain(value)}" + (f"  # {meaning}" if meaning else "")


def _plain(value: object) -> str:
    """Return a value as people write it: 30 minutes, not 30.0."""
    return toml_value(int(value) if isinstance(value, float) and value.is_integer() else value)


def _chosen(text: str) -> list[str]:
    """Return the figures as a text of several lines, a backslash at the end of each but the last joining them."""
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False) if text.isprintable() else []
    if len(lines) <= 1 or " ".join(lines) != text:
        return [f"chosen_by = {toml_value(text)}"]
    escaped = [toml_value(line)[1:-1] for line in lines]
    return ['chosen_by = """\\', *(f"{line} \\" for line in escaped[:-1]), f'{escaped[-1]}"""']
