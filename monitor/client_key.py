"""A look at the client's certificate and key before any broker is asked: nothing that fails here mends by itself."""

from __future__ import annotations

import ssl

from monitor.errors import Failure

__all__ = ["check_client_key"]


def check_client_key(certificate: str, key: str, password: str | None, password_key: str) -> None:
    """Load certificate and key once; nobody is asked for a password.

    Raises Failure, which names the setting that is wrong: the key's, or `password_key`, that of its password.
    """
    asked = False

    def given() -> str:
        nonlocal asked
        asked = True
        return password or ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, given)
    except (OSError, ValueError) as error:  # ValueError: a password longer than the library takes
        raise Failure(
            _explained(error, certificate, key, asked=asked, password_key=password_key if password else None)
        ) from error


def _explained(error: Exception, certificate: str, key: str, *, asked: bool, password_key: str | None) -> str:
    if asked and password_key is None:
        return f"kafka.ssl_keyfile names {key}, which is encrypted: set kafka.ssl_password or kafka.ssl_password_file"
    if asked:
        return f"{password_key} does not open the key {key} that kafka.ssl_keyfile names"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        return f"kafka.ssl_keyfile names {key}, which is not the key of {certificate}, that of kafka.ssl_certfile"
    return f"kafka.ssl_certfile {certificate} and kafka.ssl_keyfile {key} cannot be used: {reason}"
