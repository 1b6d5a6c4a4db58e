"""Data that leave the machine without TLS are told of once; what stays on loopback is not."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from monitor.brokers import open_broker
from monitor.brokers.unprotected import elsewhere
from monitor.cli import main
from monitor.settings import load_settings


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        ("localhost:9092, 127.0.0.1:9092,[::1]:9092,LOCALHOST.:1,kafka.localhost:9092,127.9.9.9:1", []),
        ("kafka-1:9092", ["kafka-1:9092"]),
        ("127.0.0.1:9092, 10.1.2.3:9092,[2001:db8::1]:9092", ["10.1.2.3:9092", "[2001:db8::1]:9092"]),
        ("localhost.example.org:9092", ["localhost.example.org:9092"]),
    ],
)
def test_loopback_is_known_by_name_and_by_address(servers: str, found: list[str]) -> None:
    assert elsewhere(servers) == found


def opened(protocol: str, servers: str) -> list[Any]:
    sasl = {"kafka.sasl_mechanism": "PLAIN", "kafka.sasl_plain_username": "u", "kafka.sasl_plain_password": "p"}
    said = {"kafka.bootstrap_servers": servers, "kafka.security_protocol": protocol}
    settings = load_settings(None, said | (sasl if protocol.startswith("SASL") else {}))
    with capture_logs() as lines, open_broker(settings) as bootstrap:
        assert bootstrap == servers
    return lines


def test_it_is_one_line_and_says_what_to_do() -> None:
    (line,) = opened("PLAINTEXT", "kafka-1:9092,kafka-2:9092")
    assert (line["event"], line["log_level"]) == ("kafka_not_encrypted", "warning")
    assert line["servers"] == ["kafka-1:9092", "kafka-2:9092"]
    assert line["meaning"].endswith("set kafka.security_protocol to SSL or SASL_SSL")
    assert len(opened("SASL_PLAINTEXT", "kafka-1:9092")) == 1
    assert "password" in opened("SASL_PLAINTEXT", "kafka-1:9092")[0]["meaning"]


@pytest.mark.parametrize(
    ("protocol", "servers"), [("PLAINTEXT", "127.0.0.1:1"), ("SSL", "kafka-1:9092"), ("SASL_SSL", "kafka-1:9092")]
)
def test_where_nobody_can_read_along_nothing_is_said(protocol: str, servers: str) -> None:
    assert opened(protocol, servers) == []


def test_a_command_says_it_beside_its_own_line() -> None:
    environment = {"SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": "no-such-host.invalid:9092"}
    said = CliRunner().invoke(main, ["--log-format", "json", "topics", "list"], env=environment)
    assert said.exit_code == 1
    assert said.stderr.count("kafka_not_encrypted") == 1
    assert said.stderr.splitlines()[-1].startswith("sepsis-monitor: cannot connect to Kafka")
