"""Who is told of alerts: a TOML file of receivers, each with what it wants to hear and who is next after it.

[[receivers]]
name = "pager"
url = "https://pager.example/hooks/sepsis"
secret_file = "pager.secret"
kinds = ["sepsis_risk"]
transitions = ["raised", "updated", "escalated"]
escalate_to = "charge-nurse"
escalate_minutes = 10
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from agents.messages import AlertEvent
from monitor.errors import Failure

__all__ = ["Receiver", "load_receivers"]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SHORTEST_SECRET = 16  # characters: a shorter one can be guessed
_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_Minutes = Annotated[float, msgspec.Meta(gt=0.0, le=10_080.0)]
_Stale = Annotated[float, msgspec.Meta(ge=0.0, le=525_600.0)]  # a year at most
_Transition = Literal[
    "raised", "updated", "escalated", "acknowledged", "snoozed", "marked", "resolved", "expired", "rejected"
]


class Receiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One webhook. An empty list of kinds, units, priorities or transitions lets all through.

    `secrets` are those that each request is signed with, newest first: the lines of `secret_file`.
    """

    name: _Name
    url: str
    secret_file: Path
    kinds: frozenset[Literal["sepsis_risk", "monitoring_lost", "cannot_assess"]] = frozenset()
    units: frozenset[str] = frozenset()
    priorities: frozenset[Literal["low", "medium", "high"]] = frozenset()
    transitions: frozenset[_Transition] = frozenset()
    tests: bool = False  # also the test alerts of canaries
    only_escalated: bool = False  # nothing by itself: only what nobody acknowledged at the receiver before
    escalate_to: str | None = None  # who is told of an alert that nobody has acknowledged
    escalate_minutes: _Minutes = 10.0  # after so long, by the wall clock
    stale_minutes: _Stale = 0.0  # an event that happened longer ago when it is read is not posted; 0: all are
    give_up_minutes: _Minutes = 60.0  # after so long an event that cannot be delivered goes to the dead letters
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0.0, le=60.0)] = 5.0
    plain_http: bool = False  # allow http:// to another machine: whoever listens there reads patients' data
    ca_file: Path | None = None  # PEM file with the authorities to trust, in place of the system's
    secrets: tuple[bytes, ...] = ()

    def wants(self, event: AlertEvent, *, anywhere: bool = False) -> bool:
        """Return whether the event is one for this receiver; `anywhere`: whatever its unit is by now."""
        return not self.only_escalated and self.admits(event, anywhere=anywhere) and (
            not self.transitions or event.transition in self.transitions
        )  # fmt: skip

    def admits(self, event: AlertEvent, *, anywhere: bool = False) -> bool:
        """Return whether the event's alert is one for this receiver, whatever has just happened to it."""
        return (
            (self.tests or not event.test)
            and (not self.kinds or event.kind in self.kinds)
            and (anywhere or not self.units or event.unit in self.units)
            and (not self.priorities or event.priority in self.priorities)
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    receivers: list[Receiver]


def load_receivers(file: Path) -> tuple[Receiver, ...]:
    """Return the receivers of a file, with their secrets; raises Failure with one line that names the key.

    Paths in it are relative to its folder. Secrets stand in files of their own, one a line; while a secret is changed,
    both stand there and every request is signed with both.
    """
    try:
        said = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File, dec_hook=_path)
    except OSError as error:
        msg = f"the receivers' file {file} cannot be read: {error.strerror or error}"
        raise Failure(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        msg = f"the receivers' file {file} is not valid: {error}"
        raise Failure(msg) from error
    problem = _problem(said.receivers)
    if problem is not None:
        msg = f"the receivers' file {file} is not valid: {problem}"
        raise Failure(msg)
    return tuple(_complete(each, file.parent) for each in said.receivers)


def _path(wanted: type, value: object) -> object:
    if wanted is Path and isinstance(value, str):
        return Path(value).expanduser()
    msg = "Expected a path as `str`"
    raise TypeError(msg)


def _problem(receivers: Sequence[Receiver]) -> str | None:
    """Return what is wrong with receivers that are each of the right kind, or None."""
    if not receivers:
        return "it names no receiver"
    names = [each.name for each in receivers]
    for each in receivers:
        if names.count(each.name) > 1:
            return f"two receivers are called {each.name}"
        if each.escalate_to is not None and each.escalate_to not in names:
            return f"{each.name}: escalate_to names {each.escalate_to}, which is no receiver"
        problem = _url_problem(each)
        if problem is not None:
            return f"{each.name}: {problem}"
    following = {each.name: each.escalate_to for each in receivers}
    for name in names:
        seen, step = {name}, following[name]
        while step is not None:
            if step in seen:
                return f"{name}: escalate_to leads back to {step}"
            seen.add(step)
            step = following[step]
    return None


def _url_problem(receiver: Receiver) -> str | None:
    try:
        parts = urlsplit(receiver.url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "url is not a URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "url should begin with https:// and name a host"
    if parts.username or parts.password:
        return "url should not hold a password: the signature proves who posts"
    if parts.scheme == "http" and host not in _LOOPBACK and not receiver.plain_http:
        return "url is http:// to another machine; use https://, or set plain_http = true and answer for it"
    return None


def _complete(receiver: Receiver, folder: Path) -> Receiver:
    """Return the receiver with its secrets read and its paths made whole."""
    file = folder / receiver.secret_file
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        msg = f"{receiver.name}: secret_file {file} cannot be read: {error.strerror or error}"
        raise Failure(msg) from error
    secrets = tuple(line.strip() for line in lines if line.strip())
    if not secrets or min(map(len, secrets)) < _SHORTEST_SECRET:
        msg = f"{receiver.name}: {file} should hold a secret of {_SHORTEST_SECRET} characters or more on each line"
        raise Failure(msg)
    ca_file = None if receiver.ca_file is None else folder / receiver.ca_file
    if ca_file is not None and not ca_file.is_file():
        msg = f"{receiver.name}: ca_file names the file {ca_file}, which is not there"
        raise Failure(msg)
    return msgspec.structs.replace(receiver, secret_file=file, secrets=secrets, ca_file=ca_file)
