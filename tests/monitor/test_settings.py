"""Where settings come from, and what is said of those that cannot be used."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from monitor.cli import main
from monitor.settings import SettingsError, load, load_settings

HIDDEN = "correct horse battery staple"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


def refusal(config: Path, text: str, overrides: dict[str, object] | None = None) -> str:
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(config, overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert HIDDEN not in message
    return message


def test_a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().topics.partitions == 4
    config.write_text("[topics]\npartitions = 5\nprefix = 'a.'\n[http]\nport = 1")
    monkeypatch.setenv("SEPSIS_MONITOR_TOPICS__PARTITIONS", "6")
    monkeypatch.setenv("SEPSIS_MONITOR_HTTP__PORT", "2")
    loaded = load(config, {"topics.partitions": 7, "http.port": None})
    settings, sources = loaded.settings, loaded.sources
    assert (settings.topics.partitions, settings.http.port, settings.topics.prefix) == (7, 2, "a.")
    assert sources["topics.partitions"] == "command line"
    assert sources["http.port"] == "environment variable SEPSIS_MONITOR_HTTP__PORT"
    assert sources["topics.prefix"] == str(config)
    assert sources["worker.group"] == "default"


def test_an_empty_variable_counts_as_not_set(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[kafka]\nbootstrap_servers = 'a:1'")
    monkeypatch.setenv("SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS", "")
    assert load_settings(config).kafka.bootstrap_servers == "a:1"


def test_kafka_home_is_read_as_kafka_itself_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_HOME", "/opt/kafka")
    assert load_settings().broker.kafka_home == Path("/opt/kafka")
    monkeypatch.setenv("SEPSIS_MONITOR_BROKER__KAFKA_HOME", "/opt/other")
    assert load_settings().broker.kafka_home == Path("/opt/other")


def test_several_bootstrap_servers_may_be_an_array_or_one_string(config: Path) -> None:
    for text in ('["a:1", "b:2"]', '"a:1, b:2"'):
        config.write_text(f"[kafka]\nbootstrap_servers = {text}")
        assert load_settings(config).kafka.bootstrap_servers == "a:1,b:2"


def test_units_have_policy_files_of_their_own(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[policy]\nfile = '/a.toml'\n[policy.units]\nMICU = '~/m.toml'\n'Station 7 Süd' = 's.toml'")
    loaded = load(config)
    assert loaded.settings.policy.units == {"MICU": Path.home() / "m.toml", "Station 7 Süd": Path("s.toml")}
    assert loaded.sources["policy.units"] == str(config)
    monkeypatch.setenv("SEPSIS_MONITOR_POLICY__UNITS", '{"SICU": "x.toml"}')
    assert load_settings(config).policy.units == {"SICU": Path("x.toml")}
    printed = CliRunner().invoke(main, ["--config", str(config), "config"], catch_exceptions=False).stdout
    assert tomllib.loads(printed)["policy"]["units"] == {"SICU": "x.toml"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[http]\nport = 'x'", ["http.port", "a string", "integer"]),
        ("[http]\nport = true", ["http.port", "a boolean"]),
        ("[http]\nport = 70000", ["http.port", "an integer", "65535"]),
        ("[http]\nprt = 1", ["http.prt", "no such setting", "http.port"]),
        ("[htp]\nport = 1", ["htp", "no such setting"]),
        ("http = 1", ["http should be a section", "an integer"]),
        ("[kafka]\nsecurity_protocol = 'TLS'", ["kafka.security_protocol", "a string", "SASL_SSL"]),
        ("[kafka]\nsecurity_protocol = 'SASL_SSL'", ["kafka", "sasl_mechanism is needed"]),
        ("[kafka]\nsasl_plain_password = 'a'\nsasl_plain_password_file = '/a'", ["set one of them"]),
        ("[kafka]\nssl_password = 'a'\nssl_password_file = '/a'", ["ssl_password and ssl_password_file"]),
        (
            "[kafka]\nbootstrap_servers = 'user:hunter2@k:9092'",
            ["kafka.bootstrap_servers", "without a user, a password"],
        ),
        ("[kafka]\nbootstrap_servers = 'a:1,kafka://k:9092'", ["kafka.bootstrap_servers", "or a scheme"]),
        ("[kafka]\nbootstrap_servers = 'broker'", ["kafka.bootstrap_servers", "host:port"]),
        ("[kafka]\nssl_certfile = '/a'", ["ssl_certfile and ssl_keyfile belong together"]),
        ("[topics]\nprefix = 'a/b'", ["topics.prefix", "a string"]),
        ("[worker]\ninstance = ''", ["worker.instance", "a string"]),
        ("[policy]\nunits = ['a.toml']", ["policy.units", "an array"]),
        ("[policy.units]\nMICU = 7", ["policy.units", "an integer"]),
        (f"[policy.units]\n{'x' * 65} = 'a.toml'", ["policy.units", "64 bytes"]),
        ("[http\nport = 1", ["not valid TOML", "line 1"]),
    ],
)
def test_a_refusal_names_the_key_the_file_and_the_kind_of_the_value(
    config: Path, text: str, expected: list[str]
) -> None:
    message = refusal(config, text)
    assert str(config) in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    "text",
    [
        f"[kafka]\nsasl_plain_password = ['{HIDDEN}']",
        f"[kafka]\nsasl_plain_pasword = '{HIDDEN}'",
        f"[kafka]\nsasl_plain_password = '{HIDDEN}'\nsecurity_protocol = 'SASL_SSL'",
        f"[kafka]\nsasl_plain_password = '{HIDDEN}'\nsasl_plain_password_file = '/a'",
        f"[kafka]\nsasl_plain_password = {HIDDEN}",
        f"[kafka]\nsasl_plain_password = '{HIDDEN}'\nsasl_plain_password = '{HIDDEN}'",
        f"kafka = '{HIDDEN}'",
    ],
)
def test_no_refusal_shows_a_secret(config: Path, text: str) -> None:
    refusal(config, text)


@pytest.mark.parametrize("name", ["SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVER", "SEPSIS_MONITOR_KAFKA_BOOTSTRAP_SERVERS"])
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, HIDDEN)
    with pytest.raises(SettingsError, match=f"{name} names no setting; did you mean") as caught:
        load_settings()
    assert HIDDEN not in str(caught.value)


def test_a_refusal_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPSIS_MONITOR_TOPICS__PARTITIONS", "none")
    with pytest.raises(SettingsError, match="environment variable SEPSIS_MONITOR_TOPICS__PARTITIONS"):
        load_settings()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: No such file"):
        load_settings(tmp_path / "nowhere.toml")


def test_settings_do_not_change_and_do_not_show_secrets() -> None:
    settings = load_settings(None, {"kafka.sasl_plain_password": HIDDEN})
    with pytest.raises(ValidationError, match="frozen"):
        settings.topics.partitions = 9
    assert HIDDEN not in repr(settings)
    assert HIDDEN not in str(settings)
