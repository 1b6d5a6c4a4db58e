"""`topics`: create the public topics, or show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from agents.topics import Topics, topic_specs
from monitor.access import ROLES, grants, kafka_acls_options
from monitor.brokers import open_broker
from monitor.invocation import Invocation, pass_invocation
from monitor.tables import print_table
from monitor.topic_admin import TopicState, create_topics, plan_topics

__all__ = ["command"]

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a topic.")


@click.group(name="topics")
def command() -> None:
    """Create the topics, or show them.

    Names begin with `topics.prefix`; partitions and replicas are `topics.partitions` and `topics.replication_factor`.
    The changelog of the workers' state is not among them: the workers make it.

    Example: sepsis-monitor --config site.toml topics create
    """


@command.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be created.")
@_json
@pass_invocation
def create(invocation: Invocation, *, dry_run: bool, as_json: bool) -> None:
    """Create what is missing; what is there stays as it is.

    Fails when a topic is there with another number of partitions.

    Example: sepsis-monitor topics create --dry-run
    """
    settings = invocation.settings()
    specs = topic_specs(Topics(settings.topics.prefix))
    with open_broker(settings, alone="tell") as bootstrap:
        states = (plan_topics if dry_run else create_topics)(bootstrap, settings, specs)
    _show(states, as_json=as_json)


@command.command(name="list")
@_json
@pass_invocation
def list_(invocation: Invocation, *, as_json: bool) -> None:
    """Show each topic: whether it is there, and which of its settings are not the intended ones.

    Example: sepsis-monitor topics list --json
    """
    settings = invocation.settings()
    with open_broker(settings, alone="tell") as bootstrap:
        states = plan_topics(bootstrap, settings, topic_specs(Topics(settings.topics.prefix)))
    _show(states, as_json=as_json)


@command.command()
@click.option("--role", type=click.Choice(ROLES), help="Only what this part needs.")
@click.option("--principal", metavar="NAME", help="Print options of kafka-acls.sh that give it to NAME; needs --role.")
@_json
@pass_invocation
def acls(invocation: Invocation, *, role: str | None, principal: str | None, as_json: bool) -> None:
    """Print the least rights on the cluster with which each part works; asks no broker.

    Example: sepsis-monitor topics acls --role worker --principal User:sepsis-worker |
    xargs -L 1 kafka-acls.sh --bootstrap-server kafka-1:9092 --command-config admin.properties
    """
    settings = invocation.settings()
    found = [one for one in grants(Topics(settings.topics.prefix), settings.worker.group) if role in {None, one.role}]
    if principal is not None:
        if role is None:
            msg = "--principal needs --role"
            raise click.UsageError(msg)
        click.echo("\n".join(kafka_acls_options(one, principal) for one in found))
    elif as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        rows = [(one.role, one.resource, one.name, one.pattern, ", ".join(one.operations)) for one in found]
        print_table(("ROLE", "RESOURCE", "NAME", "PATTERN", "OPERATIONS"), rows)


def _show(states: Sequence[TopicState], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(state) for state in states], indent=2))
        return
    print_table(("TOPIC", "STATE", "PARTITIONS", "REPLICAS", "KEPT", "DIFFERS"), [_row(state) for state in states])
    if any(state.state == "missing" for state in states):
        click.echo("sepsis-monitor: what is missing is not there, or this user may not see it", err=True)


def _row(state: TopicState) -> tuple[str, ...]:
    differs = ", ".join(f"{key} is {value}" for key, value in state.differs.items())
    return state.name, state.state, str(state.partitions), str(state.replication_factor), _kept(state), differs or "-"


def _kept(state: TopicState) -> str:
    days = int(state.config.get("retention.ms", 0)) // 86_400_000
    return f"{days} days" if days else state.config.get("cleanup.policy", "-")
