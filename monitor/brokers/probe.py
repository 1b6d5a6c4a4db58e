"""Asks a broker on loopback for its metadata, in Kafka's own protocol: a port that is merely open proves nothing."""

from __future__ import annotations

import socket
import struct

__all__ = ["answers", "free_port"]

_METADATA = 3
_VERSION = 1  # served by every broker from 0.10 to 4.x
_CORRELATION = 7411
_NO_TOPICS = 0
_LARGEST_ANSWER = 1_000_000


def answers(address: str, *, timeout: float = 2.0) -> bool:
    """Return whether a Kafka broker at host:port answers a metadata request and counts at least one live broker."""
    host, _, port = address.rpartition(":")
    client = b"sepsis-monitor"
    header = struct.pack(f">hhih{len(client)}s", _METADATA, _VERSION, _CORRELATION, len(client), client)
    body = header + struct.pack(">i", _NO_TOPICS)
    try:
        with socket.create_connection((host, int(port)), timeout=timeout) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _exactly(connection, 4))
            if not 8 <= size <= _LARGEST_ANSWER:  # noqa: PLR2004 - two 32-bit integers, the least of an answer
                return False
            correlation, brokers = struct.unpack(">ii", _exactly(connection, size)[:8])
    except (OSError, EOFError):
        return False
    return bool(correlation == _CORRELATION and brokers >= 1)


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def free_port(*, preferred: int = 0, avoid: int = 0) -> int:
    """Return `preferred` if it can be bound on loopback now, else a port that the system picks, but not `avoid`."""
    for port in (preferred, 0, 0, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            found = int(listener.getsockname()[1])
            if found != avoid:
                return found
    msg = "no free port on 127.0.0.1"
    raise OSError(msg)
