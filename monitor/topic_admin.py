"""Creates the public topics, and says what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from agents.topics import TopicSpec
from monitor.clients import admin
from monitor.errors import Failure, Unavailable
from monitor.settings import Settings

__all__ = ["TopicState", "create_topics", "plan_topics"]


@dataclass(frozen=True)
class TopicState:
    """One topic as it is on the cluster, against what it should be.

    Only the settings that `config` names are compared. What differs is told, not mended: an operator may well have
    chosen another retention.
    """

    name: str
    state: Literal["missing", "present", "created"]
    partitions: int  # as they are; of a missing one, as they will be
    replication_factor: int
    config: dict[str, str] = field(default_factory=dict)  # what it should be
    differs: dict[str, str] = field(default_factory=dict)  # setting to the value that the cluster has instead


def plan_topics(bootstrap: str, settings: Settings, specs: Sequence[TopicSpec]) -> tuple[TopicState, ...]:
    """Return the state of each topic of `specs`, in their order, without changing anything.

    Raises Failure where the cluster cannot be asked, or a topic has another number of partitions than configured.
    """
    client = admin(settings.kafka, bootstrap)
    try:
        return _plan(client, settings, specs)
    except KafkaError as error:
        msg = f"cannot read the topics of the cluster at {bootstrap}: {_words(error)}"
        raise Unavailable(msg) from error
    finally:
        client.close()


def create_topics(bootstrap: str, settings: Settings, specs: Sequence[TopicSpec]) -> tuple[TopicState, ...]:
    """Create what is missing of `specs`, wait until it can be used, and return the state of all, in their order.

    Repeated calls change nothing more. Raises Unavailable where the cluster refuses, and Failure where a topic that is
    there has another number of partitions than configured: patients would be owned by the wrong worker.
    """
    client = admin(settings.kafka, bootstrap)
    try:
        states = _plan(client, settings, specs)
        missing = [state for state in states if state.state == "missing"]
        if missing:
            _create(client, missing)
            client.wait_for_topics([state.name for state in missing], timeout_ms=30_000)
            # Others may have created them in the same moment, in another shape.
            states = _plan(client, settings, specs)
    except KafkaError as error:
        msg = f"cannot create the topics on the cluster at {bootstrap}: {_words(error)}"
        raise Unavailable(msg) from error
    finally:
        client.close()
    made = {state.name for state in missing}
    return tuple(_created(state) if state.name in made else state for state in states)


def _created(state: TopicState) -> TopicState:
    return TopicState(state.name, "created", state.partitions, state.replication_factor, state.config, state.differs)


def _create(client: Any, missing: Sequence[TopicState]) -> None:
    wanted = {
        state.name: {
            "num_partitions": state.partitions,
            "replication_factor": state.replication_factor,
            "configs": state.config,
        }
        for state in missing
    }
    answer = client.create_topics(wanted, raise_errors=False)
    for topic in answer["topics"]:
        error = for_code(topic["error_code"])
        if topic["error_code"] != 0 and error is not TopicAlreadyExistsError:
            reason = topic.get("error_message") or _words(error())
            msg = f"the cluster refused to create the topic {topic['name']}, which this user cannot see: {reason}"
            raise Unavailable(msg)


def _plan(client: Any, settings: Settings, specs: Sequence[TopicSpec]) -> tuple[TopicState, ...]:
    there = {topic["name"]: topic["partitions"] for topic in client.describe_topics() if topic["error_code"] == 0}
    present = [spec.name for spec in specs if spec.name in there]
    configs = _configs(client, present) if present else {}
    states = []
    for spec in specs:
        wanted = dict(spec.config)
        if spec.name not in there:
            copies = settings.topics.replication_factor
            states.append(TopicState(spec.name, "missing", _partitions(spec, settings), copies, wanted))
            continue
        partitions = there[spec.name]
        if len(partitions) != _partitions(spec, settings):
            raise Failure(_wrong_partitions(spec, len(partitions), settings))
        actual = configs.get(spec.name, {})
        differs = {key: actual[key] for key, value in wanted.items() if key in actual and actual[key] != value}
        states.append(
            TopicState(spec.name, "present", len(partitions), len(partitions[0]["replica_nodes"]), wanted, differs)
        )
    return tuple(states)


def _partitions(spec: TopicSpec, settings: Settings) -> int:
    return settings.topics.partitions if spec.partitions is None else spec.partitions


def _wrong_partitions(spec: TopicSpec, there: int, settings: Settings) -> str:
    if spec.partitions is not None:
        return (
            f"the topic {spec.name} has {there} partitions and must have {spec.partitions}: delete it, or use another "
            "topics.prefix"
        )
    return (
        f"the topic {spec.name} has {there} partitions and topics.partitions is "
        f"{settings.topics.partitions}: set it to {there}, or use another topics.prefix "
        "(partitions of a running system cannot be changed: they decide where a patient's log lies)"
    )


def _configs(client: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in names]
    described = client.describe_configs(resources, config_filter="all").get("topic", {})
    return {name: {key: str(entry["value"]) for key, entry in entries.items()} for name, entries in described.items()}


def _words(error: KafkaError) -> str:
    """Return the library's explanation, with the error's name first where it explains nothing."""
    text = str(error)
    name = type(error).__name__.removesuffix("Error")
    return text if name in text else f"{name} {text}".strip()
