"""`alerts`: follow the alert topic in a terminal or a pipe."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

import click
from kafka import KafkaConsumer
from kafka.errors import FencedInstanceIdError, KafkaError

from agents.messages import AlertEvent
from agents.topics import Topics
from monitor import clients
from monitor.alert_lines import alert_line
from monitor.brokers import open_broker
from monitor.errors import Failure
from monitor.follow import AlertFilter, Follower, Tail, assign
from monitor.group_follower import GroupFollower, member_options
from monitor.invocation import Invocation, pass_invocation
from monitor.refusals import why
from monitor.settings import Settings
from monitor.signals import stop_requested

__all__ = ["command"]

_FIELDS = get_type_hints(AlertEvent)


def _choice(field: str) -> click.Choice[str]:
    return click.Choice(list(get_args(_FIELDS[field])))


@click.command(name="alerts")
@click.option("--follow", is_flag=True, help="Wait for more at the end of the topic; else stop there.")
@click.option("--group", metavar="NAME", help="Share the alerts with the other followers of this consumer group.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["beginning", "now"]),
    default="beginning",
    show_default=True,
    help="Where to start; with --group, only where the group has no place yet.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as received, one JSON object a line.")
@click.option("--kind", "kinds", type=_choice("kind"), multiple=True, help="Only this kind; may be repeated.")
@click.option("--unit", "units", metavar="UNIT", multiple=True, help="Only this unit; may be repeated.")
@click.option("--priority", "priorities", type=_choice("priority"), multiple=True, help="Only this priority.")
@click.option("--tests", is_flag=True, help="Also the test alerts of canaries.")
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    follow: bool,
    group: str | None,
    start: Literal["beginning", "now"],
    as_json: bool,
    kinds: tuple[str, ...],
    units: tuple[str, ...],
    priorities: tuple[str, ...],
    tests: bool,
    most: int | None,
) -> None:
    """Print alert events, as they come or as they came.

    An event that was published twice is printed once. Ctrl-C and SIGTERM end the command with exit code 0, and so
    does the end of whatever reads its output.

    With --group, the followers of one name share the topic's partitions, and each event is printed by one of them. It
    counts as delivered when it has been printed: whoever follows under that name later goes on after it. A follower
    that dies is replaced within ten seconds, and its last events may then be printed again. On the embedded local
    broker only one follower a group works: a second one takes the first one's place.

    Example: sepsis-monitor alerts --follow --from now --kind sepsis_risk
    """
    settings = invocation.settings()
    wanted = AlertFilter(frozenset(kinds), frozenset(units), frozenset(priorities), tests)
    tail = Tail()
    with stop_requested() as stop, open_broker(settings) as bootstrap:
        consumer = clients.consumer(settings.kafka, bootstrap, **_membership(settings, group))
        try:
            follower = _follower(consumer, Topics(settings.topics.prefix).alert_events, group, start)
            until = None if follow else follower.ends()
            _print_events(follower, tail, wanted, stop, until, as_json=as_json, most=most)
        except FencedInstanceIdError as error:
            msg = f"another follower of the group {group} has taken the place of this one; give it a --group of its own"
            raise Failure(msg) from error
        except KafkaError as error:
            msg = f"reading alerts failed: {why(error, 'subscriber')}"
            raise Failure(msg) from error
        finally:
            consumer.close(autocommit=False)
    if tail.unreadable:
        click.echo(f"sepsis-monitor: {tail.unreadable} records in the topic are not alert events", err=True)


def _membership(settings: Settings, group: str | None) -> dict[str, Any]:
    """Return the consumer's options; the embedded local broker never gives up a dead member of a group."""
    if group is None:
        return {}
    return member_options(group, sole=settings.kafka.bootstrap_servers is None and settings.broker.engine == "embedded")


def _follower(
    consumer: KafkaConsumer, topic: str, group: str | None, start: Literal["beginning", "now"]
) -> Follower | GroupFollower:
    if group is None:
        return Follower(consumer, assign(consumer, [topic], start))
    return GroupFollower(consumer, topic, start)


def _print_events(
    follower: Follower | GroupFollower,
    tail: Tail,
    wanted: AlertFilter,
    stop: threading.Event,
    until: Mapping[Any, int] | None,
    *,
    as_json: bool,
    most: int | None,
) -> None:
    """Print what comes, and keep the place after each batch that has been printed."""
    printed = 0
    for records in follower.batches(stop, until):
        for record in records:
            event = tail.fresh(record.value)
            if event is not None and wanted.admits(event):
                if not _printed(_one_line(record.value) if as_json else alert_line(event)):
                    return  # nobody knows what of the batch has been read: it comes again
                printed += 1
            follower.done(record)
            if stop.is_set() or printed == most:
                break
        follower.commit()
        if printed == most:
            return


def _printed(line: str) -> bool:
    """Print a line at once; return False where whoever read the output has gone, as `head` does when it has enough."""
    try:
        click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter fails to flush at its end
        return False
    return True


def _one_line(value: bytes) -> str:
    """Return the value as it came; where a foreign producer broke lines, they are joined (JSON's strings have none)."""
    return " ".join(value.decode().splitlines()) if b"\n" in value or b"\r" in value else value.decode()
