"""Connecting to Kafka: with the right credentials, and with what is said about the wrong ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.brokers.probe import free_port
from monitor.clients import admin, connection_options, consumer, producer
from monitor.errors import Failure
from monitor.sections import KafkaSettings
from monitor.settings import load_settings
from tests.monitor.secured import PASSWORD, USER, SecuredBroker, secured_broker

WRONG = "not-the-password"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    broker = secured_broker(tmp_path_factory.mktemp("secured"))
    broker.start()
    yield broker
    broker.stop()


def with_password(password: str, mechanism: str = "PLAIN", **more: Any) -> KafkaSettings:
    said: dict[str, Any] = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": USER,
        "sasl_plain_password": password,
        **more,
    }
    return load_settings(None, {f"kafka.{key}": value for key, value in said.items()}).kafka


def test_all_clients_connect_with_the_right_password_over_tls_too(secured: SecuredBroker) -> None:
    plain = with_password(PASSWORD)
    tls = with_password(PASSWORD, security_protocol="SASL_SSL", ssl_cafile=secured.authority)
    for connect in (admin, producer, consumer):
        connect(plain, f"127.0.0.1:{secured.sasl_port}").close()
        connect(tls, f"127.0.0.1:{secured.tls_port}").close()


def test_a_broker_that_nobody_vouches_for_is_refused(secured: SecuredBroker) -> None:
    kafka = with_password(PASSWORD, security_protocol="SASL_SSL")
    with pytest.raises(Failure, match=r"certificate verify failed.*check kafka\.ssl_cafile"):
        admin(kafka, f"127.0.0.1:{secured.tls_port}", bootstrap_timeout_ms=1_000)


@pytest.mark.parametrize(
    ("kafka", "wrong"),
    [
        (with_password(WRONG), "kafka.sasl_plain_password"),
        (with_password(PASSWORD, "SCRAM-SHA-512"), "kafka.sasl_mechanism"),
    ],
)
def test_a_refused_login_names_the_setting_but_no_secret(
    secured: SecuredBroker, kafka: KafkaSettings, wrong: str
) -> None:
    address = f"127.0.0.1:{secured.sasl_port}"
    with pytest.raises(Failure) as caught:
        admin(kafka, address, bootstrap_timeout_ms=2_000)
    message = str(caught.value)
    # Whether the broker's reason or its hanging up is seen first is a race; either way the setting is named.
    assert message.startswith(f"cannot connect to Kafka at {address}: the broker ")
    assert wrong in message
    assert WRONG not in message


@pytest.mark.parametrize("connect", [admin, producer, consumer])
def test_a_broker_that_is_not_there_is_named_and_left_alone(connect: Any, capfd: pytest.CaptureFixture[str]) -> None:
    address, before = f"127.0.0.1:{free_port()}", threading.active_count()
    with pytest.raises(Failure, match=f"cannot connect to Kafka at {address}: .*refused.*kafka.bootstrap_servers"):
        connect(KafkaSettings(), address, bootstrap_timeout_ms=1_000)
    assert capfd.readouterr().err == ""
    assert threading.active_count() <= before  # whoever waits for a cluster tries for days


def test_encryption_with_a_broker_that_has_none_is_named(embedded_kafka: str) -> None:
    with pytest.raises(Failure, match=r"no secure connection .* check kafka\.ssl_cafile"):
        admin(KafkaSettings(security_protocol="SSL"), embedded_kafka, bootstrap_timeout_ms=1_000)


def test_a_certificate_file_that_is_not_there_is_named(embedded_kafka: str, tmp_path: Path) -> None:
    kafka = KafkaSettings(security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem")
    with pytest.raises(Failure, match=r"kafka\.ssl_cafile names the file .*, which is not there"):
        admin(kafka, embedded_kafka, bootstrap_timeout_ms=1_000)


def from_file(file: Path) -> KafkaSettings:
    said = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": USER}
    overrides: dict[str, object] = {f"kafka.{key}": value for key, value in said.items()}
    return load_settings(None, {**overrides, "kafka.sasl_plain_password_file": file}).kafka


@pytest.mark.parametrize("content", [PASSWORD, f"{PASSWORD}\n", f"{PASSWORD}\r\n"])
def test_a_password_may_stand_in_a_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content.encode())
    assert connection_options(from_file(file))["sasl_plain_password"] == PASSWORD
    key = KafkaSettings(security_protocol="SSL", ssl_password_file=file)
    assert connection_options(key)["ssl_password"] == PASSWORD


def test_all_clients_connect_with_a_password_from_a_file(secured: SecuredBroker, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    for connect in (admin, producer, consumer):
        connect(from_file(file), f"127.0.0.1:{secured.sasl_port}").close()
    file.write_text(f"{WRONG}\n")
    with pytest.raises(Failure, match=r"kafka\.sasl_plain_password_file") as caught:
        admin(from_file(file), f"127.0.0.1:{secured.sasl_port}", bootstrap_timeout_ms=2_000)
    assert WRONG not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "should hold one line, the password, and holds 0"),
        (b"  \n", "should hold one line"),
        (f"{WRONG}\nuser\n".encode(), "should hold one line, the password, and holds 2"),
        (b"\xff" + WRONG.encode(), "is not text in UTF-8"),
    ],
)
def test_a_file_that_holds_no_password_is_named_and_not_shown(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Failure, match=rf"kafka\.sasl_plain_password_file names {file}, which {expected}") as caught:
        connection_options(from_file(file))
    assert WRONG not in str(caught.value)


def test_options_carry_only_what_is_set() -> None:
    assert connection_options(KafkaSettings()) == {"security_protocol": "PLAINTEXT"}
    options = connection_options(with_password(PASSWORD))
    assert options["sasl_plain_password"] == PASSWORD
    assert "ssl_cafile" not in options
