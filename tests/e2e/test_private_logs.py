"""Every program of the service runs once, at log level debug, and none says who a patient is or what was measured.

There are patients under pseudonyms, and one whose gateway sends an id in clear: that id stands on the topics, but in no
log either. What clinicians and auditors ask for, `alerts`, `board`, `handover` and `simulate`, speaks of
patients on stdout by the ids that the topics have; of those only the logs, stderr, are searched.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agents.policy import Budget, load_policy
from monitor.brokers.probe import free_port
from monitor.policy_file import policy_toml
from tests.e2e.clear_stays import KEY, clear_stays
from tests.e2e.test_privacy import bad_records
from tests.e2e.ward import Ward, open_ward
from tests.monitor.notify.hooks import Hook, hook, write_receivers
from tests.waiting import until

_CLEAR = "MRN-0815-Jones"  # what a gateway without a key sends
_TOKEN = "t0ken-of-the-receiver"  # noqa: S105 (of no receiver)
_PULSE = 163.0625  # of that patient, and of nobody else
_ILL = {"heart_rate": _PULSE, "respiratory_rate": 41, "temperature": 40.3, "oxygen_saturation": 81, "systolic_bp": 74}
_OURS, _THEIRS = "logs and output", "logs"  # what of a program must name nobody


@dataclass
class Programs:
    """The programs of one deployment, and what each has said."""

    ward: Ward
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    searched: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, *words: str) -> None:
        """Start a program; its output and its logs go to files."""
        port = self.ports[name] = free_port()
        environment = {**os.environ, **self.ward.environment, "SEPSIS_MONITOR_HTTP__PORT": str(port)}
        with self._file(name, "out").open("wb") as out, self._file(name, "err").open("wb") as err:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "monitor", *words], env=environment, stdout=out, stderr=err
            )

    def end(self, name: str, *, told: bool = True, of: str = _OURS) -> None:
        """Wait for the end of a program, which it is told unless it comes by itself."""
        process = self.running[name]
        if told:
            process.send_signal(signal.SIGTERM)
        self.codes[name] = process.wait(90)
        said = self._file(name, "err").read_text()
        self.searched[name] = said + (self._file(name, "out").read_text() if of == _OURS else "")

    def run(self, name: str, *words: str, of: str = _OURS) -> str:
        """Run a program to its end; return its output."""
        self.start(name, *words)
        self.end(name, told=False, of=of)
        return self.output(name)

    def output(self, name: str) -> str:
        """Return what it has written to stdout."""
        return self._file(name, "out").read_text()

    def metrics(self, name: str) -> str:
        """Return what it exports."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def kill(self) -> None:
        """Leave nothing running."""
        for process in self.running.values():
            process.kill()
            process.wait()

    def _file(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}.{kind}"


@contextmanager
def open_programs(bootstrap: str, folder: Path) -> Iterator[Programs]:
    """Give a ward whose policy has a live budget, at log level debug."""
    policy, shipped = folder / "policy.toml", load_policy()
    budget = Budget(0.5, shipped.raise_threshold / 2, shipped.raise_threshold * 2)
    policy.write_text(policy_toml(msgspec.structs.replace(shipped, budget=budget), ""))
    settings = {"SEPSIS_MONITOR_LOG__LEVEL": "debug", "SEPSIS_MONITOR_POLICY__FILE": str(policy)}
    with open_ward(bootstrap, folder, **settings) as ward:
        programs = Programs(ward, folder)
        try:
            yield programs
        finally:
            programs.kill()


def tell(ward: Ward, key: str, **said: Any) -> None:
    """Send an admission, an observation or a command of a patient; the topic follows from what it says."""
    topics = ward.topics
    topic = (
        topics.admissions if "stay_id" in said else topics.alert_commands if "alert_id" in said else topics.observations
    )
    value = {"patient_id": key, "time": datetime.now(UTC).isoformat(), **said}
    ward.send(topic, [(key.encode(), json.dumps(value).encode(), [])])


def live_through(programs: Programs, pager: Hook, ids: Sequence[str]) -> None:
    """Let gateways, the ADT feed and people do what they do, until all programs have met it."""
    ward = programs.ward
    ward.send(ward.topics.observations, bad_records(ids[0]) + bad_records(_CLEAR))
    ward.send(ward.topics.admissions, bad_records(_CLEAR)[:1])
    tell(ward, _CLEAR, type="admitted", stay_id="visit-1", unit="ICU", bed="7", age=71)
    ward.drain()
    tell(ward, _CLEAR, **_ILL)
    tell(ward, _CLEAR, heart_rate="sixty")
    ward.drain()

    def raised() -> list[dict[str, Any]]:
        return [each.event for each in pager.taken(f"/{_TOKEN}") if each.event["patient_id"] == _CLEAR]

    until(raised, seconds=60, what="the alert of the patient in clear at the pager")
    alert = raised()[0]["alert_id"]
    for kind in ("acknowledge", "sing"):
        tell(ward, _CLEAR, command_id=kind, alert_id=alert, type=kind, by="a nurse")
    ward.drain()
    until(lambda: programs.output("canary"), what="a round of the canary")
    unlooked = "budget_last_look_timestamp_seconds 0.0"
    until(lambda: unlooked not in programs.metrics("budget"), what="a look at the units")


def test_no_program_says_who_a_patient_is_or_what_was_measured(embedded_kafka: str, tmp_path: Path) -> None:
    stays = clear_stays(tmp_path)
    clear, ids, key = stays.clear, stays.ids, stays.key
    answers = iter([503, 503])
    with hook(lambda _: next(answers, 204)) as pager, open_programs(embedded_kafka, tmp_path) as programs:
        receivers = write_receivers(
            tmp_path, f'[[receivers]]\nname = "pager"\nurl = "{pager.url}{_TOKEN}"\nsecret_file = "secret"\n'
        )
        notify = ("notify", str(receivers), "--state", str(tmp_path / "outbox"))
        programs.ward.start()
        programs.ward.wait_ready()
        programs.start("notify", *notify, "--from", "beginning")
        programs.start("canary", "canary", "--every", "1")
        programs.start("budget", "budget", "--every", "1")
        programs.run("replay", "replay", str(stays.file), *key)
        live_through(programs, pager, ids)
        for name in ("board", "handover", "handover-json", "alerts", "simulate"):
            words = {"board": ("board", "--once"), "handover-json": ("handover", "--json")}.get(name, (name,))
            assert programs.run(name, *words, of=_THEIRS), name
        programs.run("budget-dry-run", "budget", "--dry-run", "--json")
        programs.run("forget", "forget", clear[1], *key, "--yes")
        programs.run("forget-clear", "forget", _CLEAR, "--yes", "--json")
        programs.run("forget-stranger", "forget", clear[2], "--yes")
        exported = [programs.metrics(name) for name in ("notify", "canary", "budget")]
        for name in ("notify", "canary", "budget"):
            programs.end(name)
        programs.run("budget-once", "budget", "--once", "--json")
        programs.run("notify-once", *notify, "--once")
        programs.run("canary-once", "canary", "--once")
        assert programs.ward.terminate() == 0
        searched = {**programs.searched, "serve": programs.ward.log(), "metrics": "".join(exported)}
        assert _CLEAR in programs.output("alerts") + programs.output("board")  # else nothing was to be found
    assert {name: code for name, code in programs.codes.items() if code} == {"forget-stranger": 1}
    assert "alert_raised" in searched["serve"]
    secrets = (*clear, *ids, _CLEAR, "Smith", "Jones", str(_PULSE), "sixty", "4711.25", KEY, _TOKEN)
    found = [(name, secret) for name, said in searched.items() for secret in secrets if secret in said]
    assert found == []
