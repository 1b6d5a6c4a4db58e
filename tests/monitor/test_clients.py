"""Connecting to Kafka: with the right credentials, and with what is said about the wrong ones."""

from __future__ import annotations

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
def test_a_broker_that_is_not_there_is_named(connect: Any, capfd: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Failure, match=f"cannot connect to Kafka at {address}: .*refused.*kafka.bootstrap_servers"):
        connect(KafkaSettings(), address, bootstrap_timeout_ms=1_000)
    assert capfd.readouterr().err == ""


def test_encryption_with_a_broker_that_has_none_is_named(embedded_kafka: str) -> None:
    with pytest.raises(Failure, match=r"no secure connection .* check kafka\.ssl_cafile"):
        admin(KafkaSettings(security_protocol="SSL"), embedded_kafka, bootstrap_timeout_ms=1_000)


def test_a_certificate_file_that_is_not_there_is_named(embedded_kafka: str, tmp_path: Path) -> None:
    kafka = KafkaSettings(security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem")
    with pytest.raises(Failure, match=r"kafka\.ssl_cafile names the file .*, which is not there"):
        admin(kafka, embedded_kafka, bootstrap_timeout_ms=1_000)


def test_options_carry_only_what_is_set() -> None:
    assert connection_options(KafkaSettings()) == {"security_protocol": "PLAINTEXT"}
    options = connection_options(with_password(PASSWORD))
    assert options["sasl_plain_password"] == PASSWORD
    assert "ssl_cafile" not in options
