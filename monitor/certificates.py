"""When the certificates expire by which a program connects to Kafka: read from the files, and shown as a metric.

Python's own ssl module tells of a certificate in a file only where it is an authority's, and of a client's never: so
the one field is read here, as RFC 5280 writes it in DER.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Gauge

from monitor.catalogue import CERTIFICATE_EXPIRY
from monitor.sections import KafkaSettings

__all__ = ["expiries", "first_expiry", "show_expiries"]

_log = structlog.get_logger(__name__)
_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_PIVOT = 50  # years of two digits from here on are of the last century


def show_expiries(registry: CollectorRegistry, kafka: KafkaSettings) -> None:
    """Put the metric into a registry, of the files as they are now: a program loads them when it connects first."""
    gauge = Gauge(CERTIFICATE_EXPIRY.name, CERTIFICATE_EXPIRY.meaning, CERTIFICATE_EXPIRY.labels, registry=registry)
    for name, seconds in expiries(kafka).items():
        gauge.labels(name).set(seconds)


def expiries(kafka: KafkaSettings) -> Mapping[str, float]:
    """Return by `client` and `ca` when the first certificate of that file expires, seconds since 1970.

    A file that is not set, not used by the protocol, or cannot be read is left out: whether it is of use says whoever
    connects.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return {}
    found = {}
    for name, path in (("client", kafka.ssl_certfile), ("ca", kafka.ssl_cafile)):
        if path is None:
            continue
        try:
            found[name] = first_expiry(path)
        except (OSError, ValueError) as error:
            _log.warning("certificate_not_read", file=str(path), meaning=f"its expiry is not shown: {error}")
    return found


def first_expiry(path: Path) -> float:
    """Return when the first of a PEM file's certificates expires, seconds since 1970; raises OSError, ValueError."""
    some = [_not_after(ssl.PEM_cert_to_DER_cert(each)) for each in _PEM.findall(path.read_text(encoding="ascii"))]
    if not some:
        msg = "there is no certificate in it"
        raise ValueError(msg)
    return min(some)


def _not_after(der: bytes) -> float:
    """Return the end of a certificate's validity: version?, serial number, algorithm, issuer, then validity."""
    try:
        whole = _inside(der, 0, _SEQUENCE)
        at = _inside(der, whole, _SEQUENCE)
        if der[at] == _VERSION:
            at = _behind(der, at)
        at = _inside(der, _behind(der, _behind(der, _behind(der, at, _INTEGER), _SEQUENCE), _SEQUENCE), _SEQUENCE)
        end = _behind(der, at)
        tag, start, stop = _element(der, end)
    except IndexError:
        msg = "a certificate ends too soon"
        raise ValueError(msg) from None
    return _seconds(tag, der[start:stop].decode("ascii"))


def _seconds(tag: int, text: str) -> float:
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _PIVOT else "20") + text
    elif tag != _GENERALIZED_TIME:
        msg = "a certificate has no time where its validity should stand"
        raise ValueError(msg)
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of an element, and where its content starts and stops."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[at + 2 : start], "big")
    if start + length > len(der):
        raise IndexError
    return der[at], start, start + length


def _inside(der: bytes, at: int, tag: int) -> int:
    return _expected(_element(der, at), tag)[1]


def _behind(der: bytes, at: int, tag: int | None = None) -> int:
    return _expected(_element(der, at), tag)[2]


def _expected(element: tuple[int, int, int], tag: int | None) -> tuple[int, int, int]:
    if tag is not None and element[0] != tag:
        msg = "it is not built as a certificate is"
        raise ValueError(msg)
    return element
