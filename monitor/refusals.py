"""Why a cluster did not do what was asked, in words that say what to mend."""

from __future__ import annotations

from collections.abc import Iterable

from kafka.errors import (
    AuthorizationError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)

__all__ = ["why"]


def why(error: KafkaError, role: str, right: str = "Read") -> str:
    """Return one line: a right that is missing, of those that `role` of `monitor.access` has, or no answer.

    `right` is what was asked of topics, as Kafka names it.
    """
    mend = f"`sepsis-monitor topics acls --role {role}` prints the rights that it needs"
    if isinstance(error, TopicAuthorizationFailedError):
        return f"the cluster refuses this user {right} of the topic {_names(error) or 'it needs'}: {mend}"
    if isinstance(error, GroupAuthorizationFailedError):
        return f"the cluster refuses this user Read of the group {_names(error) or 'it needs'}: {mend}"
    if isinstance(error, ClusterAuthorizationFailedError | AuthorizationError):
        return f"the cluster refuses this user what it asks ({type(error).__name__}): {mend}"
    if isinstance(error, SaslAuthenticationFailedError):
        return "the cluster refuses this user's credentials: check kafka.sasl_plain_username and its password"
    return f"the cluster does not answer: {type(error).__name__}"


def _names(error: KafkaError) -> str:
    """Return what the library names beside the error: one name, or a set of them."""
    if not error.args:
        return ""
    said = error.args[0]
    names = [said] if isinstance(said, str) or not isinstance(said, Iterable) else sorted(map(str, said))
    return ", ".join(str(name) for name in names)
