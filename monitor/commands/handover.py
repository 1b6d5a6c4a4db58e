"""`handover`: who has an alert, who is near one, whom nobody sees, and what the last shift was like."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from kafka import TopicPartition
from kafka.errors import KafkaError
from rich.console import Console

from agents.messages import AlertEvent
from agents.topics import Topics
from monitor import clients
from monitor.brokers import open_broker
from monitor.budget.burden import Burden
from monitor.errors import Failure
from monitor.finite_range import FiniteRange
from monitor.follow import Follower, assign, partitions_of
from monitor.handover import Section, as_html, as_json, sections, shift_lines
from monitor.invocation import Invocation, pass_invocation
from monitor.refusals import why
from monitor.shift import Shift, shift_of
from monitor.ward_now import WardNow
from monitor.ward_options import check_unit, ward_options, ward_to_read
from monitor.ward_rules import WardRules
from monitor.ward_topics import WardReader
from monitor.ward_view import drawn

__all__ = ["command"]

_EARLIER = timedelta(days=2)  # events of before the shift are read, too: who was acknowledged then is not again


def _moment(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{text!r} is no time; write it as 2026-11-22T19:00:00Z"
        raise click.BadParameter(msg) from error
    return moment if moment.tzinfo else moment.astimezone()


@click.command(name="handover")
@ward_options
@click.option("--hours", type=FiniteRange(0.1, 168), default=12.0, show_default=True, help="Of the last shift.")
@click.option("--at", callback=_moment, metavar="TIME", help="The shift's end, and from when times are told; else now.")
@click.option("--json", "as_values", is_flag=True, help="Print one JSON object.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a page to print or show.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    unit: str | None,
    hours: float,
    at: datetime | None,
    near: float,
    as_values: bool,
    page: Path | None,
) -> None:
    """Say how a ward stands: open and snoozed alerts, who is near one, who is not monitored or cannot be assessed.

    And what the last shift was like: how many alerts there were for a patient-day, how soon they were acknowledged, and
    how many were right, by the marks that people gave. With --at, alerts raised later are left out; those that are open
    and the risks are told as they stand now.

    Example: sepsis-monitor handover --unit MICU --html handover.html
    """
    settings = invocation.settings()
    burden = Burden()
    rules, ward, reader = ward_to_read(settings, unit, near, burden)
    now = at or datetime.now(UTC)
    begin = now - timedelta(hours=hours)
    with open_broker(settings) as bootstrap:
        consumer = clients.consumer(settings.kafka, bootstrap)
        try:
            _read(consumer, reader)
            events = _events_since(consumer, Topics(settings.topics.prefix).alert_events, begin - _EARLIER)
        except KafkaError as error:
            msg = f"reading the ward failed: {why(error, 'board')}"
            raise Failure(msg) from error
        finally:
            consumer.close(autocommit=False)
    check_unit(unit, ward, rules)
    if at is not None:
        ward.leave_out_after(at)
    days = burden.patient_days(_milliseconds(begin), _milliseconds(now), unit)
    found, shift = sections(ward, now), shift_of(events, days, begin, now, unit)
    if page is not None:
        _write(page, as_html(found, shift, title=_title(unit, now), note=_note(rules, ward, unit, near)))
    if as_values:
        click.echo(
            json.dumps(as_json(found, shift, unit=unit, now=now, patients=len(ward.present())), ensure_ascii=False)
        )
    elif page is None:
        _print(found, shift, _title(unit, now), _note(rules, ward, unit, near))
    if reader.unreadable:
        click.echo(f"sepsis-monitor: {reader.unreadable} records could not be read, and are not in here", err=True)


def _read(consumer: Any, reader: WardReader) -> None:
    """Read the ward's topics to where they end now."""
    follower = Follower(consumer, assign(consumer, reader.topics))
    for records in follower.batches(threading.Event(), follower.ends()):
        for record in records:
            reader.take(record)
            follower.done(record)


def _events_since(consumer: Any, topic: str, begin: datetime) -> list[AlertEvent]:
    """Return the alert events that were published since a time; none that happened since was published before."""
    places: list[TopicPartition] = partitions_of(consumer, topic)
    consumer.assign(places)
    starts = consumer.offsets_for_times(dict.fromkeys(places, _milliseconds(begin)))
    ends: dict[TopicPartition, int] = consumer.end_offsets(places)
    for place in places:
        consumer.seek(place, ends[place] if starts[place] is None else starts[place].offset)
    follower = Follower(consumer, {place: consumer.position(place) for place in places})
    decode, found = msgspec.json.Decoder(AlertEvent).decode, []
    for records in follower.batches(threading.Event(), ends):
        for record in records:
            follower.done(record)
            try:
                found.append(decode(record.value or b""))
            except msgspec.DecodeError:
                continue  # counted where the alert's state is read
    return found


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _title(unit: str | None, now: datetime) -> str:
    return f"Handover of {unit or 'all units'}, {now:%d %b %Y %H:%M %Z}"


def _note(rules: WardRules, ward: WardNow, unit: str | None, near: float) -> str:
    policy = rules.common if unit is None else rules.of(unit)
    others = [f"{name} at {own.raise_threshold:.4f}" for name, own in rules.apart()] if unit is None else []
    apart = f" ({'; '.join(others)})" if others else ""
    return (
        f"{len(ward.present())} patients. Policy {policy.name} {policy.version}: alerts are raised at a risk of "
        f"{policy.raise_threshold:.4f}{apart}; near is {near:.0%} of that or more. Not a medical device: a low risk "
        "rules nothing out."
    ).replace("%", " %")


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{page}: cannot be written ({error.strerror or error})"
        raise Failure(msg) from error
    click.echo(f"sepsis-monitor: written to {page}", err=True)


def _print(found: tuple[Section, ...], shift: Shift, title: str, note: str) -> None:
    console = Console()
    console.print(title, style="bold", highlight=False, markup=False)
    console.print(note, style="dim", highlight=False, markup=False)
    for section in found:
        console.print()
        console.print(drawn(section))
    console.print("\nThe last shift", style="bold")
    for line in shift_lines(shift):
        console.print(line, highlight=False, markup=False)
