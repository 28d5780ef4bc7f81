"""What an operator copies from deploy/: valid by schema, closed by default, and ended in the right order.

The engines are not here: no image is pulled, no cluster asked, no unit started. docs/operators.md says so.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from support.components import IN_CI, component
from tracefuse.tools import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COLLECTOR = (ROOT / "otel-collector.yaml").read_text(encoding="utf-8")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def read(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


def needs(package: str) -> pytest.MarkDecorator:
    found = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not found and not IN_CI, reason=f"needs {package}: pip install --group deploy")


COMPOSE = read("compose/compose.yaml")
DEPLOYMENT = read("kubernetes/deployment.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINERS = [*POD["initContainers"], *POD["containers"]]


@needs("check_jsonschema")
def test_the_compose_file_follows_the_specification() -> None:
    schema = (files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text(encoding="utf-8")
    assert [error.message for error in Draft7Validator(json.loads(schema)).iter_errors(COMPOSE)] == []


def test_compose_publishes_on_loopback_only_and_pins_what_it_pulls() -> None:
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        tag = service["image"].partition(":")[2]
        assert re.match(r"v?\d+\.\d+", tag) or service["image"] == "tracefuse:local", name


def test_compose_mounts_what_is_there() -> None:
    sources = [
        volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", ())
    ]
    assert {source for source in sources if not source.startswith(".")} == set(COMPOSE["volumes"])
    assert all((DEPLOY / "compose" / source).exists() for source in sources if source.startswith("."))
    copied = re.findall(
        r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", (DEPLOY / "compose/Dockerfile").read_text(), re.MULTILINE
    )
    assert all((ROOT / name).exists() for line in copied for name in line.split())
    kept = (DEPLOY / "compose/Dockerfile.dockerignore").read_text().split("\n!")[1:]
    assert {name for line in copied for name in line.split()} == {name.split("\n")[0] for name in kept}


def test_the_collector_outlives_the_service_in_compose() -> None:
    services = COMPOSE["services"]
    assert services["tracefuse"]["depends_on"]["collector"]["condition"] == "service_started"
    endpoint = services["tracefuse"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert endpoint == f"http://collector:{services['collector']['environment']['OTELCOL_OTLP_GRPC'].split(':')[1]}"


def test_prometheus_in_compose_scrapes_what_the_shipped_one_does() -> None:
    shipped = (DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8").replace("127.0.0.1:", "collector:")
    assert read("compose/prometheus.yml") == yaml.safe_load(shipped)


@component("promtool")
@pytest.mark.parametrize("path", ["compose/prometheus.yml", "prometheus/prometheus.yml"])
def test_prometheus_accepts_its_configuration(path: str, tmp_path: Path) -> None:
    # With the rules beside it, as the guide has it.
    shutil.copy(DEPLOY / path, tmp_path / "prometheus.yml")
    shutil.copytree(ROOT / "telemetry/rules", tmp_path / "rules")
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 rule files found" in checked.stdout


@component("kubectl")
@needs("kubernetes_validate")
def test_what_kustomize_makes_follows_the_schemas_of_kubernetes() -> None:
    import kubernetes_validate

    command = ["kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", str(DEPLOY / "kubernetes")]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    documents = list(yaml.safe_load_all(made.stdout))
    assert {one["kind"] for one in documents} == {"ConfigMap", "Deployment", "PersistentVolumeClaim", "Service"}
    for document in documents:
        for version in ("1.29", "1.33"):
            kubernetes_validate.validate(document, version, strict=True)
    (held,) = [one["data"]["otel-collector.yaml"] for one in documents if one["kind"] == "ConfigMap"]
    assert held == COLLECTOR


def test_the_collector_is_a_native_sidecar_and_the_time_to_end_is_enough_for_both() -> None:
    (collector,), (service,) = POD["initContainers"], POD["containers"]
    assert (collector["name"], collector["restartPolicy"]) == ("collector", "Always")
    environment = {one["name"]: one.get("value") for one in service["env"]}
    asked = int(environment["TRACEFUSE_SERVE_GRACE"]) + int(environment["TRACEFUSE_TELEMETRY_SHUTDOWN_DEADLINE"])
    assert POD["terminationGracePeriodSeconds"] >= asked + 20


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container["name"])
def test_containers_are_confined_and_watched(container: dict[str, Any]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert POD["securityContext"]["runAsNonRoot"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts <= {volume["name"] for volume in POD["volumes"]}


def test_the_service_in_front_of_the_pod_names_ports_that_it_has() -> None:
    named = {port["name"] for container in CONTAINERS for port in container["ports"]}
    assert {port["targetPort"] for port in read("kubernetes/service.yaml")["spec"]["ports"]} <= named
    scraped = {end["port"] for end in read("kubernetes/service-monitor.yaml")["spec"]["endpoints"]}
    assert scraped == {"metrics", "otelcol"}


@component("systemd-analyze")
def test_the_units_are_accepted_by_systemd(tmp_path: Path) -> None:
    for unit in UNITS:
        text = re.sub(r"(?m)^(Exec\w+)=/(usr/local|opt/tracefuse)/bin/\S+", r"\1=/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "Failed to" in checked.stderr and "No such file" in checked.stderr:
        pytest.skip(f"systemd-analyze cannot look at units here: {checked.stderr.strip()}")
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@component("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_are_confined(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    rated = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unrecognized option" in rated.stderr:
        pytest.skip("this systemd-analyze is older than 250")
    assert rated.returncode == 0, rated.stdout + rated.stderr


def test_the_service_is_started_after_the_collector_and_so_ended_before_it() -> None:
    service = (DEPLOY / "systemd/tracefuse.service").read_text(encoding="utf-8")
    assert re.search(r"(?m)^After=.*tracefuse-collector\.service", service)
    assert re.search(r"(?m)^Wants=.*tracefuse-collector\.service", service)


def test_every_variable_in_the_examples_is_one_that_is_read() -> None:
    settings = {
        f"TRACEFUSE_{name}_{part}".upper()
        for name, group in Settings.model_fields.items()
        for part in getattr(type(group.default), "model_fields", ())
    } | {f"TRACEFUSE_{name}".upper() for name in Settings.model_fields}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.parent.name in {"compose", "kubernetes", "systemd"}:
            text = path.read_text(encoding="utf-8")
            assert set(re.findall(r"\bTRACEFUSE_[A-Z]+_[A-Z_]*[A-Z]\b", text)) <= settings, path
            assert [
                name for name in re.findall(r"\bOTELCOL_[A-Z_]*[A-Z]\b", text) if f"env:{name}" not in COLLECTOR
            ] == []
