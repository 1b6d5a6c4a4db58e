"""What a member of a consumer group is given; the followers themselves are tested as processes, by `alerts --group`."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import NewPartitions, NewTopic
from kafka.structs import MemberState

from monitor import clients
from monitor.group_follower import member_options, poll_group
from monitor.settings import load_settings
from tests.waiting import until


@pytest.mark.parametrize("poll_ms", [1, 5, 20])
def test_a_member_whose_rejoin_outlasts_a_poll_is_given_its_partitions(apache_kafka: str, poll_ms: int) -> None:
    """The client forgets a rejoin for new metadata that outlasts a poll: then no partition would ever come back."""
    topic, kafka = f"topic-{uuid.uuid4().hex}", load_settings(None, {}).kafka
    admin = clients.admin(kafka, apache_kafka)
    options: dict[str, Any] = {**member_options(topic, sole=False), "metadata_max_age_ms": 100}
    consumer = clients.consumer(kafka, apache_kafka, **options)
    try:
        admin.create_topics([NewTopic(topic, 1, 1)])
        consumer.subscribe([topic])
        for count in range(1, 6):
            if count > 1:
                admin.create_partitions({topic: NewPartitions(count)})
            wanted = {TopicPartition(topic, number) for number in range(count)}
            until(lambda: _given(consumer, poll_ms) == wanted, what=f"{count} partitions")  # noqa: B023
    finally:
        consumer.close(autocommit=False)
        admin.close()


def _given(consumer: Any, poll_ms: int) -> set[TopicPartition]:
    """Poll without a rest, as a follower does, and return what the member holds for good: nothing in a rejoin."""
    for _ in range(100 // poll_ms):
        poll_group(consumer, poll_ms)
    return consumer.assignment() if consumer.group_metadata().state == MemberState.STABLE else set()
