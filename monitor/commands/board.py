"""`board`: the ward as it stands, on a screen that keeps itself up to date."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import click
from kafka.errors import KafkaError
from rich.console import Console
from rich.live import Live

from monitor import clients
from monitor.brokers import open_broker
from monitor.errors import Failure
from monitor.follow import TopicReader
from monitor.handover import sections
from monitor.invocation import Invocation, pass_invocation
from monitor.refusals import why
from monitor.signals import stop_requested
from monitor.ward_options import check_unit, ward_options, ward_to_read
from monitor.ward_view import board

__all__ = ["command"]

_REDRAW_SECONDS = 1.0
_FIRST_SECONDS = 30.0
_LINES = 60  # where the output is no terminal


@click.command(name="board")
@ward_options
@click.option("--once", is_flag=True, help="Print the board once; so it does where the output is no terminal.")
@pass_invocation
def command(invocation: Invocation, *, unit: str | None, near: float, once: bool) -> None:
    """Show a ward: open alerts, who is near one, who is not monitored or cannot be assessed, since when.

    Read from the topics, so that any number of boards may run; none takes part in the work. Ctrl-C and SIGTERM end it
    with exit code 0. `handover` prints the same with the last shift's counts.

    Example: sepsis-monitor board --unit MICU
    """
    settings = invocation.settings()
    rules, ward, reader = ward_to_read(settings, unit, near)
    policy = rules.common if unit is None else rules.of(unit)
    lock = threading.Lock()

    def take(record: Any) -> None:
        with lock:
            reader.take(record)

    def picture(console: Console) -> Any:
        now = datetime.now(UTC)
        with lock:
            found, present = sections(ward, now), len(ward.present())
        head = (
            f"{unit or 'All units'}   {present} patients   {now:%H:%M:%S} UTC   policy {policy.name} {policy.version}"
        )
        return board(found, head, console.height if console.is_terminal else _LINES)

    with stop_requested() as stop, open_broker(settings) as bootstrap:
        consumer = clients.consumer(settings.kafka, bootstrap)
        thread = TopicReader(consumer, reader.topics, take)
        ends = {topic: _ends(consumer, topic) for topic in reader.topics}
        thread.start()
        try:
            if _known(thread, ends, stop):
                with lock:
                    check_unit(unit, ward, rules)
            console = Console()
            if once or not console.is_terminal:
                console.print(picture(console))
            else:
                _show(console, picture, thread, stop)
        finally:
            thread.close()


def _ends(consumer: Any, topic: str) -> dict[int, int]:
    places = [place for place in consumer.assignment() if place.topic == topic]
    return {place.partition: end for place, end in consumer.end_offsets(places).items()}


def _known(thread: TopicReader, ends: dict[str, dict[int, int]], stop: threading.Event) -> bool:
    """Wait until the ward is known as it was at the start; raises Failure where it cannot be read.

    False where that took too long or `stop` came: what has been read so far is shown, the rest follows.
    """
    waited = 0.0
    while not stop.is_set() and not all(thread.reached(topic, offsets) for topic, offsets in ends.items()):
        _check(thread)
        stop.wait(0.05)
        waited += 0.05
        if waited > _FIRST_SECONDS:
            return False
    return not stop.is_set()


def _show(console: Console, picture: Any, thread: TopicReader, stop: threading.Event) -> None:
    with Live(picture(console), console=console, screen=True, auto_refresh=False) as live:
        while not stop.wait(_REDRAW_SECONDS):
            _check(thread)
            live.update(picture(console), refresh=True)


def _check(thread: TopicReader) -> None:
    if thread.error is not None:
        reason = why(thread.error, "board") if isinstance(thread.error, KafkaError) else str(thread.error)
        msg = f"reading the ward failed: {reason}"
        raise Failure(msg) from thread.error
