"""Posts what waits for one receiver, in a thread of its own, and tries again until it is taken or given up.

An answer of 2xx means taken. One of 4xx means that this request will never be taken (but for 408, 425 and 429), and it
goes to the dead letters at once. Anything else is tried again, later and later: after an answer of 5xx the same alert's
events wait and others go on; when nobody answers, the receiver as a whole is left alone for a moment.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import structlog
import urllib3

from monitor.notify.outbox import OUTBOX_FILE, Delivery, Outbox
from monitor.notify.receivers import Receiver
from monitor.notify.signing import signed_headers
from monitor.version import VERSION

__all__ = ["Answer", "Post", "Sender", "post", "retry_seconds"]

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_IDLE_SECONDS = 0.2
_TOLD = 200  # characters of an error that are kept
_TRY_AGAIN = frozenset({408, 425, 429})

_log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What came of one attempt."""

    outcome: Literal["delivered", "refused", "unanswered", "failed"]
    detail: str
    retry_after: float | None = None  # seconds, where the receiver asked for them


class Post(Protocol):
    """How a delivery is posted."""

    def __call__(self, receiver: Receiver, delivery: Delivery, unix_seconds: float, /) -> Answer: ...  # noqa: D102


def post(receiver: Receiver, delivery: Delivery, unix_seconds: float) -> Answer:
    """Post one event, signed, and return what came of it; redirects are not followed."""
    headers = {
        "content-type": "application/json",
        "user-agent": f"sepsis-monitor/{VERSION}",
        **signed_headers(delivery.event_id, delivery.body, receiver.secrets, int(unix_seconds)),
    }
    if delivery.escalated_from is not None:
        headers["sepsis-monitor-escalated-from"] = delivery.escalated_from
    ca_file = None if receiver.ca_file is None else str(receiver.ca_file)
    timeout = urllib3.Timeout(total=receiver.timeout_seconds)
    try:
        with urllib3.PoolManager(ca_certs=ca_file, timeout=timeout, retries=False) as pool:
            answer = pool.request(
                "POST", receiver.url, body=delivery.body, headers=headers, redirect=False, preload_content=False
            )
            answer.close()  # the status says all: an answer that never ends would hold up the next alert
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Answer("unanswered", type(error).__name__)
    return _judged(answer.status, answer.headers.get("retry-after"))


def _judged(status: int, retry_after: str | None) -> Answer:
    detail = f"HTTP {status}"
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own classes
        return Answer("delivered", detail)
    if 300 <= status < 500 and status not in _TRY_AGAIN:  # noqa: PLR2004
        return Answer("refused", detail)
    return Answer("failed", detail, float(retry_after) if retry_after is not None and retry_after.isdecimal() else None)


def retry_seconds(attempts: int, draw: float, retry_after: float | None = None) -> float:
    """Return how long to wait after so many attempts: doubling, at most a minute, spread by `draw` in [0, 1).

    What the receiver asks for counts, up to that minute: nobody waits longer for an alarm.
    """
    pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 10)) * (0.5 + 0.5 * draw)
    return min(_LONGEST_PAUSE_SECONDS, max(pause, retry_after or 0.0))


class Sender(threading.Thread):
    """The thread of one receiver."""

    def __init__(
        self,
        receiver: Receiver,
        folder: Path,
        clock: Callable[[], float],
        note: Callable[[str, str], None],
        post: Post = post,
    ) -> None:
        """Send from the outbox in `folder`; `note` is told the receiver's name and the outcome of each attempt."""
        super().__init__(name=f"notify-{receiver.name}", daemon=True)
        self.receiver = receiver
        self.error: BaseException | None = None
        self.dead_letters = folder / f"dead-{receiver.name}.jsonl"
        self._folder, self._clock, self._note, self._post = folder, clock, note, post
        self._halt = threading.Event()
        self._wake = threading.Event()
        self._silent = 0  # attempts in a row that nobody answered

    def run(self) -> None:
        """Send until `close` is called; `error` says why it ended before."""
        try:
            outbox = Outbox(self._folder / OUTBOX_FILE)
            try:
                while not self._halt.is_set():
                    self.step(outbox)
            finally:
                outbox.close()
        except Exception as error:  # noqa: BLE001 - whatever it is ends the process: pages must not stop unseen
            self.error = error

    def step(self, outbox: Outbox) -> None:
        """Deal with one delivery that is due, or wait a little."""
        delivery = outbox.next_due(self.receiver.name, self._clock())
        if delivery is None:
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()
            return
        answer = self._post(self.receiver, delivery, self._clock())
        self._note(self.receiver.name, answer.outcome)
        if answer.outcome == "delivered":
            self._silent = 0
            outbox.delivered(delivery)
            return
        now, attempts = self._clock(), delivery.attempts + 1
        tired = now - delivery.queued >= 60 * self.receiver.give_up_minutes
        _log.warning(
            "notify_attempt_failed", receiver=self.receiver.name, attempts=attempts, outcome=answer.detail,
            event_id=delivery.event_id, given_up=tired or answer.outcome == "refused",
        )  # fmt: skip
        if tired or answer.outcome == "refused":
            self._bury(delivery, attempts, answer, now)
            outbox.gave_up(delivery, answer.detail[:_TOLD], now)
            self._note(self.receiver.name, "dead")
            return
        pause = retry_seconds(attempts, random.random(), answer.retry_after)  # noqa: S311 - spreads load, no secret
        outbox.failed(delivery, answer.detail[:_TOLD], now + pause)
        self._silent = self._silent + 1 if answer.outcome == "unanswered" else 0
        if self._silent:
            self._halt.wait(retry_seconds(self._silent, random.random()))  # noqa: S311

    def wake(self) -> None:
        """Look for new deliveries at once."""
        self._wake.set()

    def close(self) -> None:
        """Let the attempt in hand end, and the thread with it."""
        self._halt.set()
        self._wake.set()

    def _bury(self, delivery: Delivery, attempts: int, answer: Answer, now: float) -> None:
        """Write the event to the receiver's file of dead letters, on disk before anything else is noted."""
        line = {
            "given_up_at": datetime.fromtimestamp(now, UTC).isoformat(),
            "receiver": self.receiver.name,
            "attempts": attempts,
            "error": answer.detail,
            "event": json.loads(delivery.body),
        }
        descriptor = os.open(self.dead_letters, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
