"""A cluster that refuses: commands that read once end with one plain line, which names the right that is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from monitor import clients
from monitor.cli import main

_SOMEWHERE = {"SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}


def _refusing(error: KafkaError) -> Callable[..., Any]:
    """Return what makes a consumer that is refused whatever it asks."""

    class Refused:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def asked(*_: Any, **__: Any) -> Any:
                if name == "close":
                    return
                raise error

            return asked

    return lambda *_, **__: Refused()


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (("alerts",), "subscriber"),
        (("alerts", "--group", "icu-subscriber-board"), "subscriber"),
        (("handover",), "board"),
        (("simulate",), "auditor"),
        (("budget", "--dry-run"), "budget"),
    ],
)
def test_a_refusal_is_one_plain_line(arguments: tuple[str, ...], role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "consumer", _refusing(TopicAuthorizationFailedError({"a.topic"})))
    result = CliRunner().invoke(main, list(arguments), env=_SOMEWHERE)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "a.topic" in result.stderr
    assert f"topics acls --role {role}" in result.stderr


def test_silence_is_told_as_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "consumer", _refusing(KafkaTimeoutError("many\nlines of a library")))
    result = CliRunner().invoke(main, ["handover"], env=_SOMEWHERE)
    assert result.exit_code == 1
    assert result.stderr.endswith("reading the ward failed: the cluster does not answer: KafkaTimeoutError\n")
