"""What the wall clock decides: patients fall silent, alerts go unanswered; and whoever watches the clock dies."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from agents.policy import load_policy
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Evidence
from tests.chaos.oracle import Oracle, default_core, plain
from tests.chaos.scenarios.storage import newest_states
from tests.chaos.stage import Stage, scenario
from tests.e2e.ward import PARTITIONS

__all__ = ["silence", "silence_without_a_state"]

_SILENT_SECONDS = 15.0
_LATE_SECONDS = 10.0  # how much later than that the alert may come
_PATIENTS = 25
_UNREADABLE = 8  # patients with nothing but a truncated state
_LEFT_BYTES = (40, 100)  # of it: not even the head is whole
_KINDS = frozenset(
    {
        "monitoring_lost raised",
        "sepsis_risk raised",
        "sepsis_risk resolved",
        "sepsis_risk escalated",
        "cannot_assess raised",
    }
)


def _impatient_policy(folder: Path) -> Path:
    """Write the shipped policy with a wall clock that waits for seconds instead of minutes."""
    text = resources.files("agents").joinpath("policies", "pager.toml").read_text()
    for name, before, seconds in (("monitoring_lost_minutes", 90, _SILENT_SECONDS), ("acknowledge_minutes", 30, 9.0)):
        assert f"{name} = {before} " in text, f"the shipped policy has another {name}"
        text = text.replace(f"{name} = {before} ", f"{name} = {seconds / 60} ")
    path = folder / "impatient.toml"
    path.write_text(text)
    return path


def _observe(chaos: ChaosWard, names: list[str]) -> None:
    """Send three measurements of each patient, the last one of now."""
    now = datetime.now(UTC)
    for ago in (20, 10, 0):
        for name in names:
            moment = (now - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
            body = {"patient_id": name, "time": moment, "heart_rate": 80, "respiratory_rate": 15, "temperature": 37.0}
            chaos.feed.send(chaos.ward.topics.observations, name.encode(), json.dumps(body).encode())
    chaos.feed.flush()


@scenario("silence", most_rounds=8)
def silence(stage: Stage) -> None:
    """Let 25 patients fall silent and kill a worker a second before that is due: each is told of, and in time."""
    _demand_told(stage, _PATIENTS, _fall_silent)


@scenario("silence-without-a-state", most_rounds=8)
def silence_without_a_state(stage: Stage) -> None:
    """Leave patients who fall silent with nothing but a truncated state: each is told of, and in time."""
    _demand_told(stage, _UNREADABLE, _fall_silent_unreadable)


def _demand_told(stage: Stage, patients: int, fall_silent: Callable[[ChaosWard, list[str]], None]) -> None:
    """Let so many patients a round fall silent in some way, and demand that each is told of, and in time."""
    stage.grounds.folder.mkdir(parents=True, exist_ok=True)
    policy = _impatient_policy(stage.grounds.folder)

    def oracle(_: ChaosWard) -> Oracle:
        return Oracle(default_core(PARTITIONS, policy=load_policy(policy)))

    names: list[str] = []
    # When a worker is killed the clock decides: luck has it whether it has stored what it has not committed.
    with stage.ward(
        rate=60.0, kinds=_KINDS, replays=None, oracle=oracle, SEPSIS_MONITOR_POLICY__FILE=str(policy)
    ) as chaos:
        chaos.flowing(100)
        for _ in stage.rounds(chaos):
            some = [f"silent-{stage.seed}-{number}" for number in range(patients)]
            names += some
            fall_silent(chaos, some)
            _await_told(chaos, len(names))
    delays = _delays(stage.evidence)
    late = sorted(delay for delay in delays.values() if delay > _SILENT_SECONDS + _LATE_SECONDS)
    stage.demand(len(delays) == len(names), "lost-alert", f"{len(delays)} of {len(names)} silent patients were told of")
    stage.demand(not late, "lost-alert", f"{len(late)} alerts of silence were late, the last by {late[-1:]} s")
    first, last = min(delays.values(), default=0.0), max(delays.values(), default=0.0)
    stage.result.notes.append(
        f"{len(delays)} silences told after {first:.1f} to {last:.1f} s (due after {_SILENT_SECONDS:.0f})"
    )


def _fall_silent(chaos: ChaosWard, names: list[str]) -> None:
    """Observe patients for the last time; a second before that is due to be told, a worker dies."""
    _observe(chaos, names)
    due = time.monotonic() + _SILENT_SECONDS
    chaos.await_worked_off()
    left = max(0.0, due - time.monotonic() - 1.0)
    chaos.pause(left, left)
    chaos.kill(chaos.random.choice(["worker-1", "worker-2"]))
    chaos.start(next(name for name in ("worker-1", "worker-2") if not chaos.alive(name)), wait=False)


def _fall_silent_unreadable(chaos: ChaosWard, names: list[str]) -> None:
    """Observe patients for the last time; then all workers die, and of their states the beginning alone is left."""
    _observe(chaos, names)
    chaos.await_worked_off()
    for instance in ("worker-1", "worker-2"):
        chaos.kill(instance)
    keys = {name.encode(): size for name, size in zip(names, itertools.cycle(_LEFT_BYTES), strict=False)}
    found = [record for record in newest_states(chaos) if record.key in keys]
    for record in found:
        key, state = record.key or b"", record.value or b""
        # The sound one is deleted, for recovery would choose it.
        chaos.put_states([(record.partition, key, left) for left in (None, state[: keys[key]])])
    chaos.note(f"{len(found)} states truncated", hit=len(found) == len(names))
    for instance in ("worker-1", "worker-2"):
        chaos.start(instance, wait=False)


def _await_told(chaos: ChaosWard, patients: int) -> None:
    chaos.seen(lambda: _told(chaos) >= patients, 60)  # who is missing is counted at the end


def _told(chaos: ChaosWard) -> int:
    """Return of how many silent patients an alert has been seen."""
    return len({r.key for r in list(chaos.subscriber.seen) if (r.key or b"").startswith(b"silent-")})


def _delays(evidence: Evidence) -> dict[bytes | None, float]:
    """Return, for each silent patient, the seconds from the last measurement's append to the alert's."""
    last = {r.key: r.timestamp for r in evidence.log if b"heart_rate" in (r.value or b"")}
    first: dict[bytes | None, float] = {}
    for record in evidence.alerts:
        if (record.key or b"").startswith(b"silent-") and plain(record.value)["kind"] == "monitoring_lost":
            first.setdefault(record.key, (record.timestamp - last[record.key]) / 1000)
    return first
