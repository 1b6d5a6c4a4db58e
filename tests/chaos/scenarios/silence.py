"""What the wall clock decides: patients fall silent, alerts go unanswered; and whoever watches the clock dies."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from agents.policy import load_policy
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Evidence, Record
from tests.chaos.oracle import Oracle, default_core, plain
from tests.chaos.scenarios.storage import newest_states
from tests.chaos.stage import Stage, scenario
from tests.e2e.ward import PARTITIONS

__all__ = ["silence", "silence_without_a_state"]

_SILENT_SECONDS = 15.0
_LATE_SECONDS = 10.0  # how much later than that the alert may come
_PATIENTS = 25  # in each way
_BOTH = ("worker-1", "worker-2")
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
    """Let 25 patients fall silent and kill a worker a second before that is due, twice: it comes back, or stays dead.

    Who comes back at once, under the name that it had, has its partitions again before anybody misses it. Only where
    the owner stays dead another worker must have taken them over to tell of the patients. Each is told of, in time.
    """
    ways = {"a worker killed and started again at once": _fall_silent_and_back}
    if stage.grounds.engine == "embedded":
        stage.result.notes.append("no owner was left dead: the embedded broker never expires a member")
    else:
        ways["the owner killed and left dead until they were told"] = _fall_silent_and_dead
    _demand_told(stage, ways)


@scenario("silence-without-a-state", most_rounds=8)
def silence_without_a_state(stage: Stage) -> None:
    """Leave patients who fall silent with nothing but a truncated state: each is told of, and in time."""
    _demand_told(stage, {"nothing but a truncated state": _fall_silent_unreadable})


def _demand_told(stage: Stage, ways: Mapping[str, Callable[[ChaosWard, str], list[str]]]) -> None:
    """Let patients fall silent in each of these ways a round, and demand that each is told of, and in time."""
    stage.grounds.folder.mkdir(parents=True, exist_ok=True)
    policy = _impatient_policy(stage.grounds.folder)

    def oracle(_: ChaosWard) -> Oracle:
        return Oracle(default_core(PARTITIONS, policy=load_policy(policy)))

    names: dict[str, list[str]] = {what: [] for what in ways}
    # When a worker is killed the clock decides: luck has it whether it has stored what it has not committed.
    with stage.ward(
        rate=60.0, kinds=_KINDS, replays=None, oracle=oracle, SEPSIS_MONITOR_POLICY__FILE=str(policy)
    ) as chaos:
        chaos.flowing(100)
        for _ in stage.rounds(chaos):
            for number, (what, fall_silent) in enumerate(ways.items()):
                some = fall_silent(chaos, f"silent-{stage.seed}-{number}")
                names[what] += some
                _await_told(chaos, set(some))
                chaos.revive()
    delays = _delays(stage.evidence)
    for what, some in names.items():
        _demand_in_time(stage, what, [delays.get(name) for name in some])


def _demand_in_time(stage: Stage, what: str, delays: Sequence[float | None]) -> None:
    """Hold the seconds after which patients were told of, None where they never were, against the limit."""
    told = [delay for delay in delays if delay is not None]
    late = [delay for delay in told if delay > _SILENT_SECONDS + _LATE_SECONDS]
    stage.demand(len(told) == len(delays), "lost-alert", f"{what}: {len(told)} of {len(delays)} patients were told of")
    stage.demand(not late, "lost-alert", f"{what}: {len(late)} alerts were late, the last by {max(late, default=0)} s")
    first, last = min(told, default=0.0), max(told, default=0.0)
    stage.result.notes.append(
        f"{what}: {len(told)} of {len(delays)} silences told after {first:.1f} to {last:.1f} s "
        f"(due after {_SILENT_SECONDS:.0f})"
    )


def _fall_silent_and_back(chaos: ChaosWard, name: str) -> list[str]:
    """Observe patients for the last time; a second before that is due to be told, a worker dies, and is back."""
    names = [f"{name}-{number}" for number in range(_PATIENTS)]
    _observe_until_due(chaos, names)
    instance = chaos.random.choice(_BOTH)
    chaos.kill(instance)
    chaos.start(instance, wait=False)
    return names


def _fall_silent_and_dead(chaos: ChaosWard, name: str) -> list[str]:
    """Do so with patients of one worker, who dies and stays dead."""
    chaos.until(lambda: all(chaos.owned(instance) for instance in _BOTH), 30, "partitions shared out")
    instance = chaos.random.choice(_BOTH)
    owned = chaos.owned(instance)
    candidates = (f"{name}-{number}" for number in itertools.count())
    names = list(itertools.islice((n for n in candidates if chaos.partition(n.encode()) in owned), _PATIENTS))
    _observe_until_due(chaos, names)
    still = chaos.owned(instance)
    chaos.kill(instance, "SIGKILL of the owner", hit=owned <= still)
    return names


def _observe_until_due(chaos: ChaosWard, names: list[str]) -> None:
    """Observe patients for the last time; return a second before that is due to be told."""
    _observe(chaos, names)
    due = time.monotonic() + _SILENT_SECONDS
    chaos.await_worked_off()
    left = max(0.0, due - time.monotonic() - 1.0)
    chaos.pause(left, left)


def _fall_silent_unreadable(chaos: ChaosWard, name: str) -> list[str]:
    """Observe patients for the last time; then all workers die, and of their states the beginning alone is left."""
    names = [f"{name}-{number}" for number in range(_UNREADABLE)]
    _observe(chaos, names)
    chaos.await_worked_off()
    for instance in _BOTH:
        chaos.kill(instance)
    keys = {name.encode(): size for name, size in zip(names, itertools.cycle(_LEFT_BYTES), strict=False)}
    found = [record for record in newest_states(chaos) if record.key in keys]
    for record in found:
        key, state = record.key or b"", record.value or b""
        # The sound one is deleted, for recovery would choose it.
        chaos.put_states([(record.partition, key, left) for left in (None, state[: keys[key]])])
    chaos.remark("a state truncated", len(found))
    if len(found) < len(names):
        chaos.problems.append(f"{name}: of {len(names)} states only {len(found)} were there to be truncated")
    for instance in _BOTH:
        chaos.start(instance, wait=False)
    return names


def _await_told(chaos: ChaosWard, names: set[str]) -> None:
    chaos.seen(lambda: names <= _told(chaos), 60)  # who is missing is counted at the end


def _told(chaos: ChaosWard) -> set[str]:
    """Return of which silent patients it has been told that they are."""
    return {(record.key or b"").decode() for record in list(chaos.subscriber.seen) if _tells_of_silence(record)}


def _tells_of_silence(record: Record) -> bool:
    return (record.key or b"").startswith(b"silent-") and plain(record.value)["kind"] == "monitoring_lost"


def _delays(evidence: Evidence) -> dict[str, float]:
    """Return, for each silent patient, the seconds from the last measurement's append to the alert's."""
    last = {r.key: r.timestamp for r in evidence.log if b"heart_rate" in (r.value or b"")}
    first: dict[str, float] = {}
    for record in evidence.alerts:
        if _tells_of_silence(record):
            first.setdefault((record.key or b"").decode(), (record.timestamp - last[record.key]) / 1000)
    return first
