"""Who may do what on the cluster: the least rights with which each part works, as Kafka's access control lists say it.

One role for each part, each with a principal of its own. The end-to-end test on a secured cluster grants these and
nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.topics import Topics

__all__ = ["ROLES", "Grant", "budget_group", "grants", "kafka_acls_options", "table"]

ROLES = ("admin", "worker", "gateway", "canary", "subscriber", "board", "staff", "eraser", "budget", "auditor")


@dataclass(frozen=True)
class Grant:
    """Operations that a role may do on one resource; names are Kafka's own."""

    role: str
    resource: Literal["topic", "group"]
    name: str
    pattern: Literal["literal", "prefixed"]
    operations: tuple[str, ...]


def grants(topics: Topics, group: str) -> tuple[Grant, ...]:
    """Return the grants of all roles, for a deployment's topics and its group; Read and Write include Describe."""
    public = (
        topics.observations,
        topics.admissions,
        topics.scores,
        topics.alert_events,
        topics.alert_state,
        topics.alert_commands,
        topics.rejected,
        topics.budgets,
    )
    worker = {
        topics.observations: ("Read", "Write"),
        topics.admissions: ("Read",),
        topics.alert_commands: ("Read",),
        topics.budgets: ("Describe",),
        f"{topics.prefix}{group}-patients-changelog": ("Create", "Read", "Write", "DescribeConfigs"),
    }
    gateway = {topics.observations: ("Write",), topics.admissions: ("Write",)}
    canary = {**gateway, topics.alert_events: ("Read",)}
    eraser = {**gateway, topics.admissions: ("Read", "Write"), topics.scores: ("Read",)}
    budget = {
        **dict.fromkeys((topics.admissions, topics.scores, topics.alert_events), ("Read",)),
        topics.observations: ("Write",),
        topics.budgets: ("Read", "Write"),
    }
    return (
        *(_topic("admin", name, "Create", "Describe", "DescribeConfigs") for name in public),
        *(_topic("worker", name, *worker.get(name, ("Write",)), "DescribeConfigs") for name in public),
        *(_topic("worker", name, *some) for name, some in worker.items() if name not in public),
        Grant("worker", "group", group, "literal", ("Read",)),
        *(_topic("gateway", name, *some) for name, some in gateway.items()),
        Grant("gateway", "group", group, "literal", ("Describe",)),
        *(_topic("canary", name, *some, "DescribeConfigs") for name, some in canary.items()),
        *(_topic("subscriber", name, "Read") for name in (topics.scores, topics.alert_events, topics.alert_state)),
        Grant("subscriber", "group", f"{group}-subscriber-", "prefixed", ("Read",)),
        *(
            _topic("board", name, "Read")
            for name in (topics.admissions, topics.scores, topics.alert_events, topics.alert_state, topics.budgets)
        ),
        _topic("staff", topics.alert_commands, "Write"),
        *(
            _topic("eraser", name, *eraser.get(name, ("Describe",)), "DescribeConfigs")
            for name in public
            if name != topics.budgets
        ),
        Grant("eraser", "group", group, "literal", ("Describe",)),
        *(_topic("budget", name, *budget.get(name, ("Describe",)), "DescribeConfigs") for name in public),
        Grant("budget", "group", budget_group(group), "literal", ("Read",)),
        *(_topic("auditor", name, "Read", "DescribeConfigs") for name in public),
    )


def budget_group(group: str) -> str:
    """Return the group in which the controllers of the live budget find out which of them acts."""
    return f"{group}-budget"


def _topic(role: str, name: str, *operations: str) -> Grant:
    return Grant(role, "topic", name, "literal", operations)


def kafka_acls_options(grant: Grant, principal: str) -> str:
    """Return the options of Kafka's kafka-acls.sh that give a grant to a principal."""
    operations = " ".join(f"--operation {operation}" for operation in grant.operations)
    pattern = "" if grant.pattern == "literal" else " --resource-pattern-type prefixed"
    return f"--add --allow-principal '{principal}' {operations} --{grant.resource} '{grant.name}'{pattern}"


def table(some: tuple[Grant, ...]) -> str:
    """Return grants as a table in Markdown."""
    rows = [
        f"| {one.role} | {one.resource} | `{one.name}{_STAR[one.pattern]}` | {', '.join(one.operations)} |"
        for one in some
    ]
    return "\n".join(["| role | resource | name | operations |", "|---|---|---|---|", *rows]) + "\n"


_STAR = {"literal": "", "prefixed": "*"}
