"""The program itself: help, version, failures, and the configuration it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli import main
from monitor.version import VERSION

PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - the one that must not be printed


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=dict(environment), prog_name="sepsis-monitor")


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"sepsis-monitor {VERSION}\n")


def test_every_command_has_help_with_an_example() -> None:
    names = main.list_commands(main.make_context("sepsis-monitor", ["config"]))
    assert {"broker", "config", "serve", "topics"} <= set(names)
    for name in names:
        result = run(name, "--help")
        assert result.exit_code == 0, name
        assert "Example" in result.stdout, name


@pytest.mark.parametrize("arguments", [("nonsense",), ("config", "--nonsense"), ("--log-level", "loud", "config"), ()])
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_failure_is_one_line_on_stderr_and_1(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    result = run("--config", str(missing), "config")
    assert (result.exit_code, result.stdout) == (1, "")
    expected = f"sepsis-monitor: cannot read the configuration file {missing}: No such file or directory\n"
    assert result.stderr == expected


def test_the_file_may_be_named_by_the_environment_and_the_option_wins(tmp_path: Path) -> None:
    named, given = tmp_path / "named.toml", tmp_path / "given.toml"
    named.write_text("[http]\nport = 9001\n")
    given.write_text("[http]\nport = 9002\n")
    for more, port in (((), 9001), (("--config", str(given)), 9002)):
        result = run(*more, "config", SEPSIS_MONITOR_CONFIG=str(named))
        assert tomllib.loads(result.stdout)["http"]["port"] == port
    missing = run("config", SEPSIS_MONITOR_CONFIG=str(tmp_path / "missing.toml"))
    assert (missing.exit_code, missing.stdout) == (1, "")


@pytest.mark.parametrize("arguments", [("canary", "--once"), ("forget", "p1", "--yes")])
def test_what_would_speak_of_nobody_refuses_without_a_cluster(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*arguments, SEPSIS_MONITOR_BROKER__DATA_DIR=str(tmp_path), SEPSIS_MONITOR_CONFIG="")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert "no cluster is configured" in line
    assert "SEPSIS_MONITOR_CONFIG" in line
    assert not (tmp_path / "broker.json").exists()


def test_the_configuration_in_force_is_toml_that_means_the_same_again(tmp_path: Path) -> None:
    first = run("--log-level", "error", "config", SEPSIS_MONITOR_TOPICS__PREFIX="ward-1.")
    assert first.exit_code == 0
    assert tomllib.loads(first.stdout)["topics"]["prefix"] == "ward-1."
    assert 'level = "error"  # command line' in first.stdout
    assert "# environment variable SEPSIS_MONITOR_TOPICS__PREFIX" in first.stdout
    again = tmp_path / "again.toml"
    again.write_text(first.stdout)
    second = run("--config", str(again), "config")
    assert tomllib.loads(second.stdout) == tomllib.loads(first.stdout)


def test_json_gives_each_key_with_its_source() -> None:
    result = run("config", "--json", SEPSIS_MONITOR_HTTP__PORT="0")
    content = json.loads(result.stdout)
    assert content["http"]["port"] == {"value": 0, "source": "environment variable SEPSIS_MONITOR_HTTP__PORT"}
    assert content["kafka"]["bootstrap_servers"] == {"value": None, "source": "default"}


def test_secrets_are_masked_wherever_they_come_from(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text(f"[kafka]\nsasl_plain_password = '{PASSWORD}'\n")
    for arguments in (("config",), ("config", "--json")):
        result = run("--config", str(config), *arguments, SEPSIS_MONITOR_KAFKA__SSL_PASSWORD=PASSWORD)
        assert result.exit_code == 0
        assert PASSWORD not in result.output
        assert result.stdout.count("********") == 2


def test_of_a_password_in_a_file_its_name_is_shown_alone(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    for arguments in (("config",), ("config", "--json")):
        result = run(*arguments, SEPSIS_MONITOR_KAFKA__SASL_PLAIN_PASSWORD_FILE=str(file))
        assert result.exit_code == 0
        assert str(file) in result.stdout
        assert PASSWORD not in result.output


def test_one_command_does_not_import_the_others() -> None:
    code = "import sys; from monitor.cli import main; main(['config'], standalone_mode=False); " + (
        "sys.exit(' '.join(m for m in ('faust', 'aiokafka', 'torch', 'polars') if m in sys.modules) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
