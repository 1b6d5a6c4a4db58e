"""The command `notify` on a real broker and real webhooks: killed, refused, and nobody there to acknowledge."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import msgspec

from agents.messages import AlertEvent
from monitor.settings import Settings
from tests.monitor.alert_examples import alert
from tests.monitor.commands.alert_topic import publish, variables
from tests.monitor.notify.hooks import Hook, hook, write_receivers
from tests.waiting import until

_SECONDS = 60
_ALERTS, _EVENTS = 12, 5  # alerts, and events of each


def start(settings: Settings, file: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **variables(settings), "SEPSIS_MONITOR_HTTP__PORT": "0"}
    program = [sys.executable, "-m", "monitor", "notify", str(file), "--state", str(file.parent / "state"), *arguments]
    return subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """Return what the process said, once it has ended by itself."""
    _, stderr = process.communicate(timeout=_SECONDS)
    assert process.returncode == code, stderr
    return stderr


def events(name: str, count: int) -> list[AlertEvent]:
    transitions = ["raised", *["updated"] * (count - 1)]
    return [
        alert(
            alert_id=name,
            event_id=f"{name}-{sequence}",
            sequence=sequence,
            patient_id=f"patient-{name}",
            transition=transition,
        )
        for sequence, transition in enumerate(transitions, start=1)
    ]


def receivers(tmp_path: Path, *tables: str) -> Path:
    return write_receivers(tmp_path, "".join(f'[[receivers]]\nsecret_file = "secret"\n{each}\n' for each in tables))


def of(pager: Hook, path: str) -> str:
    return f'name = "{path.strip("/")}"\nurl = "{pager.url.rstrip("/")}{path}"'


def test_each_event_arrives_in_its_alerts_order_whoever_is_killed(settings: Settings, tmp_path: Path) -> None:
    answers = itertools.cycle([200, 503, 200, 200, 200])
    told = [event for number in range(_ALERTS) for event in events(f"a{number:02}", _EVENTS)]
    with hook(lambda _: next(answers)) as pager:
        file = receivers(tmp_path, of(pager, "/pager"))
        publish(settings, told[: len(told) // 2])
        killed = 0
        while killed < 3:
            process = start(settings, file, "--from", "beginning")
            seen = len(pager.requests)
            until(lambda: len(pager.requests) > seen + 3, seconds=_SECONDS, what="requests")  # noqa: B023
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            if killed == 2:
                publish(settings, [*told[len(told) // 2 :], b"no event"])
        ended(start(settings, file, "--once"))
    first: dict[str, list[str]] = defaultdict(list)
    for request in pager.taken("/pager"):
        name = request.event["alert_id"]
        assert request.headers["webhook-id"] == request.event["event_id"]
        if request.event["event_id"] not in first[name]:
            first[name].append(request.event["event_id"])
    assert dict(first) == {f"a{number:02}": [each.event_id for each in events(f"a{number:02}", _EVENTS)]
                           for number in range(_ALERTS)}  # fmt: skip


def test_an_alert_that_nobody_acknowledges_goes_to_the_next(settings: Settings, tmp_path: Path) -> None:
    with hook() as pager:
        file = receivers(
            tmp_path,
            of(pager, "/pager") + '\nescalate_to = "nurse"\nescalate_minutes = 0.05',
            of(pager, "/nurse") + "\nonly_escalated = true",
        )
        process = start(settings, file, "--from", "beginning")
        try:
            seen, unseen = events("seen", 1)[0], events("unseen", 1)[0]
            taken = msgspec.structs.replace(
                seen, transition="acknowledged", state="acknowledged", sequence=2, event_id="seen-2"
            )
            publish(settings, [seen, taken, unseen])
            (escalated,) = until(lambda: pager.taken("/nurse"), seconds=_SECONDS, what="the escalation")
            assert escalated.event["alert_id"] == "unseen"
            assert escalated.headers["sepsis-monitor-escalated-from"] == "pager"
            assert {each.event["event_id"] for each in pager.taken("/pager")} == {"seen-1", "seen-2", "unseen-1"}
            process.send_signal(signal.SIGTERM)
            ended(process)
        finally:
            process.kill()
    assert len(pager.taken("/nurse")) == 1


def test_what_was_given_up_can_be_sent_again(settings: Settings, tmp_path: Path) -> None:
    mended: list[bool] = []
    with hook(lambda _: 200 if mended else 401) as pager:
        file = receivers(tmp_path, of(pager, "/pager"))
        publish(settings, events("a", 2))
        ended(start(settings, file, "--from", "beginning", "--once"))
        assert len((tmp_path / "state" / "dead-pager.jsonl").read_text(encoding="utf-8").splitlines()) == 2
        mended.append(True)
        assert "2 events are queued again" in ended(start(settings, file, "--once", "--again", "pager"))
    assert [each.event["event_id"] for each in pager.taken("/pager")] == ["a-1", "a-2"]


def test_two_of_them_on_one_state_are_refused(settings: Settings, tmp_path: Path) -> None:
    with hook() as pager:
        file = receivers(tmp_path, of(pager, "/pager"))
        publish(settings, events("a", 1))
        first = start(settings, file, "--from", "beginning")
        try:
            until(lambda: pager.taken("/pager"), seconds=_SECONDS, what="the first one at work")
            assert "another `notify` uses" in ended(start(settings, file), 1)
        finally:
            first.kill()
            first.communicate()


def test_a_check_posts_a_test_event_and_says_who_did_not_take_it(settings: Settings, tmp_path: Path) -> None:
    with hook(lambda request: 200 if request.path == "/pager" else 500) as pager:
        file = receivers(tmp_path, of(pager, "/pager"), of(pager, "/nurse"))
        process = start(settings, file, "--check")
        said = ended(process, 1)
    assert "no test event for nurse" in said
    assert all(each.event["test"] for each in pager.requests)
    assert not (tmp_path / "state").exists()
