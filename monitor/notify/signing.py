"""Signatures of webhooks by the Standard Webhooks specification (standardwebhooks.com, 1.0.0).

A receiver recomputes HMAC-SHA256 over `id.timestamp.body` with the shared secret, compares in constant time, and
refuses a timestamp that is minutes old: then nobody else can have posted it, and nobody can post it again later.
Libraries for it exist in a dozen languages; without one it takes five lines.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

__all__ = ["signed_headers"]

_PREFIX = b"whsec_"


def signed_headers(event_id: str, body: bytes, secrets: Sequence[bytes], unix_seconds: int) -> dict[str, str]:
    """Return the headers that prove who posts `body`, and that tell a repeat by `webhook-id`.

    A secret that begins with `whsec_` is base64 after that, as the specification has it; any other is taken as it is.
    """
    said = b".".join((event_id.encode(), str(unix_seconds).encode(), body))
    signatures = (hmac.digest(_key(secret), said, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(unix_seconds),
        "webhook-signature": " ".join("v1," + base64.b64encode(each).decode() for each in signatures),
    }


def _key(secret: bytes) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret[len(_PREFIX) :], validate=True)
        except binascii.Error:
            return secret
    return secret
