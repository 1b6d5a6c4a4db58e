"""Units with policies of their own, whose thresholds move and whose policies are changed while workers die."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import structs

from agents.in_force import settings_keys
from agents.messages import THRESHOLD_TYPE, Identity, UnitThreshold
from agents.outputs import utc
from agents.policy import Budget, Policy, load_policy
from agents.record import source_offset
from monitor.policy_file import policy_toml
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import read_topic
from tests.chaos.oracle import Oracle, default_core, plain
from tests.chaos.people import HOURS, announce, observations
from tests.chaos.rules import wrong_rules
from tests.chaos.scenarios.storage import flipped, newest_states
from tests.chaos.stage import Stage, scenario
from tests.e2e.ward import PARTITIONS

__all__ = ["units"]

_FILES = "SEPSIS_MONITOR_POLICY__UNITS"
_BUDGET = Budget(0.5, 0.012, 0.06)
_OF_UNITS = {"A-MICU": (0.03, 0.02), "A-ICU": (0.015, 0.012), "A-SICU": (0.04, 0.03)}  # raise, resolve
_UNITS = (*_OF_UNITS, "ward 9", "A-MICU")  # whose thresholds move; the others have the common policy
_MOVES = 6
_SPOILT = 4  # the move after which a settings record of each partition is damaged
_BOTH = ("worker-1", "worker-2")
_HOURS = HOURS // _MOVES  # in each unit, on the way to being ill


def _write(folder: Path, name: str, thresholds: tuple[float, float] | None = None) -> Path:
    """Write the shipped policy with a budget, under another name and with other thresholds."""
    shipped = load_policy()
    high, low = thresholds or (shipped.raise_threshold, shipped.resolve_threshold)
    policy = structs.replace(shipped, name=name, raise_threshold=high, resolve_threshold=low, budget=_BUDGET)
    path = folder / f"{name}.toml"
    path.write_text(policy_toml(policy, ""))
    return path


class _Controller:
    """Moves thresholds as one would that has gone mad: too far, twice, in the wrong order, under an old policy."""

    def __init__(self, chaos: ChaosWard, common: Policy, own: Sequence[dict[str, Policy]], seed: int) -> None:
        self._chaos, self._common, self._own = chaos, common, own
        self._random = random.Random(seed)  # noqa: S311 (a scenario, no secret)
        self._said: list[bytes] = []
        self._moves = 0

    def move(self) -> None:
        """Append a threshold to every partition; now and then one that was said before as well."""
        draw, self._moves = self._random, self._moves + 1
        unit = draw.choice(_UNITS)
        policy = draw.choice(self._own).get(unit, self._common)
        threshold = draw.choice([0.061, 0.5] if self._moves % 4 == 0 else [0.012, 0.014, 0.018, 0.025, 0.04, 0.06])
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        counted_ms = now_ms - draw.choice([0, 0, 0, 5_000, 60_000])
        named = Identity(policy.name, policy.version, policy.digest)
        said = UnitThreshold(unit, threshold, utc(counted_ms), 3, 4.5, named, utc(now_ms))
        self._said.append(msgspec.json.encode(said))
        for value in (self._said[-1], *draw.sample(self._said, draw.randint(0, 1))):
            for partition in range(PARTITIONS):
                self._chaos.feed.send(
                    self._chaos.ward.topics.observations,
                    None,
                    value,
                    partition=partition,
                    headers=[("ce_type", THRESHOLD_TYPE.encode())],
                )


def _wandering(chaos: ChaosWard, seed: int) -> Iterator[None]:
    """Move patients, who become ill, from one unit to the next at each step."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=100)
    names = [f"wandering-{seed}-{number}" for number in range(len(_UNITS))]
    places = random.Random(seed).sample(_UNITS, len(_UNITS))  # noqa: S311 (a scenario, no secret)
    for number, name in enumerate(names):
        announce(chaos, name, "admitted", begin, unit=places[number], age=70)
    for step in range(_MOVES):
        yield
        chaos.await_appended()
        for number, name in enumerate(names):
            for value in list(observations(name, begin))[step * _HOURS : (step + 1) * _HOURS]:
                chaos.feed.send(chaos.ward.topics.observations, name.encode(), value)
            moment = begin + timedelta(hours=(step + 1) * _HOURS)
            announce(chaos, name, "transferred", moment, unit=places[(number + step + 1) % len(places)])


@scenario("units")
def units(stage: Stage) -> None:
    """Let units have policies of their own, move thresholds and patients, change a policy, and kill at each step."""
    folder = stage.grounds.folder
    folder.mkdir(parents=True, exist_ok=True)
    common = _write(folder, "common")
    first = {unit: _write(folder, unit, thresholds) for unit, thresholds in _OF_UNITS.items()}
    second = {**first, "A-MICU": _write(folder, "A-MICU-anew", (0.018, 0.015))}
    loaded = [{unit: load_policy(path) for unit, path in files.items()} for files in (first, second)]
    policy = load_policy(common)

    def oracle(_: ChaosWard) -> Oracle:
        return Oracle(default_core(PARTITIONS, policy=policy, units=loaded[0]))

    with stage.ward(rate=100.0, instances=(), oracle=oracle, SEPSIS_MONITOR_POLICY__FILE=str(common)) as chaos:
        chaos.common[_FILES] = _json(first)
        for instance in _BOTH:
            chaos.start(instance)
        for number in stage.rounds(chaos):
            controller = _Controller(chaos, policy, loaded, stage.seed)
            steps = _wandering(chaos, stage.seed)
            for move in range(_MOVES):
                next(steps, None)
                controller.move()
                if move == _MOVES // 2:  # a roll-out: one worker after the other, as each happens to die
                    chaos.common[_FILES] = _json((second, first)[number % 2])
                instance = chaos.random.choice(_BOTH)
                chaos.pause(0.1, 1.0)
                chaos.kill(instance)
                controller.move()
                chaos.start(instance)
                if move == _SPOILT:
                    _spoil_settings(chaos)
    _demand_rules(stage, policy, loaded[0])


def _spoil_settings(chaos: ChaosWard) -> None:
    """Let nothing sound be left of one of the two records of each partition's settings: the other one must hold."""
    for instance in _BOTH:
        chaos.kill(instance)
    newest = {record.key: record.value or b"" for record in newest_states(chaos)}
    spoilt = [(at, chaos.random.choice(settings_keys(at))) for at in range(PARTITIONS)]
    chaos.put_states([(at, key, state) for at, key in spoilt for state in (None, flipped(newest[key]))])
    for instance in _BOTH:
        chaos.start(instance)

    def whole() -> bool:
        stored = {record.key: record.value for record in read_topic(chaos.ward.bootstrap, chaos.changelog)}
        return all(source_offset(stored[key] or b"") >= 0 for _, key in spoilt)

    chaos.note("a record of each partition's settings damaged", hit=chaos.seen(whole, 30))


def _json(files: dict[str, Path]) -> str:
    return json.dumps({unit: str(path) for unit, path in files.items()})


def _demand_rules(stage: Stage, common: Policy, own: dict[str, Policy]) -> None:
    """Hold each alert against the rule that the log says, and the run against what it was to show."""
    for line in wrong_rules(stage.evidence, common, own):
        stage.demand(False, "changed-alert", line)
    alerts = [plain(record.value) for record in stage.evidence.alerts]
    named = {alert["policy"]["name"] for alert in alerts}
    stage.empty_unless(len(named) >= len(_OF_UNITS), f"alerts name only {sorted(named)}")
    moved = {alert["threshold"] for alert in alerts} - {None, common.raise_threshold, common.resolve_threshold}
    moved -= {value for thresholds in (*_OF_UNITS.values(), (0.018, 0.015)) for value in thresholds}
    stage.empty_unless(bool(moved), "no alert was decided on at a moved threshold")
    reasons = [dict(record.headers).get("rejected_reason") for record in stage.evidence.rejected]
    stage.empty_unless(b"threshold_invalid" in reasons, "no threshold was refused")
    wandered: dict[str, set[str]] = {}
    lived_on: dict[str, set[str]] = {}
    for alert in alerts:
        lived_on.setdefault(alert["alert_id"], set()).add(alert["policy"]["name"])
        if alert["patient_id"].startswith("wandering-"):
            wandered.setdefault(alert["alert_id"], set()).add(alert["unit"])
    kept = sum(len(names) > 1 for names in lived_on.values())
    moved_on = sum(len(places) > 1 for places in wandered.values())
    stage.empty_unless(kept > 0, "no alert lived on under another policy")
    stage.empty_unless(moved_on > 0, "no alert lived on in another unit")
    stage.result.notes.append(
        f"alerts under {', '.join(sorted(named))}, at {len(moved)} moved thresholds; {kept} went on under another "
        f"policy, {moved_on} in another unit; {reasons.count(b'threshold_invalid')} thresholds were refused"
    )
