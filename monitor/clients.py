"""Kafka clients for everything outside the workers: admin, replay, followers.

All of them connect by the same settings, and all fail alike: with one line that says which brokers were asked and why
none would serve, because the client library itself only says that it ran out of time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError

from monitor.errors import Failure
from monitor.sections import KafkaSettings

__all__ = ["admin", "connection_options", "consumer", "producer"]

_CLIENT_ID = "sepsis-monitor"
_BOOTSTRAP_MS = 10_000
# The embedded broker answers a fetch with all that it has, whatever limit the client sets.
_LARGEST_ANSWER_BYTES = 1_000_000_000


def connection_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the options of connection and security under their Kafka names, those only that are set."""
    options: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if kafka.sasl_mechanism is not None and kafka.sasl_plain_password is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_plain_username
        options["sasl_plain_password"] = kafka.sasl_plain_password.get_secret_value()
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = kafka.ssl_check_hostname
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(kafka, name)
            if path is not None:
                options[name] = str(path)
        if kafka.ssl_password is not None:
            options["ssl_password"] = kafka.ssl_password.get_secret_value()
    return options


def producer(kafka: KafkaSettings, bootstrap: str, **options: Any) -> Any:
    """Return a connected KafkaProducer whose records are acknowledged by all replicas, once each and in order.

    Keys are spread by murmur2, as everywhere in this system. `options` are the client's own. Raises Failure.
    """
    ours = {"acks": "all", "enable_idempotence": True, "linger_ms": 5, "allow_auto_create_topics": False}
    return _connect(KafkaProducer, kafka, bootstrap, {**ours, **options})


def consumer(kafka: KafkaSettings, bootstrap: str, *topics: str, **options: Any) -> Any:
    """Return a connected KafkaConsumer that commits nothing by itself and reads what is committed by transactions.

    It subscribes to `topics`, if any. `options` are the client's own. Raises Failure.
    """
    ours = {
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "receive_message_max_bytes": _LARGEST_ANSWER_BYTES,
    }

    def make(**merged: Any) -> Any:
        return KafkaConsumer(*topics, **merged)

    return _connect(make, kafka, bootstrap, {**ours, **options})


def admin(kafka: KafkaSettings, bootstrap: str, **options: Any) -> Any:
    """Return a connected KafkaAdminClient. `options` are the client's own. Raises Failure."""
    return _connect(KafkaAdminClient, kafka, bootstrap, options)


def _connect(make: Callable[..., Any], kafka: KafkaSettings, bootstrap: str, options: dict[str, Any]) -> Any:
    common = {
        "bootstrap_servers": bootstrap.split(","),
        "client_id": _CLIENT_ID,
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        **connection_options(kafka),
    }
    with _overheard() as reasons:
        try:
            return make(**{**common, **options})
        except (KafkaError, OSError, ValueError) as error:
            # ValueError: unreadable certificate files, which the ssl module reports in several ways.
            reason = _explain(reasons[-1] if reasons else error, kafka)
            msg = f"cannot connect to Kafka at {bootstrap}: {reason}"
            raise Failure(msg) from error


class _Overhearing(logging.Handler):
    """Keeps the exceptions that the client library logs while it tries one broker after the other."""

    def __init__(self, heard: list[BaseException]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        # The time-out comes last and says nothing; what went before it is the reason.
        self._heard.extend(
            argument
            for argument in arguments
            if isinstance(argument, BaseException) and not isinstance(argument, KafkaTimeoutError)
        )


@contextmanager
def _overheard() -> Iterator[list[BaseException]]:
    """Yield the reasons that the library logs, and keep them out of the log: a Failure tells them once."""
    library = logging.getLogger("kafka")
    heard: list[BaseException] = []
    handler = _Overhearing(heard)
    propagated = library.propagate
    library.addHandler(handler)
    library.propagate = False
    try:
        yield heard
    finally:
        library.propagate = propagated
        library.removeHandler(handler)


def _explain(error: BaseException, kafka: KafkaSettings) -> str:
    if isinstance(error, SaslAuthenticationFailedError):
        return "the broker refused the credentials; check kafka.sasl_plain_username and kafka.sasl_plain_password"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"the broker does not offer {kafka.sasl_mechanism}; check kafka.sasl_mechanism"
    text = str(error)
    if "Handshake failed" in text or "certificate" in text.lower():
        return f"no secure connection ({text}); check kafka.ssl_cafile and the other kafka.ssl_ settings"
    return f"{text}; check that it runs there, and kafka.bootstrap_servers and kafka.security_protocol"
