"""The sections of the configuration: every key with its type, bounds, default and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

__all__ = [
    "BrokerSettings",
    "HttpSettings",
    "KafkaSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PolicySettings",
    "TopicSettings",
    "WorkerSettings",
]

_NAME = r"^[A-Za-z0-9._-]+$"  # what Kafka allows in the names of topics, groups and static members
_HIGHEST_PORT = 65_535
_MOST_UNITS = 256
_LONGEST_UNIT = 64  # bytes, as in an admission event
_PREFIX = r"^[A-Za-z0-9._-]*$"


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        msg = "should be a number"
        raise ValueError(msg)
    return value


def _joined(value: object) -> object:
    """Accept bootstrap servers as one string or as an array of strings."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return value


def _servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",") if server.strip()]
    for server in servers:
        if "@" in server or "/" in server:  # not shown again: what stands before an @ is often a password
            msg = "should be host:port without a user, a password or a scheme: those have settings of their own"
            raise ValueError(msg)
        host, colon, port = server.rpartition(":")
        if not (colon and host and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
            msg = "should be host:port, several of them with commas between"
            raise ValueError(msg)
    if not servers:
        msg = "should name at least one host:port"
        raise ValueError(msg)
    return ",".join(servers)


def _unit(value: str) -> str:
    if not (0 < len(value.encode()) <= _LONGEST_UNIT and value.isprintable()):
        msg = f"should name units by 1 to {_LONGEST_UNIT} bytes of printable text"
        raise ValueError(msg)
    return value


Whole = Annotated[int, BeforeValidator(_not_bool)]
Servers = Annotated[str, BeforeValidator(_joined), AfterValidator(_servers)]
Unit = Annotated[str, AfterValidator(_unit)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Section):
    """How to reach the cluster; without bootstrap servers a local broker is used."""

    bootstrap_servers: Servers | None = Field(
        default=None, description="Brokers to ask first, host:port with commas between."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How the connection is secured."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="How the client proves who it is."
    )
    sasl_plain_username: str | None = Field(default=None, description="User of PLAIN and SCRAM.")
    sasl_plain_password: SecretStr | None = Field(default=None, description="Password of PLAIN and SCRAM.")
    sasl_plain_password_file: UserPath | None = Field(
        default=None, description="File with one line, that password, in its place."
    )
    ssl_cafile: UserPath | None = Field(default=None, description="PEM file with the authorities to trust.")
    ssl_certfile: UserPath | None = Field(default=None, description="PEM file with the client's certificate.")
    ssl_keyfile: UserPath | None = Field(default=None, description="PEM file with the client's key.")
    ssl_password: SecretStr | None = Field(default=None, description="Password of the client's key.")
    ssl_password_file: UserPath | None = Field(
        default=None, description="File with one line, that password, in its place."
    )
    ssl_check_hostname: bool = Field(default=True, description="Refuse a broker whose certificate names another host.")

    @model_validator(mode="after")
    def _complete(self) -> KafkaSettings:
        sasl = self.security_protocol.startswith("SASL")
        password = self.sasl_plain_password or self.sasl_plain_password_file
        wrong = {
            "sasl_mechanism is needed with this security_protocol": sasl and self.sasl_mechanism is None,
            "sasl_plain_password and sasl_plain_password_file are two places for one password: set one of them": (
                self.sasl_plain_password is not None and self.sasl_plain_password_file is not None
            ),
            "ssl_password and ssl_password_file are two places for one password: set one of them": (
                self.ssl_password is not None and self.ssl_password_file is not None
            ),
            "sasl_plain_username and sasl_plain_password, or sasl_plain_password_file, are needed with this "
            "sasl_mechanism": sasl and not (self.sasl_plain_username and password),
            "sasl_mechanism has no effect unless security_protocol is SASL_PLAINTEXT or SASL_SSL": (
                self.sasl_mechanism is not None and not sasl
            ),
            "ssl_certfile and ssl_keyfile belong together": (self.ssl_certfile is None) != (self.ssl_keyfile is None),
        }
        for msg, holds in wrong.items():
            if holds:
                raise ValueError(msg)
        return self


class BrokerSettings(_Section):
    """The local broker, for when no cluster is configured."""

    engine: Literal["embedded", "kafka"] = Field(default="embedded", description="Which local broker to bring up.")
    kafka_home: UserPath | None = Field(default=None, description="Apache Kafka's distribution, for the engine kafka.")
    java_home: UserPath | None = Field(
        default=None, description="Java 17 or newer, for the engine kafka; else java on PATH."
    )
    data_dir: UserPath = Field(
        default_factory=lambda: user_data_path("sepsis-monitor") / "broker", description="Where its data lives."
    )
    port: Whole = Field(default=0, ge=0, le=_HIGHEST_PORT, description="Port on loopback; 0 takes a free one.")


class TopicSettings(_Section):
    """The topics of one deployment."""

    prefix: str = Field(default="", pattern=_PREFIX, max_length=100, description="Goes before every topic's name.")
    partitions: Whole = Field(
        default=4, ge=1, le=10_000, description="Partitions of every topic that is keyed by patient."
    )
    replication_factor: Whole = Field(
        default=1, ge=1, le=32_767, description="Copies of each partition; 3 in production."
    )


class WorkerSettings(_Section):
    """One worker process."""

    group: str = Field(
        default="sepsis-monitor",
        pattern=_NAME,
        max_length=100,
        description="Consumer group of all workers of one deployment; another one on the same cluster takes another.",
    )
    instance: str = Field(
        default="worker-1",
        pattern=_NAME,
        max_length=100,
        description="Static member id: one of its own for each worker.",
    )
    data_dir: UserPath = Field(
        default_factory=lambda: user_data_path("sepsis-monitor") / "worker", description="Where local state lives."
    )


class HttpSettings(_Section):
    """Where a worker serves /livez, /readyz and /metrics."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: Whole = Field(default=9464, ge=0, le=_HIGHEST_PORT, description="Port to listen on; 0 takes a free one.")


class ModelSettings(_Section):
    """Which model computes the risk."""

    name: str = Field(default="bedside", min_length=1, description="A shipped artefact, or a folder that holds one.")


class PolicySettings(_Section):
    """Which policy decides on alerts; in a unit that has its own, its own."""

    file: UserPath | None = Field(default=None, description="A policy file; else the shipped one.")
    units: Annotated[dict[Unit, UserPath], Field(max_length=_MOST_UNITS)] = Field(
        default_factory=dict, description="Policy files of units, by the name that admission events give the unit."
    )


class LimitSettings(_Section):
    """What an observation may not exceed."""

    ahead_seconds: Whole = Field(default=300, ge=0, description="How far its time may lie after its Kafka timestamp.")
    late_hours: Whole = Field(default=24, ge=1, description="How long after its time it is still taken as late.")
    value_bytes: Whole = Field(default=16_384, ge=256, le=1_048_576, description="How large one event may be.")
    gap_hours: Whole = Field(
        default=168, ge=1, description="After how long without data the next observation starts a stay."
    )


class LogSettings(_Section):
    """What is logged, and how."""

    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, JSON otherwise."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe level shown."
    )
