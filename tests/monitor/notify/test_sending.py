"""What is done with each kind of answer, on a real webhook."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.notify.outbox import Delivery, Outbox
from monitor.notify.receivers import Receiver
from monitor.notify.sending import Sender, post, retry_seconds
from monitor.notify.signing import signed_headers
from tests.monitor.notify.hooks import SECRET, hook
from tests.monitor.notify.test_outbox import event, read

_DELIVERY = Delivery(1, "pager", "event-1", b'{"risk": 0.1}', "nurse", 0.0, 0)


def receiver(url: str) -> Receiver:
    return Receiver(name="pager", url=url, secret_file=Path("s"), secrets=(SECRET,), timeout_seconds=0.5)


def test_a_request_is_signed_and_says_where_it_comes_from() -> None:
    with hook() as pager:
        assert post(receiver(pager.url), _DELIVERY, 1_700_000_000.9).outcome == "delivered"
    (request,) = pager.requests
    assert request.body == _DELIVERY.body
    for name, value in signed_headers("event-1", _DELIVERY.body, [SECRET], 1_700_000_000).items():
        assert request.headers[name] == value
    assert request.headers["sepsis-monitor-escalated-from"] == "nurse"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "delivered"), (204, "delivered"), (302, "refused"), (400, "refused"), (404, "refused"), (429, "failed"),
     (408, "failed"), (500, "failed"), (503, "failed")],
)  # fmt: skip
def test_what_an_answer_means(status: int, outcome: str) -> None:
    with hook(lambda request: status) as pager:
        assert post(receiver(pager.url), _DELIVERY, 0.0).outcome == outcome
    assert len(pager.requests) == 1


def test_a_receiver_that_is_not_there_does_not_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = post(receiver(f"http://127.0.0.1:{free.getsockname()[1]}/"), _DELIVERY, 0.0)
    assert answer.outcome == "unanswered"


def test_a_receiver_that_takes_the_line_and_says_nothing_is_not_waited_for() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        answer = post(receiver(f"http://127.0.0.1:{mute.getsockname()[1]}/"), _DELIVERY, 0.0)
    assert answer.outcome == "unanswered"
    assert "Timeout" in answer.detail


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e6))
def test_nobody_waits_longer_than_a_minute(attempts: int, draw: float, asked: float | None) -> None:
    assert 0.5 <= retry_seconds(attempts, draw, asked) <= 60.0
    assert retry_seconds(min(attempts, 5), draw) <= 2.0 ** (min(attempts, 5) - 1)


def test_what_is_refused_stands_in_the_dead_letters_and_the_next_goes_on(tmp_path: Path) -> None:
    told = [event("a", 1), event("a", 2)]
    with hook(lambda request: 410 if request.event["sequence"] == 1 else 200) as pager:
        outbox = Outbox(tmp_path / "outbox.sqlite")
        outbox.take([read(at, each) for at, each in enumerate(told)], [receiver(pager.url)], 0.0)
        outcomes: list[str] = []
        sender = Sender(receiver(pager.url), tmp_path, lambda: 5.0, lambda _, outcome: outcomes.append(outcome))
        sender.step(outbox)
        sender.step(outbox)
    assert outcomes == ["refused", "dead", "delivered"]
    (line,) = sender.dead_letters.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["event"] == msgspec.to_builtins(told[0])
    assert json.loads(line)["error"] == "HTTP 410"
    assert sender.dead_letters.stat().st_mode & 0o777 == 0o600
    assert outbox.standing("pager") == (0, None, 1)


def test_a_receiver_that_never_answers_is_given_up_after_its_time(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = receiver(f"http://127.0.0.1:{free.getsockname()[1]}/")
        outbox = Outbox(tmp_path / "outbox.sqlite")
        outbox.take([read(0, event("a", 1))], [dead], 0.0)
        sender = Sender(dead, tmp_path, lambda: 3600.0, lambda *_: None)
        sender.step(outbox)
    assert outbox.standing("pager").dead == 1
