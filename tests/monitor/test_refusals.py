"""A refusal is told as the right that is missing, and silence as silence."""

from __future__ import annotations

import pytest
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)

from monitor.refusals import why


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TopicAuthorizationFailedError({"b", "a"}), "the cluster refuses this user Read of the topic a, b: "),
        (TopicAuthorizationFailedError("a"), "the cluster refuses this user Read of the topic a: "),
        (TopicAuthorizationFailedError(), "the cluster refuses this user Read of the topic it needs: "),
        (GroupAuthorizationFailedError("g"), "the cluster refuses this user Read of the group g: "),
        (ClusterAuthorizationFailedError(), "the cluster refuses this user what it asks (ClusterAuthoriz"),
        (SaslAuthenticationFailedError(), "the cluster refuses this user's credentials: check kafka.sasl_plain_user"),
        (KafkaTimeoutError("60 s"), "the cluster does not answer: KafkaTimeoutError"),
    ],
)
def test_it_says_what_to_mend(error: KafkaError, expected: str) -> None:
    said = why(error, "subscriber")
    assert said.startswith(expected)
    assert ("topics acls --role subscriber" in said) == ("Authorization" in type(error).__name__)
