"""One warning where patients' data would go over a network that others may read along, or write to."""

from __future__ import annotations

import ipaddress

import structlog

__all__ = ["elsewhere", "warn_of_plaintext"]

_log = structlog.get_logger(__name__)
_MEANINGS = {
    "PLAINTEXT": "whoever is on the network can read the patients' data, and Kafka cannot tell who writes",
    "SASL_PLAINTEXT": "whoever is on the network can read the patients' data, and with PLAIN the password",
}


def elsewhere(bootstrap_servers: str) -> list[str]:
    """Return the servers, host:port as Kafka has them, that are not on this machine's loopback."""
    return [server for server in map(str.strip, bootstrap_servers.split(",")) if not _is_loopback(server)]


def warn_of_plaintext(security_protocol: str, bootstrap_servers: str) -> None:
    """Say in one line of the log that the connection is not encrypted, where that matters."""
    servers, meaning = elsewhere(bootstrap_servers), _MEANINGS.get(security_protocol)
    if servers and meaning is not None:
        remedy = "set kafka.security_protocol to SSL or SASL_SSL"
        _log.warning("kafka_not_encrypted", servers=servers, meaning=f"{meaning}; {remedy}")


def _is_loopback(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]").lower().removesuffix(".")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
