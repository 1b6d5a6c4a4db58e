"""Answers of a broker in trouble: a request as it came, and the response that carries an error code."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

from aiokafka.protocol import commit, group, produce

__all__ = ["Asked", "refusal"]

_REQUESTS: dict[int, tuple[str, Any]] = {
    0: ("Produce", produce),
    8: ("OffsetCommit", commit),
    12: ("Heartbeat", group),
}


@dataclass(frozen=True)
class Asked:
    """One request on the wire."""

    api: int
    version: int
    correlation: int
    frame: bytes

    def names(self, topic: str) -> bool:
        """Tell whether a topic's name is in the request."""
        return topic.encode() in self.frame


def refusal(asked: Asked, code: int) -> bytes:
    """Return the response frame that refuses everything in the request with an error code."""
    name, module = _REQUESTS[asked.api]
    body = io.BytesIO(asked.frame)
    body.seek(8)
    (length,) = struct.unpack(">h", body.read(2))
    body.seek(max(length, 0), io.SEEK_CUR)  # the client's id
    response = getattr(module, f"{name}Response_v{asked.version}")
    values: dict[str, Any] = {"throttle_time_ms": 0, "error_code": code}
    if asked.api != 12:
        request = getattr(module, f"{name}Request_v{asked.version}").decode(body)
        values["topics"] = [
            (topic[0], [_refused(response, part[0], code) for part in topic[1]]) for topic in request.topics
        ]
    encoded: bytes = response(*[values[field] for field in response.SCHEMA.names]).encode()
    return struct.pack(">i", asked.correlation) + encoded


def _refused(response: Any, partition: int, code: int) -> tuple[Any, ...]:
    """Return one partition's part of a response in the shape that this version has."""
    topics = dict(zip(response.SCHEMA.names, response.SCHEMA.fields, strict=True))["topics"]
    parts = topics.array_of.fields[1].array_of
    known = {"partition": partition, "error_code": code, "offset": -1, "timestamp": -1, "log_start_offset": -1}
    return tuple(known.get(name, [] if name == "record_errors" else None) for name in parts.names)
