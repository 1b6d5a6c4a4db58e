"""Files, the log and the alert topic tell the same: what `simulate` and `evaluate` say is what subscribers get."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from agents.decoding import Limits
from agents.messages import THRESHOLD_TYPE, AlertEvent, Identity, UnitThreshold
from agents.outputs import utc
from agents.policy import SHIPPED_POLICY, Policy, load_policy
from models.alarm_figures import AlertCourse, alarm_figures
from models.artifact import load_model
from models.cohort import Cohort, read_cohort
from models.resampling import Resamples
from models.vital_signs import NAMES
from monitor.cli import main
from monitor.replay import ReplayOptions, ReplayStream
from monitor.simulation import LogSide
from tests.e2e.ward import PARTITIONS, Ward, open_ward

_DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"
_POLICY = resources.files("agents").joinpath("policies", f"{SHIPPED_POLICY}.toml")
_STAYS = 70  # where not all are streamed
_LONGEST = 48  # hours
_HOUR = 3600


def test_simulation_evaluation_and_topic_agree(apache_kafka: str, tmp_path: Path) -> None:
    """All whole stays of the demonstration, the only ones that the shipped model has not learned from."""
    cohort = read_cohort(_DEMO)
    stream = ReplayStream(cohort, ReplayOptions(seed=7), datetime.now(UTC))
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        ward.replay(stream)
        ward.drain()
        published = [msgspec.convert(value, AlertEvent) for value in ward.values(ward.topics.alert_events)]
        raised = [each for each in published if (each.kind, each.transition) == ("sepsis_risk", "raised")]
        assert len(raised) > cohort.n_stays / 4
        assert _told(_simulated(ward)) == _told(published)
        _command_agrees(ward, cohort.n_stays, len(raised))
    _evaluation_agrees(cohort, _course(cohort, stream, published), tmp_path)


def test_simulation_follows_units_and_thresholds_as_the_log_names_them(embedded_kafka: str, tmp_path: Path) -> None:
    whole = read_cohort(_DEMO)
    stream = ReplayStream(whole.select(_some_short(whole)), ReplayOptions(seed=7), datetime.now(UTC))
    units = {stream.place(stay)[0] for stay in range(stream.n_stays)}
    assert len(units) > 1
    one, other = sorted(units)[:2]
    common, own = (_with_budget(tmp_path, name, high) for name, high in (("common", 0.03), ("own", 0.012)))
    with open_ward(embedded_kafka, tmp_path, SEPSIS_MONITOR_POLICY__FILE=str(common)) as ward:
        settled = {"SEPSIS_MONITOR_POLICY__UNITS": json.dumps({one: str(own)})}
        ward.start(**settled)
        ward.wait_ready()
        _move_threshold(ward, one, 0.02, load_policy(own))
        _move_threshold(ward, other, 0.06, load_policy(common))
        _move_threshold(ward, other, 0.5, load_policy(common))  # beyond its limits
        ward.replay(stream)
        ward.drain()
        published = [msgspec.convert(value, AlertEvent) for value in ward.values(ward.topics.alert_events)]
        of_units = {unit: [each for each in published if each.unit == unit and each.risk is not None] for unit in units}
        assert {each.policy.name for each in of_units[one]} == {"own"}
        assert {each.threshold for each in of_units[one] if each.transition == "raised"} == {0.02}
        assert {each.threshold for each in of_units[other] if each.transition == "raised"} == {0.06}
        assert _told(_simulated(ward, load_policy(common))) == _told(published)
        raised = [each for each in published if (each.kind, each.transition) == ("sepsis_risk", "raised")]
        _command_agrees(ward, _STAYS, len(raised), **settled)
        never = tmp_path / "never.toml"
        never.write_text(
            'name = "never"\nversion = "1"\nmodel = "bedside 1.4.0"\nraise_threshold = 0.99\nresolve_threshold = 0.98\n'
        )
        found = _simulate(ward, "--policy", f"{one}={never}", **settled)
        assert (found["after"]["policy"]["as_named_by_log"], found["after"]["units"][one]["name"]) == (True, "never")
        in_unit = sum(each.unit == one for each in raised)
        assert found["after"]["alerts"] == len(raised) - in_unit < len(raised)
        found = _simulate(ward, "--policy", str(never), **settled)
        assert (found["after"]["policy"]["as_named_by_log"], found["after"]["alerts"]) == (False, 0)


def _with_budget(folder: Path, name: str, high: float) -> Path:
    """Write a policy for the shipped model with a budget."""
    policy = load_policy()
    lines = [f'name = "{name}"', 'version = "1"', f'model = "{policy.model}"']
    lines += [f"raise_threshold = {high}", f"resolve_threshold = {high * 0.8}", "[budget]"]
    limits = ("false_episodes_per_patient_day = 0.5", "lowest_threshold = 0.01", "highest_threshold = 0.1")
    (folder / f"{name}.toml").write_text("\n".join([*lines, *limits]))
    return folder / f"{name}.toml"


def _move_threshold(ward: Ward, unit: str, threshold: float, policy: Policy) -> None:
    """Append a threshold to every partition, as a controller does."""
    now = utc(round(datetime.now(UTC).timestamp() * 1000))
    said = UnitThreshold(unit, threshold, now, 3, 4.5, Identity(policy.name, policy.version, policy.digest), now)
    with ward.producer() as producer:
        for partition in range(PARTITIONS):
            headers = [("ce_type", THRESHOLD_TYPE.encode())]
            producer.send(ward.topics.observations, msgspec.json.encode(said), partition=partition, headers=headers)
        producer.flush()


def _some_short(whole: Cohort) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return a mask (S) of so many stays, drawn among the short ones."""
    short = np.flatnonzero(whole.lengths <= _LONGEST)
    chosen = np.zeros(whole.n_stays, dtype=np.bool_)
    chosen[np.random.default_rng(7).permutation(short)[:_STAYS]] = True
    return chosen


def _simulated(ward: Ward, policy: Policy | None = None) -> list[AlertEvent]:
    """Return the alerts that the policy in force gives over the recorded log."""
    side = LogSide(load_model("bedside"), policy or load_policy(), Limits(), PARTITIONS, as_named=True)
    by_partition = defaultdict(list)
    for record in ward.records(ward.topics.observations):
        by_partition[record.partition].append(record)
    for partition, records in by_partition.items():
        side.take(partition, records)
    return side.events


def _told(events: Sequence[AlertEvent]) -> dict[str, AlertEvent]:
    """Return the events by their ids, without the reasons and the time of publication."""
    blank: dict[str, Any] = {"published_at": "", "reasons": [], "summary": None, "baseline_risk": None}
    blank |= {"reasons_method": None, "reasons_delta": None}
    return {each.event_id: msgspec.structs.replace(each, **blank) for each in events}


def _command_agrees(ward: Ward, stays: int, raised: int, **environment: str) -> None:
    found = _simulate(ward, **environment)
    assert found["before"]["alerts"] == found["after"]["alerts"] == raised
    assert found["only_before"] == found["only_after"] == []
    assert found["before"]["stays"] == stays


def _simulate(ward: Ward, *arguments: str, **environment: str) -> dict[str, Any]:
    env = {**ward.environment, **environment}
    result = CliRunner().invoke(main, ["simulate", *arguments, "--json"], env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _course(cohort: Cohort, stream: ReplayStream, events: Sequence[AlertEvent]) -> AlertCourse:
    """Return on which rows alerts were raised and open, counted from the topic alone."""
    raised, is_open = (np.zeros(cohort.n_rows, dtype=np.bool_) for _ in range(2))
    number = {name: stay for stay, name in enumerate(cohort.patient_ids)}
    begun: dict[str, int] = {}
    for event in events:
        if event.kind != "sepsis_risk" or event.transition not in {"raised", "resolved", "expired"}:
            continue
        stay = number[event.patient_id]
        begin, end = cohort.offsets[stay : stay + 2].tolist()
        step = (datetime.fromisoformat(event.occurred_at).timestamp() - stream.start[stay]) // _HOUR
        row = begin + int(np.searchsorted(cohort.steps[begin:end], step))
        if event.transition == "raised":
            raised[row] = True
            begun[event.alert_id] = row
        else:
            is_open[begun.pop(event.alert_id) : row if event.transition == "resolved" else end] = True
    assert not begun  # every stay was discharged, and its alert with it
    return AlertCourse(raised, is_open)


def _evaluation_agrees(cohort: Cohort, course: AlertCourse, folder: Path) -> None:
    """Compare the alarm figures that the command prints with those counted from the topic."""
    (folder / "policy.toml").write_bytes(_POLICY.read_bytes())
    arguments = ["--policy", str(folder / "policy.toml"), "--bootstrap", "0", "--vitals", ",".join(NAMES), "--json"]
    result = CliRunner().invoke(main, ["evaluate", str(_DEMO), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    printed: dict[str, Any] = json.loads(result.stdout)["views"]["as_given"]["alarms"]["whole_stay"]
    counted = alarm_figures(cohort, course, Resamples.draw(cohort.n_stays, 0, 0))
    assert {name: figure["value"] for name, figure in printed.items()} == pytest.approx(
        {name: figure.value for name, figure in counted.items()}
    )
