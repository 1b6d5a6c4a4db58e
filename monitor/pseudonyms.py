"""Pseudonyms of patients by a keyed hash: the same for the same id and key, and of no use to who lacks the key.

A pseudonym is the first 16 bytes of HMAC-SHA-256 (RFC 2104, FIPS 180-4) of the id's bytes in UTF-8, in hexadecimal: 32
characters that the contract allows as a patient id. A gateway in any language can derive the same. 128 bits: among a
hundred million patients two share a pseudonym with a probability under 2e-23.
"""

from __future__ import annotations

import hmac
import stat
from hashlib import sha256
from pathlib import Path

from monitor.errors import Failure

__all__ = ["Pseudonyms", "load_key"]

_LEAST_KEY_BYTES = 32  # as long as the hash: what RFC 2104 advises
_BYTES = 16


def load_key(path: Path) -> bytes:
    """Return the key that a file holds: one line of 64 or more hexadecimal digits.

    Raises Failure, never with the content, where the file cannot be read, is readable by everybody, or holds no key.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read the pseudonym key {path}: {getattr(error, 'strerror', None) or 'it is not text'}"
        raise Failure(msg) from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        msg = f"the pseudonym key {path} is open to every user of this machine: chmod o= {path}"
        raise Failure(msg)
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) < _LEAST_KEY_BYTES:
        msg = f"the pseudonym key {path} should be one line of 64 hexadecimal digits or more: openssl rand -hex 32"
        raise Failure(msg)
    return key


class Pseudonyms:
    """Gives a patient's pseudonym; holds the key and shows it nowhere."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Pseudonyms()"

    def of(self, patient_id: str) -> str:
        """Return the pseudonym of an id, which is taken as it is: `007` and `7` are two patients."""
        return hmac.digest(self._key, patient_id.encode(), sha256)[:_BYTES].hex()
