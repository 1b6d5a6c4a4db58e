"""`budget`: the controller that lets units' raise thresholds follow their measured burden of false alerts."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import click
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError

from agents.messages import UnitThreshold
from agents.outputs import utc
from agents.policy import PolicyError
from agents.reporting import UNKNOWN_UNIT
from agents.rules import Rules
from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.access import budget_group
from monitor.brokers import open_broker
from monitor.budget.appending import Appender
from monitor.budget.charge import Charge
from monitor.budget.controller import Look
from monitor.budget.local_charge import LocalCharge
from monitor.budget.metrics import BudgetMetrics
from monitor.budget.reading import BudgetReader
from monitor.budget.service import Controller, InCharge, Watch
from monitor.errors import Failure, failing_on
from monitor.finite_range import FiniteRange
from monitor.group_follower import SESSION_MS, member_options
from monitor.health import Health, open_port
from monitor.invocation import Invocation, pass_invocation
from monitor.refusals import why
from monitor.retrying import connected
from monitor.settings import Settings
from monitor.signals import stop_requested
from monitor.tables import print_table
from monitor.topic_admin import create_topics
from monitor.unit_policies import policies_of

__all__ = ["command"]

_JOIN_SECONDS = 30.0
_LEAVING_SECONDS = SESSION_MS / 1000 + 5.0  # until the group has given up one that has ended and did not say so
_RESETS = 3  # tries against a controller that moves the same unit in the same moment
_SHOWN_HOURS = 24.0
_FORGOTTEN_HOURS = 24.0  # after the last time at which anything of a stay can be asked for: agents.clock.is_past
_WORDS = {
    "off": "no budget in its policy",
    "waiting": "not measured for a whole window yet",
    "too_few": "too few patient-days",
    "kept": "stays",
    "at_limit": "stays: at a limit of the policy",
    "moved": "moves",
    "begun": "begins anew: its policy has changed",
}
_ELSEWHERE = "; its last alert moved under another policy, and workers under that one take no threshold of this"


@click.command(name="budget")
@click.option("--every", type=FiniteRange(min=1), default=60.0, show_default=True, metavar="SECONDS",
              help="From look to look.")  # fmt: skip
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--dry-run", is_flag=True, help="Say once what would be done, and do nothing; no topic is made.")
@click.option("--reset", is_flag=True, help="Put thresholds back to their policies' own, and end.")
@click.option("--unit", metavar="UNIT", help="Only this unit, with --reset; '' are the patients of no unit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a unit.")
@pass_invocation
def command(
    invocation: Invocation, *, every: float, once: bool, dry_run: bool, reset: bool, unit: str | None, as_json: bool
) -> None:
    """Let the raise threshold of each unit follow its burden of false alerts, within the limits of its policy.

    Where the policy has a [budget], the unit's sepsis alerts that have ended and that nobody called right are counted
    for its patient-days, over the policy's window of event time. Outside the budget's tolerance the threshold moves by
    a bounded step, through the patients' logs: a replay sees it at the same places. Without a [budget] nothing is
    moved; stopped, this leaves thresholds as they are. Of several, one acts and the others stand by: on a cluster
    as their group says, on a local broker as a lock beside its data does.

    /metrics and /readyz are served on http.port: give it another one than a worker on the same machine has. A cluster
    that cannot be reached, or refuses the user, is asked again, later and later, until it can be used: /readyz says
    `kafka` meanwhile, and the log says why. `--once`, `--dry-run` and `--reset` end with 1.

    Example: sepsis-monitor budget --dry-run
    """
    if unit is not None and not reset:
        msg = "--unit belongs to --reset"
        raise click.UsageError(msg)
    if reset and (once or dry_run):
        msg = "--reset ends by itself: give neither --once nor --dry-run with it"
        raise click.UsageError(msg)
    settings = invocation.settings()
    with failing_on(PolicyError):
        rules = Rules(*policies_of(settings))
    with stop_requested() as stop, open_broker(settings, alone="tell") as bootstrap:
        run = _Run(settings, bootstrap, Topics(settings.topics.prefix), rules, as_json=as_json)
        try:
            if reset:
                run.reset(stop, unit)
            elif dry_run:
                run.show(stop)
            elif once:
                run.once(stop)
            else:
                run.watch(stop, every)
        except KafkaError as error:
            msg = f"the live budget's work failed: {why(error, 'budget', 'Read or Write')}"
            raise Failure(msg) from error


class _Run:
    def __init__(self, settings: Settings, bootstrap: str, topics: Topics, rules: Rules, *, as_json: bool) -> None:
        self._settings, self._bootstrap, self._topics, self._rules = settings, bootstrap, topics, rules
        self._as_json = as_json

    # -- what is opened for a run

    def _make_topics(self) -> None:
        create_topics(self._bootstrap, self._settings, topic_specs(self._topics))

    @contextmanager
    def _reader(self) -> Iterator[BudgetReader]:
        every = self._rules.policies
        windows = [_SHOWN_HOURS, *(each.budget.window_hours for each in every if each.budget is not None)]
        kept = min(max(self._settings.limits.late_hours, each.mark_hours) + _FORGOTTEN_HOURS for each in every)
        consumer = clients.consumer(self._settings.kafka, self._bootstrap)
        try:
            reader = BudgetReader(consumer, self._topics, window_hours=max(windows), kept_hours=kept)
            yield reader
        finally:
            consumer.close(autocommit=False)
        if reader.unreadable:
            click.echo(f"sepsis-monitor: {reader.unreadable} records could not be read, and do not count", err=True)

    @contextmanager
    def _appender(self) -> Iterator[Appender]:
        producer = clients.producer(self._settings.kafka, self._bootstrap)
        try:
            yield Appender(producer, self._topics, self._settings.topics.partitions)
        finally:
            producer.close()

    @contextmanager
    def _charge(self) -> Iterator[Charge | LocalCharge]:
        group = budget_group(self._settings.worker.group)
        if self._settings.kafka.bootstrap_servers is None:
            lock = f"{self._settings.topics.prefix}{group}.lock"
            with closing(LocalCharge(self._settings.broker.data_dir / lock)) as local:
                yield local
            return
        options = member_options(group, sole=False)
        options["partition_assignment_strategy"] = [StickyPartitionAssignor]  # who is in charge stays it
        consumer = clients.consumer(self._settings.kafka, self._bootstrap, **options)
        try:
            yield Charge(consumer, self._topics.budgets)
        finally:
            consumer.close(autocommit=False)

    # -- what a run does

    def show(self, stop: threading.Event) -> None:
        """Say what would be done."""
        with self._reader() as reader:
            self._tell(Controller(reader, self._rules.of_unit).looks(stop))

    def once(self, stop: threading.Event) -> None:
        """Look and act once; raises Failure where another controller is in charge, or the group does not answer."""
        self._make_topics()
        with self._reader() as reader, self._appender() as puts, self._charge() as charge:
            self._join(charge, stop)
            controller = Controller(reader, self._rules.of_unit)
            looks = controller.looks(stop)
            controller.act(looks, charge, puts)
        self._tell(looks)

    def _join(self, charge: InCharge, stop: threading.Event) -> None:
        """Wait for who is in charge to be known; raises Failure where it is not this controller."""
        deadline, joined = time.monotonic() + _JOIN_SECONDS, False
        while not (charge.held or stop.is_set()) and time.monotonic() < deadline:
            charge.poll()
            if charge.joined and not joined:
                deadline, joined = time.monotonic() + _LEAVING_SECONDS, True
        if charge.held or stop.is_set():
            return
        if charge.joined:
            msg = "another controller of the live budget is in charge, and acts; --dry-run looks beside it"
        else:
            group = budget_group(self._settings.worker.group)
            msg = (
                f"the group {group} has not answered for {_JOIN_SECONDS:g} s: who is in charge is not known; try again"
            )
        raise Failure(msg)

    def watch(self, stop: threading.Event, every: float) -> None:
        """Look until told to stop."""
        metrics, health = BudgetMetrics(), Health("kafka")
        with ExitStack() as opened:
            opened.callback(open_port(self._settings, metrics.registry, health.status).stop)
            reader, puts, charge = connected(
                self._settings, "budget", lambda: opened.enter_context(self._everything()), stop
            )
            watch = Watch(Controller(reader, self._rules.of_unit), charge, puts, metrics)
            health.begin(watch.status)
            watch.run(stop, every, lambda each: self._tell([each]))

    @contextmanager
    def _everything(self) -> Iterator[tuple[BudgetReader, Appender, Charge | LocalCharge]]:
        self._make_topics()
        with self._reader() as reader, self._appender() as puts, self._charge() as charge:
            yield reader, puts, charge

    def reset(self, stop: threading.Event, unit: str | None) -> None:
        """Put thresholds back; raises Failure where a controller moved one in the same moment, again and again."""
        self._make_topics()
        with self._reader() as reader, self._appender() as puts:
            controller = Controller(reader, self._rules.of_unit)
            wanted = controller.resets(stop, unit)
            for _ in range(_RESETS):
                for record in wanted:
                    puts.put(record)
                reader.catch_up(stop)
                if all(reader.thresholds.newest.get(each.unit) == each for each in wanted) or stop.is_set():
                    break
                wanted = controller.resets(stop, unit)
            else:
                msg = "a controller moves thresholds at the same time: stop it first, or try again"
                raise Failure(msg)
        self._tell_reset(wanted, unit)

    def _tell(self, looks: Sequence[Look]) -> None:
        if self._as_json:
            for each in looks:
                click.echo(json.dumps(_values(each), ensure_ascii=False))
        elif looks:
            headings = ("unit", "false a patient-day", "allowed", "patient-days", "raise at", "then", "")
            print_table(headings, [_row(each) for each in looks])
        else:
            click.echo("no patient is known: nothing is measured")

    def _tell_reset(self, records: Sequence[UnitThreshold], unit: str | None) -> None:
        for record in records:
            values = {"unit": record.unit, "raise_threshold": record.raise_threshold}
            plain = f"{record.unit or UNKNOWN_UNIT}: back to {record.raise_threshold:g}"
            click.echo(json.dumps(values, ensure_ascii=False) if self._as_json else plain)
        if not records and not self._as_json:
            click.echo("nothing to put back" if unit is None else "its policy has no budget: nothing to put back")


def _values(each: Look) -> dict[str, Any]:
    budget, burden = each.policy.budget, each.measured.burden
    return {
        "unit": each.unit,
        "policy": {"name": each.policy.name, "version": each.policy.version, "digest": each.policy.digest},
        "false_episodes_per_patient_day": None if burden is None else round(burden, 4),
        "allowed_false_episodes_per_patient_day": None if budget is None else budget.false_episodes_per_patient_day,
        "episodes": each.measured.episodes,
        "patient_days": round(each.measured.patient_days, 4),
        "counted_until": utc(each.until_ms),
        "raise_threshold": each.threshold,
        "raise_threshold_after": each.threshold_after,
        "outcome": each.outcome,
        "policy_at_work": each.policy_at_work,
    }


def _row(each: Look) -> tuple[str, ...]:
    budget, burden = each.policy.budget, each.measured.burden
    return (
        each.unit or UNKNOWN_UNIT,
        "-" if burden is None or math.isnan(burden) else f"{burden:.2f}",
        "-" if budget is None else f"{budget.false_episodes_per_patient_day:g}",
        f"{each.measured.patient_days:.1f}",
        f"{each.threshold:.6f}",
        f"{each.threshold_after:.6f}",
        _WORDS[each.outcome] + (_ELSEWHERE if each.elsewhere else ""),
    )
