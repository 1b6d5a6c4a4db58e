"""`simulate`: what a policy or a model would have done, beside the one in force, over a data set or a recorded log."""

from __future__ import annotations

import json
import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from kafka.errors import KafkaError
from numpy.typing import NDArray

from agents.decoding import Limits
from agents.policy import Policy, PolicyError, chosen_for, load_policy
from agents.topics import Topics
from models.artifact import ArtifactError, load_model, model_folder
from models.cohort import Cohort, CohortError, read_cohort
from models.provenance import provenance
from models.stay_model import StayModel
from monitor import clients
from monitor.alert_course import policy_for
from monitor.brokers import open_broker
from monitor.commands.evaluate import chosen_stays, spinner
from monitor.errors import Failure, failing_on
from monitor.evaluation import plain
from monitor.follow import Follower, assign
from monitor.invocation import Invocation, pass_invocation
from monitor.refusals import why
from monitor.settings import Settings
from monitor.simulation import Episode, LogSide, Side, differences, simulate_cohort, stays_alerted_only
from monitor.tables import print_table
from monitor.unit_policies import policies_of

__all__ = ["command"]


@dataclass(frozen=True)
class _Choice:
    """What decides on one side: a model, and a policy in all units, or what the log names but for those of `units`."""

    model: StayModel
    policy: Policy
    as_named: bool
    units: Mapping[str, Policy] = field(default_factory=dict)


_ROWS = (
    ("stays", "stays", "d"),
    ("patient_days", "patient-days", ".1f"),
    ("alerts", "sepsis alerts", "d"),
    ("stays_alerted", "stays alerted", "d"),
    ("alerts_per_patient_day", "alerts a patient-day", ".2f"),
    ("false_episodes_per_patient_day", "false alerts a patient-day", ".2f"),
    ("septic_alerted", "septic stays alerted", ".0%"),
    ("other_ever_alerted", "other stays ever alerted", ".0%"),
    ("ppv_episode", "alerts that are right", ".0%"),
    ("ppv_stay", "alerted stays that are septic", ".0%"),
    ("lead_hours_median", "median lead, hours", ".1f"),
)


@click.command(name="simulate")
@click.argument("data", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--policy", "policies", multiple=True, metavar="FILE|UNIT=FILE",
              help="The policy file to try, in all units; with UNIT=, in that one; may be repeated.")  # fmt: skip
@click.option("--model", metavar="NAME|FOLDER", help="The model to try; default: model.name.")
@click.option("--stays", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Only these: an id a line.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object, with the differing alerts.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    data: Path | None,
    policies: tuple[str, ...],
    model: str | None,
    stays: Path | None,
    as_json: bool,
) -> None:
    """Say what a policy or a model would have done, beside the one in force: before and after.

    DATA is a .parquet table in the columns of the PhysioNet/CinC Challenge 2019, or a folder of .psv files; with labels
    the report also says what is found. Without DATA the log that the cluster has recorded is read from its beginning:
    before is then what the log itself names as in force at each place, units' own policies and moved thresholds
    included. After is the policy tried, in all units and from the beginning. With UNIT=FILE alone it decides in that
    unit, with --model alone only the model is another: all else stays in force as the log names it.
    Nothing is written. An alert counts as only before, or only after, when the other side had none open meanwhile; a
    stay, when the other side never alerted in it. False, with labels, is as in `tune`.

    Example: sepsis-monitor simulate stays.parquet --policy icu.toml
    """
    settings = invocation.settings()
    if data is None and stays is not None:
        msg = "--stays chooses among the stays of DATA, and none is given"
        raise click.UsageError(msg)
    common, units = _split(policies)
    if data is not None and units:
        msg = "the stays of DATA are in no unit: give the unit's policy as --policy FILE"
        raise click.UsageError(msg)
    with failing_on(ArtifactError, CohortError, PolicyError):
        now = load_model(settings.model.name)
        tried = load_model(model) if model else now
        named = data is None
        in_force = _Choice(now, policy_for(now, settings.policy.file), as_named=named)
        candidate = _Choice(
            tried,
            in_force.policy if named and common is None else policy_for(tried, common or settings.policy.file),
            as_named=named and common is None,
            units={unit: load_policy(file) for unit, file in units.items()},
        )
        if data is None:
            _warn_of_another_model(now, candidate)
            before, after = _over_log(settings, in_force, policies_of(settings)[1], candidate)
        else:
            whole = read_cohort(data)
            chosen = chosen_stays(whole, stays)
            if whole.labels is not None:
                _warn_of_seen_stays(whole, chosen, dict.fromkeys((settings.model.name, model or settings.model.name)))
            before, after = _over_file(whole.select(chosen), in_force, candidate)
    found = differences(before.episodes, after.episodes)
    alerted = stays_alerted_only(before.episodes, after.episodes)
    if as_json:
        report = {
            "source": "log" if data is None else data.name,
            "before": _named(in_force) | before.as_json(),
            "after": _named(candidate) | after.as_json(),
            **{name: [_alert(each) for each in some] for name, some in found.items()},
            **alerted,
        }
        click.echo(json.dumps(plain(report), allow_nan=False))
        return
    _print(before, after, in_force, candidate, from_log=data is None)
    only = {name: len(some) for name, some in found.items()}
    click.echo(f"\nAlerts only before: {only['only_before']}; only after: {only['only_after']}.")
    only = {name: len(some) for name, some in alerted.items()}
    click.echo(f"Stays alerted only before: {only['stays_only_before']}; only after: {only['stays_only_after']}.")


def _over_file(cohort: Cohort, in_force: _Choice, candidate: _Choice) -> tuple[Side, Side]:
    with spinner() as say:
        say("simulating")
        before, after = (simulate_cohort(each.model, each.policy, cohort) for each in (in_force, candidate))
    return before, after


def _split(policies: Sequence[str]) -> tuple[Path | None, dict[str, Path]]:
    """Return the file for all units, and those of single ones; raises UsageError where one is given twice."""
    common: list[Path] = []
    units: dict[str, Path] = {}
    for text in policies:
        unit, equals, file = text.partition("=")
        if not equals or Path(text).exists():
            common.append(Path(text))
        elif unit in units or not unit or not file:
            msg = f"--policy {text}: give UNIT=FILE, and each unit once"
            raise click.UsageError(msg)
        else:
            units[unit] = Path(file)
    if len(common) > 1:
        msg = "two policies cannot be tried in all units at once: give UNIT=FILE for one of them"
        raise click.UsageError(msg)
    return (common[0] if common else None), units


def _warn_of_another_model(now: StayModel, tried: _Choice) -> None:
    """Say where thresholds stay in force that another model's risks were chosen for."""
    if tried.as_named and tried.model.digest != now.digest and not chosen_for(tried.policy, tried.model):
        click.echo(
            f"sepsis-monitor: the policies that stay in force were not chosen for {tried.model.name} "
            f"{tried.model.version}: their thresholds may mean something else for it; give --policy, too",
            err=True,
        )


def _warn_of_seen_stays(whole: Cohort, chosen: NDArray[np.bool_], models: Iterable[str]) -> None:
    """Say, for each model, that it has learned from chosen stays (S, mask) of a file, where it has or may have."""
    for name in models:
        known = provenance(load_model(name).manifest, model_folder(name), whole, chosen)
        if known.warning:
            click.echo(f"sepsis-monitor: {name}: {known.warning}", err=True)


def _over_log(
    settings: Settings, in_force: _Choice, units: Mapping[str, Policy], candidate: _Choice
) -> tuple[Side, Side]:
    """Read the observations from the beginning to where they end now, through both sides."""
    limits = Limits(
        *(getattr(settings.limits, name) for name in ("ahead_seconds", "late_hours", "value_bytes", "gap_hours"))
    )
    topic = Topics(settings.topics.prefix).observations
    with open_broker(settings) as bootstrap, spinner() as say:
        consumer = clients.consumer(settings.kafka, bootstrap)
        try:
            follower = Follower(consumer, assign(consumer, [topic]))
            ends = follower.ends()
            sides = [
                LogSide(in_force.model, in_force.policy, limits, len(ends), units, as_named=True),
                LogSide(
                    candidate.model,
                    candidate.policy,
                    limits,
                    len(ends),
                    units if candidate.as_named else None,
                    as_named=candidate.as_named,
                    instead=candidate.units,
                ),
            ]
            _warn_of_lost_beginnings(consumer, ends)
            count = 0
            for records in follower.batches(threading.Event(), ends):
                by_partition: dict[int, list[Any]] = defaultdict(list)
                for record in records:
                    by_partition[record.partition].append(record)
                    follower.done(record)
                for partition, some in by_partition.items():
                    for side in sides:
                        side.take(partition, some)
                count += len(records)
                say(f"simulating: {count} records")
        except KafkaError as error:
            msg = f"reading the log failed: {why(error, 'auditor')}"
            raise Failure(msg) from error
        finally:
            consumer.close(autocommit=False)
    return sides[0].side(), sides[1].side()


def _warn_of_lost_beginnings(consumer: Any, ends: dict[Any, int]) -> None:
    begins = consumer.beginning_offsets(list(ends))
    if any(begins.values()):
        click.echo(
            "sepsis-monitor: the log no longer reaches back to its beginning; stays that began before it are "
            "simulated from where it does, and their first alerts may differ from those that were published",
            err=True,
        )


def _named(choice: _Choice) -> dict[str, Any]:
    model = choice.model
    return {
        "policy": _policy(choice.policy) | {"as_named_by_log": choice.as_named},
        "units": {unit: _policy(policy) for unit, policy in sorted(choice.units.items())},
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
    }


def _policy(policy: Policy) -> dict[str, Any]:
    return {
        **{"name": policy.name, "version": policy.version, "digest": policy.digest},
        **{"raise_threshold": policy.raise_threshold, "resolve_threshold": policy.resolve_threshold},
    }


def _alert(episode: Episode) -> dict[str, Any]:
    return {"stay": episode.stay, "begin": episode.begin, "end": episode.end}


def _print(before: Side, after: Side, in_force: _Choice, candidate: _Choice, *, from_log: bool) -> None:
    left, right = before.as_json(), after.as_json()
    sides = (in_force, candidate)
    titles = ("as the log names it" if each.as_named else _title(each.policy) for each in sides)
    rows: list[tuple[str, ...]] = [("policy", *titles)]
    rows += [(f"policy in {unit}", "", _title(policy)) for unit, policy in sorted(candidate.units.items())]
    rows.append(("model", *(f"{each.model.name} {each.model.version}" for each in sides)))
    if not from_log:
        rows.append(("raise at", *(f"{each.policy.raise_threshold:.6f}" for each in sides)))
    rows += [(title, _cell(left[name], form), _cell(right[name], form)) for name, title, form in _ROWS if name in left]
    print_table(("", "before", "after"), rows)


def _title(policy: Policy) -> str:
    return f"{policy.name} {policy.version}"


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)
