"""How a worker's own Kafka clients prove who they are: the same settings as every other client, in Faust's form."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust

__all__ = ["KafkaSecurity"]


@dataclass(frozen=True)
class KafkaSecurity:
    """Kafka's settings of connection security, under their own names; secrets are never shown."""

    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_plain_username: str | None = None
    sasl_plain_password: str | None = field(default=None, repr=False)
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True

    def app_settings(self) -> dict[str, Any]:
        """Return the settings of the Faust app; raises OSError or ssl.SSLError for files that cannot be used."""
        context = self._context() if self.security_protocol.endswith("SSL") else None
        if self.security_protocol.startswith("SASL"):
            credentials: Any = faust.SASLCredentials(
                mechanism=self.sasl_mechanism,
                username=self.sasl_plain_username,
                password=self.sasl_plain_password,
                ssl_context=context,
            )
        elif context is not None:
            credentials = faust.SSLCredentials(context)
        else:
            return {}
        return {"broker_credentials": credentials}

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=None if self.ssl_cafile is None else str(self.ssl_cafile))
        context.check_hostname = self.ssl_check_hostname
        if self.ssl_certfile is not None:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, self.ssl_password)
        return context
