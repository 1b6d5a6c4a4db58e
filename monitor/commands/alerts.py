"""`alerts`: follow the alert topic in a terminal or a pipe."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

import click
from kafka.errors import KafkaError

from agents.messages import AlertEvent
from agents.topics import Topics
from monitor import clients
from monitor.alert_lines import alert_line
from monitor.brokers import open_broker
from monitor.errors import Failure
from monitor.follow import AlertFilter, Follower, Tail, assign, ends
from monitor.invocation import Invocation, pass_invocation
from monitor.signals import stop_requested

__all__ = ["command"]

_FIELDS = get_type_hints(AlertEvent)


def _choice(field: str) -> click.Choice[str]:
    return click.Choice(list(get_args(_FIELDS[field])))


@click.command(name="alerts")
@click.option("--follow", is_flag=True, help="Wait for more at the end of the topic; else stop there.")
@click.option("--group", metavar="NAME", help="Keep the place under this consumer group's name, and read on from it.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["beginning", "now"]),
    default="beginning",
    show_default=True,
    help="Where to start when no place is kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as received, one JSON object a line.")
@click.option("--kind", "kinds", type=_choice("kind"), multiple=True, help="Only this kind; may be repeated.")
@click.option("--unit", "units", metavar="UNIT", multiple=True, help="Only this unit; may be repeated.")
@click.option("--priority", "priorities", type=_choice("priority"), multiple=True, help="Only this priority.")
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
    most: int | None,
) -> None:
    """Print alert events, as they come or as they came.

    An event that was published twice is printed once. With --group, an event counts as delivered when it has been
    printed: whoever follows under the same name later goes on after it. Ctrl-C and SIGTERM end the command with
    exit code 0.

    Example: sepsis-monitor alerts --follow --from now --kind sepsis_risk
    """
    settings = invocation.settings()
    wanted = AlertFilter(frozenset(kinds), frozenset(units), frozenset(priorities))
    with stop_requested() as stop, open_broker(settings) as bootstrap:
        consumer = clients.consumer(settings.kafka, bootstrap, group_id=group, enable_auto_commit=False)
        try:
            follower = Follower(consumer, assign(consumer, [Topics(settings.topics.prefix).alert_events], start))
            until = None if follow else ends(consumer)
            tail = Tail()
            _print_events(follower, tail, wanted, stop, until, as_json=as_json, most=most, keep=group is not None)
        except KafkaError as error:
            msg = f"reading alerts from {bootstrap} failed: {error}"
            raise Failure(msg) from error
        finally:
            consumer.close(autocommit=False)
    if tail.unreadable:
        click.echo(f"sepsis-monitor: {tail.unreadable} records in the topic are not alert events", err=True)


def _print_events(
    follower: Follower,
    tail: Tail,
    wanted: AlertFilter,
    stop: threading.Event,
    until: Mapping[Any, int] | None,
    *,
    as_json: bool,
    most: int | None,
    keep: bool,
) -> None:
    """Print what comes, and keep the place after each batch that has been printed."""
    printed = 0
    for records in follower.batches(stop, until):
        for record in records:
            event = tail.fresh(record.value)
            if event is not None and wanted.admits(event):
                click.echo(_one_line(record.value) if as_json else alert_line(event))  # flushes
                printed += 1
            follower.done(record)
            if stop.is_set() or printed == most:
                break
        if keep:
            follower.commit()
        if printed == most:
            return


def _one_line(value: bytes) -> str:
    """Return the value as it came; where a foreign producer broke lines, they are joined (JSON's strings have none)."""
    return " ".join(value.decode().splitlines()) if b"\n" in value or b"\r" in value else value.decode()
