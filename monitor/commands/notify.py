"""`notify`: alert events to webhooks, signed, until they are taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import click
import msgspec
from kafka.errors import KafkaError
from platformdirs import user_data_path

from agents.topics import Topics
from monitor import clients
from monitor.brokers import open_broker
from monitor.errors import Failure
from monitor.follow import ends, partitions_of
from monitor.health import Health, open_port
from monitor.invocation import Invocation, pass_invocation
from monitor.notify.outbox import OUTBOX_FILE, Delivery, Outbox
from monitor.notify.receivers import Receiver, load_receivers
from monitor.notify.sending import post
from monitor.notify.service import Notifier, NotifyMetrics, sole_user
from monitor.refusals import why
from monitor.retrying import connected
from monitor.settings import Settings
from monitor.signals import stop_requested

__all__ = ["command"]


@click.command(name="notify")
@click.argument("receivers_file", metavar="RECEIVERS", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the outbox and the dead letters: one for each `notify`; default: one for each topics.prefix.",
)
@click.option(
    "--from",
    "start",
    type=click.Choice(["beginning", "now"]),
    default="now",
    show_default=True,
    help="Where to start where this state has read nothing yet.",
)
@click.option("--once", is_flag=True, help="End when all that the topic holds is delivered or given up.")
@click.option("--check", is_flag=True, help="Post a made-up test event to each receiver, say what came of it, and end.")
@click.option("--again", metavar="RECEIVER", help="Queue again what was given up for this receiver, and go on.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    receivers_file: Path,
    state: Path | None,
    start: Literal["beginning", "now"],
    once: bool,
    check: bool,
    again: str | None,
) -> None:
    """Post alert events to the webhooks of RECEIVERS, a TOML file, each event at least once.

    Requests are signed (Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature) and carry the event as the
    topic has it; webhook-id is its event_id, the same in a repeat. A receiver that does not answer with 2xx is asked
    again, later and later; what it refuses, or does not take in time, stands in dead-RECEIVER.jsonl. An alert that
    nobody acknowledges goes to the next receiver. What waits is on disk, and survives a kill.

    /metrics and /readyz are served on http.port: give it another one than a worker on the same machine has. A cluster
    that cannot be reached, or refuses the user, is asked again, later and later, until it can be used: /readyz says
    `kafka` meanwhile, and the log says why. What waits in the outbox is sent from then on. `--once` ends with 1.

    Example: sepsis-monitor notify receivers.toml
    """
    settings = invocation.settings()
    receivers = load_receivers(receivers_file)
    if check:
        _check(receivers)
        return
    folder = state or user_data_path("sepsis-monitor") / "notify" / (settings.topics.prefix or "default")
    with sole_user(folder), stop_requested() as stop, open_broker(settings, alone="tell") as bootstrap:
        if again is not None:
            _revive(folder, receivers, again)
        notifier = _notify(settings, bootstrap, receivers, stop, folder=folder, start=start, once=once)
    if notifier.unreadable:
        click.echo(f"sepsis-monitor: {notifier.unreadable} records in the topic are not alert events", err=True)


def _notify(
    settings: Settings,
    bootstrap: str,
    receivers: tuple[Receiver, ...],
    stop: threading.Event,
    *,
    folder: Path,
    start: Literal["beginning", "now"],
    once: bool,
) -> Notifier:
    """Notify until told to stop, once the cluster can be used; return the notifier, which is done."""
    topic = Topics(settings.topics.prefix).alert_events
    metrics, health = NotifyMetrics(receivers), Health("kafka")
    with ExitStack() as opened:
        if not once:
            opened.callback(open_port(settings, metrics.registry, health.status).stop)
        consumer = connected(
            settings, "subscriber", lambda: opened.enter_context(_reader(settings, bootstrap, topic)), stop, once=once
        )
        try:
            notifier = Notifier(receivers, folder, consumer, topic, start, metrics=metrics)
            health.begin(notifier.status)
            notifier.run(stop, once=once)
        except KafkaError as error:
            msg = f"reading alerts failed: {why(error, 'subscriber')}"
            raise Failure(msg) from error
    return notifier


@contextmanager
def _reader(settings: Settings, bootstrap: str, topic: str) -> Iterator[Any]:
    """Give a consumer that may see the topic, and read where it begins and ends."""
    consumer = clients.consumer(settings.kafka, bootstrap)
    try:
        partitions = partitions_of(consumer, topic)
        consumer.assign(partitions)
        ends(consumer)
        yield consumer
    finally:
        consumer.close(autocommit=False)


def _revive(folder: Path, receivers: tuple[Receiver, ...], name: str) -> None:
    if name not in {each.name for each in receivers}:
        msg = f"--again names {name}, which is no receiver of the file"
        raise Failure(msg)
    outbox = Outbox(folder / OUTBOX_FILE)
    try:
        count = outbox.revive(name, time.time())
    finally:
        outbox.close()
    click.echo(f"sepsis-monitor: {count} events are queued again for {name}", err=True)


def _check(receivers: tuple[Receiver, ...]) -> None:
    """Post a test event to each receiver; raises Failure where one did not take it."""
    failed = []
    for receiver in receivers:
        now = time.time()
        event_id = f"check-{receiver.name}-{int(now)}"
        body = msgspec.json.encode({"event_id": event_id, "transition": "raised", "kind": "sepsis_risk", "test": True})
        answer = post(receiver, Delivery(0, receiver.name, event_id, body, None, now, 0), now)
        click.echo(
            f"{receiver.name}: {'took it' if answer.outcome == 'delivered' else 'DID NOT TAKE IT'} ({answer.detail})"
        )
        if answer.outcome != "delivered":
            failed.append(receiver.name)
    if failed:
        msg = f"no test event for {', '.join(failed)}: check url, secret_file and the receiver's own log"
        raise Failure(msg)
