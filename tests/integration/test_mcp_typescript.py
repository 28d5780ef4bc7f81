"""Another implementation of the protocol, the TypeScript SDK, against the real service over both transports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import environment
from support.components import component
from support.mcp_service import patient_nmap
from support.mcp_stdio import SERVE
from support.mcp_typescript import install, run_client
from support.service_process import Service, serving

pytestmark = component("node")


@pytest.fixture(scope="module")
def client() -> Path:
    """The folder of the client."""
    return install()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service that agents reach over HTTP, whose nmap takes two seconds."""
    env = environment(tmp_path / "cache", TRACEFUSE_NMAP_PATH=patient_nmap(tmp_path), TRACEFUSE_SERVE_MCP="http")
    with serving(env) as running:
        yield running


def check(seen: dict[str, Any], era: str) -> None:
    assert (seen["era"], seen["server"]["name"], len(seen["tools"])) == (era, "tracefuse", 10)
    assert seen["progress"][-1] == 100 and seen["progress"] == sorted(set(seen["progress"]))
    assert (seen["found"]["state"], seen["found"]["hosts"][0]["name"]) == ("completed", "web.lab.internal")
    assert seen["refused"]["isError"] is True
    assert seen["refused"]["error"]["rule"] == "target.network"
    assert (seen["document"], seen["unknown"], seen["cancelled"]) == ("tracefuse.scan/1", -32602, True)
    assert seen["states"][-2:] == ["refused", "completed"]


@pytest.mark.parametrize(("mode", "era"), [("auto", "modern"), ("legacy", "legacy")])
def test_over_http(client: Path, service: Service, mode: str, era: str) -> None:
    check(run_client(client, mode, "http", f"{service.url}/mcp"), era)


@pytest.mark.parametrize(("mode", "era"), [("auto", "modern"), ("legacy", "legacy")])
def test_over_standard_input(client: Path, tmp_path: Path, mode: str, era: str) -> None:
    env = environment(tmp_path / "cache", TRACEFUSE_NMAP_PATH=patient_nmap(tmp_path))
    check(run_client(client, mode, "stdio", *SERVE, env=env), era)


def test_the_tasks_extension_by_its_own_package(client: Path, service: Service) -> None:
    seen = run_client(client, "tasks", "http", f"{service.url}/mcp")
    assert seen["kind"] == "task"
    assert (seen["found"]["state"], seen["found"]["ports_open"]) == ("completed", 1)
    assert not seen.get("isError")
    assert "cancel" in str(seen["after"]).lower()
