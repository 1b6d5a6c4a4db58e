"""Creating topics on both brokers, again and again, and beside topics that are not as they should be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agents.topics import Topics, TopicSpec, topic_specs
from monitor.clients import admin
from monitor.errors import Failure
from monitor.settings import load_settings
from monitor.topic_admin import create_topics, plan_topics
from tests.brokers import ENGINES


@pytest.fixture(params=ENGINES)
def bootstrap(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue({"embedded": "embedded_kafka", "kafka": "apache_kafka"}[request.param]))


def test_topics_are_created_once_as_they_are_specified(bootstrap: str) -> None:
    settings = load_settings(None, {"topics.partitions": 3})
    specs = topic_specs(Topics("made."))
    assert {state.state for state in plan_topics(bootstrap, settings, specs)} == {"missing"}
    first = create_topics(bootstrap, settings, specs)
    assert [state.name for state in first] == [spec.name for spec in specs]
    assert {state.state for state in first} == {"created"}
    second = create_topics(bootstrap, settings, specs)
    assert {(state.state, state.partitions, state.replication_factor) for state in second[:-1]} == {("present", 3, 1)}
    assert (second[-1].name, second[-1].partitions) == ("made.budgets.thresholds.v1", 1)
    assert [state.differs for state in second] == [{}] * len(specs)


def test_another_number_of_partitions_is_refused(bootstrap: str) -> None:
    specs = [TopicSpec("shape.one", {})]
    create_topics(bootstrap, load_settings(None, {"topics.partitions": 2}), specs)
    for use in (create_topics, plan_topics):
        with pytest.raises(Failure, match=r"shape\.one has 2 partitions and topics.partitions is 5"):
            use(bootstrap, load_settings(None, {"topics.partitions": 5}), specs)


def test_another_setting_is_told_and_left_alone(bootstrap: str) -> None:
    settings = load_settings()
    create_topics(bootstrap, settings, [TopicSpec("told.one", {"retention.ms": "3600000"})])
    wanted: Mapping[str, str] = {"retention.ms": "7200000", "cleanup.policy": "delete"}
    for _ in range(2):
        (state,) = create_topics(bootstrap, settings, [TopicSpec("told.one", wanted)])
        assert (state.state, state.differs) == ("present", {"retention.ms": "3600000"})


def test_more_replicas_than_brokers_are_refused_in_one_line(bootstrap: str) -> None:
    settings = load_settings(None, {"topics.replication_factor": 3})
    with pytest.raises(Failure, match=r"create the topic many\.one, which .* see: .*replication factor") as caught:
        create_topics(bootstrap, settings, [TopicSpec("many.one", {})])
    assert "\n" not in str(caught.value)


def test_nothing_else_is_touched(bootstrap: str) -> None:
    settings = load_settings()
    create_topics(bootstrap, settings, [TopicSpec("ours.one", {})])
    client = admin(settings.kafka, bootstrap)
    before = set(client.list_topics())
    plan_topics(bootstrap, settings, topic_specs(Topics("absent.")))
    after = set(client.list_topics())
    client.close()
    assert before == after
