"""The manifests are Kubernetes' by its own schemas, and fit each other and the product. No cluster runs here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from monitor.access import ROLES
from monitor.cli import main
from monitor.settings import SettingsError
from tests.deploy.promql import DEPLOY, read_yaml
from tests.deploy.settings_named import accepted, unknown
from tests.prometheus import tool

_FOLDER = DEPLOY / "kubernetes"
_KUSTOMIZATION: dict[str, Any] = read_yaml(_FOLDER / "kustomization.yaml")
_MANIFESTS = [path for path in sorted(_FOLDER.glob("*.yaml")) if path.name != "kustomization.yaml"]
_VERSIONS = ("1.31", "1.34", "1.37")


def _documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


_ALL = [document for path in _MANIFESTS for document in _documents(path)]
_PODS = {
    document["metadata"]["name"]: document["spec"]["template"]
    for document in _ALL
    if "template" in document.get("spec", {})
}


def _validate(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        for version in _VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("path", _MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_one_by_the_schemas_of_kubernetes(path: Path) -> None:
    _validate(_documents(path))


def test_a_wrong_key_is_found() -> None:
    (account,) = _documents(_FOLDER / "serviceaccount.yaml")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**account, "automountToken": False}, _VERSIONS[0], strict=True)


def test_kustomize_builds_them() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl")
    built = subprocess.run(
        [kubectl, "kustomize", str(_FOLDER)], capture_output=True, text=True, timeout=60, check=False
    )
    assert built.returncode == 0, built.stderr
    documents = [document for document in yaml.safe_load_all(built.stdout) if document]
    _validate(documents)
    images = {
        container["image"]
        for document in documents
        if "template" in document.get("spec", {})
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"sepsis-monitor:0.1.0"}


def test_every_manifest_is_a_resource_but_what_not_everybody_wants() -> None:
    assert {*_KUSTOMIZATION["resources"], "notify.yaml", "budget.yaml"} == {path.name for path in _MANIFESTS}


def test_the_configuration_loads() -> None:
    settings = accepted({"SEPSIS_MONITOR_KAFKA__SASL_PLAIN_USERNAME": "x"}, _FOLDER / "sepsis-monitor.toml")
    assert settings.http.port == 9464
    assert settings.topics.replication_factor == 3
    replicas = [document["spec"]["replicas"] for document in _ALL if document["kind"] == "StatefulSet"]
    assert max(replicas) <= settings.topics.partitions


@pytest.mark.parametrize("name", _PODS)
def test_a_pod_has_settings_that_there_are_and_few_rights(name: str) -> None:
    pod = _PODS[name]["spec"]
    (container,) = pod["containers"]
    assert unknown(variable["name"] for variable in container["env"]) == []
    command = container["args"][0]
    assert command in main.list_commands(main.make_context("sepsis-monitor", ["config"]))
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    (file,) = [Path(one["value"]) for one in container["env"] if one["name"] == "SEPSIS_MONITOR_CONFIG"]
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == str(file.parent)]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    (made,) = _KUSTOMIZATION["configMapGenerator"]
    assert (volume["configMap"]["name"], made["files"]) == (made["name"], [file.name])
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claimed = set() if name == "sepsis-monitor-budget" else {"state"}
    assert {volume["name"] for volume in pod["volumes"]} | claimed == mounted
    assert _PODS[name]["metadata"]["labels"]["sepsis-monitor/uses-kafka"] == "true"


def test_what_kubernetes_says_of_a_service_would_be_taken_for_a_setting() -> None:
    """Hence `enableServiceLinks`: such variables come with any Service called sepsis-monitor-kafka-bootstrap."""
    with pytest.raises(SettingsError, match="SEPSIS_MONITOR_KAFKA_BOOTSTRAP_SERVICE_HOST names no setting"):
        accepted({"SEPSIS_MONITOR_KAFKA_BOOTSTRAP_SERVICE_HOST": "10.0.0.7"})


@pytest.mark.parametrize("name", _PODS)
def test_a_pod_has_its_password_in_a_file(name: str) -> None:
    pod = _PODS[name]["spec"]
    (container,) = pod["containers"]
    variables = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    assert not [variable for variable in variables if variable.endswith("PASSWORD")]
    settings = accepted({**variables, "SEPSIS_MONITOR_WORKER__INSTANCE": "w"}, _FOLDER / "sepsis-monitor.toml")
    file = settings.kafka.sasl_plain_password_file
    assert file is not None
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == str(file.parent)]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    (item,) = volume["secret"]["items"]
    assert item["path"] == file.name
    assert settings.kafka.sasl_plain_username == f"sepsis-{item['key']}"
    assert item["key"] in ROLES


def test_a_worker_has_its_pods_name_and_is_asked_how_it_is() -> None:
    (container,) = _PODS["sepsis-monitor-worker"]["spec"]["containers"]
    named = {variable["name"]: variable.get("valueFrom") for variable in container["env"]}
    assert named["SEPSIS_MONITOR_WORKER__INSTANCE"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_nothing_secret_is_written_here() -> None:
    assert not [document for document in _ALL if document["kind"] == "Secret"]


def _as_discovered(name: str, phase: str) -> dict[str, Any]:
    """Return what Prometheus' discovery says of a pod of a manifest, as a target that needs no cluster."""
    template = _PODS[name]
    (container,) = template["spec"]["containers"]
    (port,) = container.get("ports", [{"name": "", "containerPort": 80}])
    said = {
        "pod_label_app_kubernetes_io_name": template["metadata"]["labels"]["app.kubernetes.io/name"],
        "pod_container_port_name": port["name"],
        "pod_phase": phase,
        "pod_name": f"{name}-0",
    }
    labels = {f"__meta_kubernetes_{key}": value for key, value in said.items()}
    return {"targets": [f"{name}.{phase.lower()}:{port['containerPort']}"], "labels": labels}


def test_prometheus_in_the_cluster_scrapes_each_pod_under_the_job_that_rules_go_by(tmp_path: Path) -> None:
    """Debian's Prometheus knows no discovery of Kubernetes: the relabelling is its own, the pods are told to it."""
    scraping = read_yaml(DEPLOY / "prometheus" / "kubernetes.yml")
    (job,) = scraping["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": [_KUSTOMIZATION["namespace"]]}}]
    job["static_configs"] = [_as_discovered(name, phase) for name in _PODS for phase in ("Running", "Failed")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(scraping))
    found = subprocess.run(
        [tool("promtool"), "check", "service-discovery", "--timeout=2s", "prometheus.yml", job["job_name"]],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    scraped = [one["labels"] for one in json.loads(found.stdout) if one["labels"]]
    machines = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert sorted(labels["job"] for labels in scraped) == sorted(one["job_name"] for one in machines)
    assert {labels["instance"] for labels in scraped} == {f"{name}-0" for name in _PODS} - {"sepsis-monitor-topics-0"}
    assert all(labels["__address__"].endswith(".running:9464") for labels in scraped)
