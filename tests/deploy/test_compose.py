"""The compose file is one by the specification, and its parts fit each other and the product. No engine runs here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from agents.topics import Topics
from monitor.cli import main
from tests.deploy.promql import DEPLOY, read_yaml
from tests.deploy.settings_named import accepted, unknown

_COMPOSE: dict[str, Any] = read_yaml(DEPLOY / "compose.yaml")
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_OURS = {name: service for name, service in _SERVICES.items() if service["image"].startswith("sepsis-monitor")}
_WORKERS = {name: service for name, service in _OURS.items() if name.startswith("worker-")}
_SCHEMA = Path(__file__).with_name(
    "compose-spec.json"
)  # compose-spec/compose-spec, schema/compose-spec.json, Apache-2.0


def test_it_is_a_compose_file() -> None:
    schema = json.loads(_SCHEMA.read_text())
    jsonschema.validate(_COMPOSE, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"worker": {"imagee": "x"}}}, schema)


@pytest.mark.parametrize("name", _OURS)
def test_a_program_starts_with_settings_that_there_are(name: str) -> None:
    variables = {key: str(value) for key, value in _OURS[name]["environment"].items()}
    assert unknown(variables) == []
    settings = accepted(variables)
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    command = _OURS[name].get("command", ["serve"])
    assert command[0] in main.list_commands(main.make_context("sepsis-monitor", ["config"]))


def test_every_worker_has_an_instance_of_its_own_and_a_target() -> None:
    instances = [service["environment"]["SEPSIS_MONITOR_WORKER__INSTANCE"] for service in _WORKERS.values()]
    assert instances == list(_WORKERS)
    targets = DEPLOY / "compose" / "targets"
    assert read_yaml(targets / "workers.yml") == [{"targets": [f"{name}:9464" for name in _WORKERS]}]
    assert {path.name for path in targets.iterdir()} == {
        path.name for path in (DEPLOY / "prometheus" / "targets").iterdir()
    }
    for path in targets.iterdir():
        for group in read_yaml(path):
            assert {target.partition(":")[0] for target in group["targets"]} <= set(_SERVICES), path.name


def test_images_are_pinned() -> None:
    for service in _SERVICES.values():
        tag = service["image"].partition(":")[2]
        assert tag not in {"", "latest"}


def test_nobody_has_rights_that_are_not_needed() -> None:
    for name, service in _SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only") or name == "kafka", name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_logs_do_not_fill_the_disk() -> None:
    for name, service in _SERVICES.items():
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name


def test_what_is_mounted_is_there() -> None:
    for service in _SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), volume
            else:
                assert source in _COMPOSE["volumes"], volume


def test_partitions_suffice_for_the_workers() -> None:
    settings = accepted({key: str(value) for key, value in _OURS["worker-1"]["environment"].items()})
    assert settings.topics.partitions >= len(_WORKERS)
    assert Topics(settings.topics.prefix).observations == "vitals.observations.v1"
