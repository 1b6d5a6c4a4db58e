"""Connecting to Kafka: with the right credentials, and with what is said about the wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.brokers.apache import ApacheBroker
from monitor.brokers.probe import free_port
from monitor.clients import admin, connection_options, consumer, producer
from monitor.errors import Failure
from monitor.sections import KafkaSettings
from monitor.settings import load_settings
from tests.brokers import new_broker

WRONG = "not-the-password"


class SaslBroker(ApacheBroker):
    """Apache Kafka with one more listener, on `sasl_port`, that wants a user and a password."""

    sasl_port = 0

    def _prepare(self) -> None:
        super()._prepare()
        self.sasl_port = free_port(avoid=self.port)
        text = self._config.read_text().replace("listeners=", f"listeners=SASL_PLAINTEXT://127.0.0.1:{self.sasl_port},")
        login = "org.apache.kafka.common.security.plain.PlainLoginModule"
        text += "sasl.enabled.mechanisms=PLAIN\n"
        protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
        text += f"listener.security.protocol.map={protocols}\n"
        text += f'listener.name.sasl_plaintext.plain.sasl.jaas.config={login} required user_nurse="right";\n'
        self._config.write_text(text)


@pytest.fixture(scope="module")
def sasl_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    new_broker("kafka", Path("unused"))
    settings = load_settings().broker
    folder = tmp_path_factory.mktemp("sasl")
    broker = SaslBroker(folder, kafka_home=settings.kafka_home, java_home=settings.java_home)
    broker.start()
    yield f"127.0.0.1:{broker.sasl_port}"
    broker.stop()


def with_password(password: str, mechanism: str = "PLAIN") -> KafkaSettings:
    said: dict[str, Any] = {
        "kafka.security_protocol": "SASL_PLAINTEXT",
        "kafka.sasl_mechanism": mechanism,
        "kafka.sasl_plain_username": "nurse",
        "kafka.sasl_plain_password": password,
    }
    return load_settings(None, said).kafka


def test_all_clients_connect_with_the_right_password(sasl_kafka: str) -> None:
    for connect in (admin, producer, consumer):
        connect(with_password("right"), sasl_kafka).close()


@pytest.mark.parametrize(
    ("kafka", "wrong"),
    [
        (with_password(WRONG), "kafka.sasl_plain_password"),
        (with_password("right", "SCRAM-SHA-512"), "kafka.sasl_mechanism"),
    ],
)
def test_a_refused_login_names_the_setting_but_no_secret(sasl_kafka: str, kafka: KafkaSettings, wrong: str) -> None:
    with pytest.raises(Failure) as caught:
        admin(kafka, sasl_kafka, bootstrap_timeout_ms=2_000)
    message = str(caught.value)
    # Whether the broker's reason or its hanging up is seen first is a race; either way the setting is named.
    assert message.startswith(f"cannot connect to Kafka at {sasl_kafka}: the broker ")
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
    options = connection_options(with_password("right"))
    assert options["sasl_plain_password"] == "right"  # noqa: S105 - the password of this test
    assert "ssl_cafile" not in options
