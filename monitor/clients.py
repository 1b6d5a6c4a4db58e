"""Kafka clients for everything outside the workers: admin, replay, followers.

All of them connect by the same settings, and all fail alike: with one line that says which brokers were asked and why
none would serve, because the client library itself only says that it ran out of time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.compat import KafkaNetClient
from pydantic import SecretStr

from monitor.client_key import check_client_key
from monitor.errors import Failure, Unavailable
from monitor.sections import KafkaSettings

__all__ = ["admin", "connection_options", "consumer", "producer"]

_CLIENT_ID = "sepsis-monitor"
_BOOTSTRAP_MS = 10_000
# The embedded broker answers a fetch with all that it has, whatever limit the client sets.
_LARGEST_ANSWER_BYTES = 1_000_000_000
_REFUSALS = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, IllegalSaslStateError)
_PLAIN_WORDS = {"ECONNREFUSED": "the connection was refused", "DNS Resolution": "the name of the host is not known"}


def connection_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the options of connection and security under their Kafka names, those only that are set.

    Files of passwords are read. Raises Failure where one names a file that is not there, or that holds no password,
    and where the client's key cannot be used.
    """
    options: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if kafka.sasl_mechanism is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_plain_username
        options["sasl_plain_password"] = _password(kafka, "sasl_plain_password")
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = kafka.ssl_check_hostname
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path: Path | None = getattr(kafka, name)
            if path is None:
                continue
            if not path.is_file():
                msg = f"kafka.{name} names the file {path}, which is not there"
                raise Failure(msg)
            options[name] = str(path)
        password = _password(kafka, "ssl_password")
        if password is not None:
            options["ssl_password"] = password
        if "ssl_certfile" in options:
            password_key = f"kafka.ssl_password{'' if kafka.ssl_password_file is None else '_file'}"
            check_client_key(options["ssl_certfile"], options["ssl_keyfile"], password, password_key)
    return options


def _password(kafka: KafkaSettings, key: str) -> str | None:
    """Return a password from its setting or from the file that its `_file` names; None where neither is set."""
    said: SecretStr | None = getattr(kafka, key)
    file: Path | None = getattr(kafka, f"{key}_file")
    if file is None:
        return None if said is None else said.get_secret_value()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f"kafka.{key}_file names {file}, which cannot be read: {error.strerror or error}"
        raise Failure(msg) from error
    except UnicodeDecodeError:
        msg = f"kafka.{key}_file names {file}, which is not text in UTF-8"
        raise Failure(msg) from None  # the error would quote what stands there
    if len(lines) != 1 or not lines[0].strip():
        msg = f"kafka.{key}_file names {file}, which should hold one line, the password, and holds {len(lines)}"
        raise Failure(msg)
    return lines[0]


def producer(kafka: KafkaSettings, bootstrap: str, **options: Any) -> Any:
    """Return a connected KafkaProducer whose records are acknowledged by all replicas, once each and in order.

    Keys are spread by murmur2, as everywhere in this system. `options` are the client's own. Raises Failure, as
    Unavailable where the cluster is the cause.
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
    begun: list[KafkaNetClient] = []

    def remembered(**config: Any) -> KafkaNetClient:
        begun.append(KafkaNetClient(**config))
        return begun[-1]

    with _overheard() as reasons:
        try:
            return make(**{"kafka_client": remembered, **common, **options})
        except (KafkaError, OSError, ValueError) as error:  # the last two: certificate files that cannot be used
            for client in begun:
                client.close()  # else it goes on trying in a thread of its own, for as long as the process lives
            reason = _explain(_most_telling([error, *reasons]), kafka)
            msg = f"cannot connect to Kafka at {bootstrap}: {reason}"
            raise (Unavailable if isinstance(error, KafkaError) else Failure)(msg) from error


class _Overhearing(logging.Handler):
    """Keeps the exceptions that the client library logs while it tries one broker after the other."""

    def __init__(self, heard: list[BaseException]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        self._heard.extend(argument for argument in arguments if isinstance(argument, BaseException))


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


def _most_telling(errors: Sequence[BaseException]) -> BaseException:
    """Return the error that says most, of several attempts: a broker that refuses credentials often just hangs up."""

    def rank(error: BaseException) -> int:
        if isinstance(error, _REFUSALS):
            return 3
        if isinstance(error, KafkaConnectionError):
            return 2
        return 0 if isinstance(error, KafkaTimeoutError) else 1

    return max(errors, key=rank)


def _explain(error: BaseException, kafka: KafkaSettings) -> str:
    if isinstance(error, SaslAuthenticationFailedError):
        return f"the broker refused the credentials; check kafka.sasl_plain_username and {_password_key(kafka)}"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"the broker does not offer {kafka.sasl_mechanism}; check kafka.sasl_mechanism"
    if isinstance(error, IllegalSaslStateError):
        return "the broker takes no credentials there; check kafka.security_protocol and the port"
    text = str(error).removeprefix("KafkaConnectionError: ")
    if "Handshake failed" in text or "certificate" in text.lower():
        return f"no secure connection ({text}); check kafka.ssl_cafile and the other kafka.ssl_ settings"
    text = next((words for sign, words in _PLAIN_WORDS.items() if sign in text), text)
    if "disconnected" in text and kafka.sasl_mechanism is not None:
        others = "kafka.sasl_mechanism and kafka.security_protocol"
        keys = f"kafka.sasl_plain_username, {_password_key(kafka)}, {others}"
        return f"the broker hung up during the login, as it does on wrong credentials; check {keys}"
    return f"{text}; check that it runs there, and kafka.bootstrap_servers and kafka.security_protocol"


def _password_key(kafka: KafkaSettings) -> str:
    return f"kafka.sasl_plain_password{'' if kafka.sasl_plain_password_file is None else '_file'}"
