"""What Apache Kafka's tools are given."""

from __future__ import annotations

import base64
import uuid

from monitor.brokers.apache import new_cluster_id


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    dashed, plain = uuid.UUID(int=0xF8 << 120), uuid.UUID(int=0x11 << 120)
    assert base64.urlsafe_b64encode(dashed.bytes).startswith(b"-")
    draws = iter([dashed, dashed, plain])
    found = new_cluster_id(lambda: next(draws))
    assert base64.urlsafe_b64decode(found + "==") == plain.bytes
