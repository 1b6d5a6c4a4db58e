"""Names and settings of the eight public topics, as the contract has them."""

from __future__ import annotations

from agents.topics import CHANGELOG_CONFIG, Topics, topic_specs

NAMES = [
    "vitals.observations.v1",
    "stays.admissions.v1",
    "risk.scores.v1",
    "alerts.events.v1",
    "alerts.state.v1",
    "alerts.commands.v1",
    "vitals.rejected.v1",
    "budgets.thresholds.v1",
]
COMPACTED = {"stays.admissions.v1", "risk.scores.v1", "alerts.state.v1", "budgets.thresholds.v1"}


def test_the_names_are_those_of_the_contract() -> None:
    assert [spec.name for spec in topic_specs(Topics())] == NAMES


def test_the_prefix_goes_before_every_name() -> None:
    assert [spec.name for spec in topic_specs(Topics("icu-7."))] == ["icu-7." + name for name in NAMES]


def test_every_property_has_a_topic() -> None:
    topics = Topics("x.")
    properties = [name for name, value in vars(Topics).items() if isinstance(value, property)]
    assert {getattr(topics, name) for name in properties} == {spec.name for spec in topic_specs(topics)}


def test_thresholds_stand_in_one_partition_and_the_rest_is_spread_as_configured() -> None:
    assert {spec.name: spec.partitions for spec in topic_specs(Topics()) if spec.partitions} == {
        "budgets.thresholds.v1": 1
    }


def test_latest_values_are_compacted_and_histories_kept_by_time() -> None:
    for spec in topic_specs(Topics()):
        compacted = spec.config["cleanup.policy"] == "compact"
        assert compacted == (spec.name in COMPACTED)
        assert ("retention.ms" in spec.config) != compacted


def test_what_is_refused_is_kept_longer_and_may_be_larger_than_what_came() -> None:
    configs = {spec.name: spec.config for spec in topic_specs(Topics())}
    came, refused = configs["vitals.observations.v1"], configs["vitals.rejected.v1"]
    assert int(refused["retention.ms"]) > int(came["retention.ms"])
    assert int(refused["max.message.bytes"]) > int(came["max.message.bytes"])
    assert int(configs["alerts.events.v1"]["retention.ms"]) >= 365 * 86_400_000


def test_an_admission_outlives_an_outage_of_the_workers_as_the_log_does() -> None:
    configs = {spec.name: spec.config for spec in topic_specs(Topics())}
    kept = int(configs["stays.admissions.v1"]["min.compaction.lag.ms"])
    assert kept >= int(configs["vitals.observations.v1"]["retention.ms"])


def test_what_is_erased_is_gone_by_a_day_that_can_be_named() -> None:
    for spec in topic_specs(Topics()):
        if spec.name == "budgets.thresholds.v1":
            continue  # nothing of a patient
        assert int(spec.config["segment.ms"]) <= 7 * 86_400_000
        if spec.config["cleanup.policy"] == "compact":
            least, most = (int(spec.config.get(f"{one}.compaction.lag.ms", 0)) for one in ("min", "max"))
            assert least < most <= 15 * 86_400_000
    assert int(CHANGELOG_CONFIG["min.compaction.lag.ms"]) < int(CHANGELOG_CONFIG["max.compaction.lag.ms"])


def test_what_is_read_from_its_beginning_stays_short() -> None:
    configs = {spec.name: spec.config for spec in topic_specs(Topics())}
    for config in (configs["risk.scores.v1"], configs["alerts.state.v1"], CHANGELOG_CONFIG):
        assert config["cleanup.policy"] == "compact"
        longest_seconds = (int(config["segment.ms"]) + int(config.get("min.compaction.lag.ms", 0))) / 1000
        assert longest_seconds <= 30 * 60  # 20,000 patients, 3 kB a minute each: 1.8 GB
