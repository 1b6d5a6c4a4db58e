"""Apache Kafka that wants a password, and talks over TLS: what a hospital's own cluster asks of every client."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from monitor.brokers.apache import ApacheBroker
from monitor.brokers.probe import free_port
from monitor.settings import load_settings
from tests.brokers import new_broker

__all__ = ["PASSWORD", "USER", "SecuredBroker", "secured_broker"]

USER, PASSWORD = "nurse", "right"
_PROTOCOLS = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"


class SecuredBroker(ApacheBroker):
    """Apache Kafka with two more listeners that want a user and a password, one of them over TLS."""

    sasl_port = 0
    tls_port = 0

    @property
    def authority(self) -> Path:
        """The certificate that vouches for the broker's: its own, as it signed it itself."""
        return self.data_dir / "certificate.pem"

    def _prepare(self) -> None:
        super()._prepare()
        self.sasl_port, self.tls_port = free_port(avoid=self.port), free_port(avoid=self.port)
        more = f"SASL_PLAINTEXT://127.0.0.1:{self.sasl_port},SASL_SSL://127.0.0.1:{self.tls_port},"
        text = self._config.read_text().replace("listeners=", f"listeners={more}", 1)
        login = "org.apache.kafka.common.security.plain.PlainLoginModule"
        for listener in ("sasl_plaintext", "sasl_ssl"):
            text += f"listener.name.{listener}.plain.sasl.jaas.config="
            text += f'{login} required user_{USER}="{PASSWORD}";\n'
        text += f"sasl.enabled.mechanisms=PLAIN\nlistener.security.protocol.map={_PROTOCOLS}\n"
        text += f"ssl.keystore.type=PEM\nssl.keystore.location={self._key_and_certificate()}\n"
        self._config.write_text(text)

    def _key_and_certificate(self) -> Path:
        key, both = self.data_dir / "key.pem", self.data_dir / "both.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(self.authority)]
        subprocess.run(command, check=True, capture_output=True)
        both.write_text(key.read_text() + self.authority.read_text())
        return both


def secured_broker(data_dir: Path) -> SecuredBroker:
    """Return a secured broker that is not started yet; skips or fails as `tests.brokers.new_broker` does."""
    new_broker("kafka", data_dir)
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl for a certificate: install the package openssl")
    broker = load_settings().broker
    return SecuredBroker(data_dir, kafka_home=broker.kafka_home, java_home=broker.java_home)
