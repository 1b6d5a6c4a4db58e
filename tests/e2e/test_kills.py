"""A worker that is killed with SIGKILL in mid-stream: scores and alerts equal those of an undisturbed run."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agents.core import Core
from agents.decoding import Limits
from agents.policy import load_policy
from models.artifact import load_model
from models.cohort import Cohort
from monitor.replay import ReplayOptions, ReplayStream
from tests.e2e.ward import Ward, closed_risks, open_ward, real_stays
from tests.waiting import until

_KILLS = 3
_STAYS = 120
_SPEED = 350.0  # patient-hours a second: some 14 s of stream
Alerts = dict[str, dict[str, Any]]


def alerts_by_id(events: Sequence[Mapping[str, Any]]) -> Alerts:
    """Return alert events by id without the wall clock's part; a repeat must be the same in every other field."""
    found: Alerts = {}
    for event in events:
        body = {name: value for name, value in event.items() if name != "published_at"}
        assert found.setdefault(event["event_id"], body) == body
    return found


def without_log(alerts: Alerts) -> Alerts:
    """Return the alerts without their offsets, which differ between two publications of the same stays."""
    return {key: {name: value for name, value in body.items() if name != "log"} for key, body in alerts.items()}


def run(ward: Ward, cohort: Cohort, end: datetime, kills: int) -> int:
    """Stream the cohort while the worker is killed and replaced `kills` times; return the work pending at the kills."""
    ward.start()
    ward.wait_ready()
    stream = ReplayStream(cohort, ReplayOptions(seed=5), end)
    publishing = threading.Thread(target=ward.replay, args=(stream,), kwargs={"speed": _SPEED})
    publishing.start()
    pending = 0
    for kill in range(1, kills + 1):
        threshold = stream.n_observations * kill // (kills + 1)
        wait_for_commits(ward, threshold)
        ward.kill()
        pending += pending_records(ward)
        ward.start()
    publishing.join(timeout=150)
    assert not publishing.is_alive()
    ward.wait_ready()
    ward.drain()
    return pending


def wait_for_commits(ward: Ward, count: int) -> None:
    """Wait until the group has committed so many log records."""
    until(lambda: ward.committed() >= count, seconds=90, what=f"{count} records worked off")


def pending_records(ward: Ward) -> int:
    """Return how many records of the logs are not committed."""
    with ward.positions() as positions:
        return sum(positions.end_offsets(ward.topics.observations).values()) - ward.committed()


def undisturbed(ward: Ward) -> tuple[Alerts, dict[tuple[str, int], float]]:
    """Return what one pass of the pure core over the logs gives, each partition as a single chunk."""
    core = Core(load_model("bedside"), load_policy(), Limits())
    alerts: Alerts = {}
    scores: list[Mapping[str, Any]] = []
    logs: dict[int, list[Any]] = {}
    for record in ward.records(ward.topics.observations):
        logs.setdefault(record.partition, []).append(record)
    for partition, records in logs.items():
        outcome = core.process(partition, records, lambda key: None)
        events = [_plain(event) for _, event in outcome.alerts]
        alerts |= alerts_by_id(events)
        scores += [_plain(score) for score in outcome.scores]
    return alerts, closed_risks(scores)


def _plain(message: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(message))
    return plain


def test_scores_and_alerts_after_three_kills_equal_an_undisturbed_run(apache_kafka: str, tmp_path: Path) -> None:
    cohort, end = real_stays(_STAYS, seed=4), datetime.now(UTC)
    with open_ward(apache_kafka, tmp_path) as killed:
        pending = run(killed, cohort, end, _KILLS)
        alerts = alerts_by_id(killed.values(killed.topics.alert_events))
        closed = closed_risks(killed.values(killed.topics.scores))
        expected_alerts, expected_closed = undisturbed(killed)
    with open_ward(apache_kafka, tmp_path) as calm:
        run(calm, cohort, end, 0)
        calm_alerts = alerts_by_id(calm.values(calm.topics.alert_events))
        calm_closed = closed_risks(calm.values(calm.topics.scores))
    assert pending > 0, "no kill hit any work: the test shows nothing"
    assert {alert["transition"] for alert in alerts.values()} >= {"raised", "resolved"}
    assert alerts == expected_alerts
    assert closed == expected_closed
    assert without_log(alerts) == without_log(calm_alerts)
    assert closed == calm_closed
