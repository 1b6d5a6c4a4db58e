"""CloudEvents 1.0 headers in binary mode, as the Kafka protocol binding has them: `ce_` attributes and content-type."""

from __future__ import annotations

__all__ = ["SOURCE", "headers"]

SOURCE = "/sepsis-monitor"  # of what the service itself says

_CONTENT_TYPE = ("content-type", b"application/json")


def headers(*, event_id: str, event_type: str, source: str, time: str, subject: str) -> list[tuple[str, bytes]]:
    """Return the headers of one event; `time` is RFC 3339, `subject` a pseudonym."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", time.encode()),
        ("ce_subject", subject.encode()),
        _CONTENT_TYPE,
    ]
