"""Apache Kafka as a hospital runs it: TLS, SCRAM users or client certificates, and only what is granted is allowed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from monitor.access import Grant
from monitor.brokers.apache import ApacheBroker
from monitor.brokers.probe import free_port
from monitor.clients import admin
from monitor.sections import KafkaSettings
from monitor.settings import load_settings
from tests.brokers import new_broker

__all__ = ["PASSWORD", "PLAIN_USER", "GuardedBroker", "guarded_broker"]

PASSWORD, PLAIN_USER = "of-all-users", "plain"
_SCRAMS = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
_MODULES = "org.apache.kafka.common.security"
_MORE = f"""\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={_MODULES}.plain.PlainLoginModule required user_{PLAIN_USER}="{PASSWORD}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={_MODULES}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_MODULES}.scram.ScramLoginModule required;
listener.name.ssl.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.truststore.type=PEM
"""


class GuardedBroker(ApacheBroker):
    """One node; who comes over its open port, as the tests' administrator does, may do everything."""

    sasl_port = 0
    tls_port = 0
    properties: Mapping[str, str] = {}  # of the broker, over those that are written here

    @property
    def authority(self) -> Path:
        """The certificate of who vouches for the broker and for clients."""
        return self.data_dir / "ca.pem"

    def _prepare(self) -> None:
        super()._prepare()
        self.sasl_port, self.tls_port = free_port(avoid=self.port), free_port(avoid=self.port)
        ca = ["-x509", "-subj", "/CN=authority", "-keyout", str(self.data_dir / "ca.key"), "-out", str(self.authority)]
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-days", "2", *ca)
        certificate, key = self.certify("127.0.0.1")
        both = self.data_dir / "both.pem"
        both.write_text(key.read_text() + certificate.read_text())
        more = f"SASL_SSL://127.0.0.1:{self.sasl_port},SSL://127.0.0.1:{self.tls_port},"
        text = self._config.read_text().replace("listeners=", f"listeners={more}", 1)
        stores = f"ssl.keystore.location={both}\nssl.truststore.location={self.authority}\n"
        others = "".join(f"{key}={value}\n" for key, value in self.properties.items())
        self._config.write_text(text + _MORE + stores + others)

    def certify(self, name: str) -> tuple[Path, Path]:
        """Return a certificate for a host or a client, and its key."""
        request, key, certificate = (self.data_dir / f"{name}.{kind}" for kind in ("csr", "key", "pem"))
        subject = ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)]
        if name == "127.0.0.1":
            subject += ["-addext", f"subjectAltName=IP:{name}"]
        _openssl("req", "-newkey", "rsa:2048", "-nodes", *subject)
        ca = ["-CA", str(self.authority), "-CAkey", str(self.data_dir / "ca.key"), "-CAcreateserial"]
        signed = ["-copy_extensions", "copy", "-days", "2", "-out", str(certificate)]
        _openssl("x509", "-req", "-in", str(request), *ca, *signed)
        return certificate, key

    def add_users(self, names: Sequence[str], password: str = PASSWORD) -> None:
        """Let users log in by SCRAM, with this password from now on."""
        for kind in _SCRAMS:
            self._alter([UserScramCredentialUpsertion(name, kind, password.encode()) for name in names])

    def remove_user(self, name: str) -> None:
        """Let a user log in no more."""
        for kind in _SCRAMS:
            self._alter([UserScramCredentialDeletion(name, kind)])

    def _alter(self, alterations: Sequence[Any]) -> None:
        """Change what users log in with; Kafka takes each user once a request."""
        with closing(admin(KafkaSettings(), self.bootstrap_servers)) as client:
            answers = client.alter_user_scram_credentials(list(alterations))
        assert set(answers.values()) == {None}, answers

    def grant(self, principal: str, grants: Sequence[Grant]) -> None:
        """Give a principal these rights."""
        with closing(admin(KafkaSettings(), self.bootstrap_servers)) as client:
            assert client.create_acls(_rights(principal, grants))["failed"] == []

    def revoke(self, principal: str, grants: Sequence[Grant]) -> None:
        """Take these rights from a principal."""
        rights = _rights(principal, grants)
        with closing(admin(KafkaSettings(), self.bootstrap_servers)) as client:
            taken = client.delete_acls(rights)
        assert [len(found) for _, found, _ in taken] == [1] * len(rights), taken


def _rights(principal: str, grants: Sequence[Grant]) -> list[ACL]:
    return [
        ACL(principal, "*", ACLOperation[_constant(operation)], ACLPermissionType.ALLOW, _pattern(one))
        for one in grants
        for operation in one.operations
    ]


def _pattern(one: Grant) -> ResourcePattern:
    pattern = ACLResourcePatternType[one.pattern.upper()]
    return ResourcePattern(ResourceType[one.resource.upper()], one.name, pattern)


def _constant(operation: str) -> str:
    return {"DescribeConfigs": "DESCRIBE_CONFIGS"}.get(operation, operation.upper())


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def guarded_broker(data_dir: Path) -> GuardedBroker:
    """Return a guarded broker that is not started yet; skips or fails as `tests.brokers.new_broker` does."""
    new_broker("kafka", data_dir)
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl for certificates: install the package openssl")
    broker = load_settings().broker
    return GuardedBroker(data_dir, kafka_home=broker.kafka_home, java_home=broker.java_home)
