"""The collector accepts its configuration with what each way of running it sets: Compose, Kubernetes, systemd."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.collector import CONFIGURATION, ROOT, isolated

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)


def of_compose() -> dict[str, str]:
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text(encoding="utf-8"))
    return dict(compose["services"]["collector"]["environment"])


def of_kubernetes() -> dict[str, str]:
    deployment = yaml.safe_load((ROOT / "deploy/kubernetes/deployment.yaml").read_text(encoding="utf-8"))
    (collector,) = deployment["spec"]["template"]["spec"]["initContainers"]
    return {one["name"]: one["value"] for one in collector["env"]}


def of_systemd() -> dict[str, str]:
    unit = (ROOT / "deploy/systemd/tracefuse-collector.service").read_text(encoding="utf-8")
    words = " ".join(re.findall(r"(?m)^Environment=(.*)$", unit)).replace("%S", "/var/lib").split()
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize("variables", [of_compose, of_kubernetes, of_systemd], ids=lambda source: source.__name__)
def test_the_collector_accepts_what_is_set(
    collector_binary: Path, variables: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    env = {key: value for key, value in variables().items() if key != "OTELCOL_STORAGE_DIR"}
    assert env
    checked = subprocess.run(
        [collector_binary, "validate", "--config", CONFIGURATION],
        env=isolated(env | {"OTELCOL_STORAGE_DIR": str(tmp_path)}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (0, "")
