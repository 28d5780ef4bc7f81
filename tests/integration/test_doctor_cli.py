"""`tracefuse doctor` as a user has it: where all is in order, where nmap is missing, with a broken configuration."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from support.cli import Ran, environment, script, tracefuse
from support.components import nmap_needed


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user without a configuration, and a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return environment(
        tmp_path / "cache", XDG_CONFIG_HOME=str(tmp_path / "config"), TRACEFUSE_SERVE_PORT=str(port), NO_PROXY="*"
    )


def checks(ran: Ran) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in ran.json["checks"]}


@nmap_needed
def test_a_machine_in_order_has_nothing_broken(env: dict[str, str]) -> None:
    ran = tracefuse("doctor", "--json", env=env)
    assert ran.code == 0, ran.out
    assert ran.json["verdict"] in {"fine", "doubtful"}
    found = checks(ran)
    assert found["nmap"]["verdict"] == "fine"
    assert found["nmap"]["message"].startswith("nmap 7.")
    assert {name for name, check in found.items() if check["verdict"] == "broken"} == set()
    assert {"configuration", "disk", "port", "clock", "telemetry", "extras", "history"} <= set(found)
    lines = tracefuse("doctor", env=env)
    assert lines.code == 0
    assert len(lines.out.splitlines()) >= len(found)
    assert "Traceback" not in lines.err


def test_a_missing_nmap_and_a_taken_port_are_broken_and_told_how_to_mend(tmp_path: Path, env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env |= {
            "TRACEFUSE_NMAP_PATH": str(tmp_path / "none"),
            "TRACEFUSE_SERVE_PORT": str(taken.getsockname()[1]),
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        }
        ran = tracefuse("doctor", "--json", env=env)
        text = tracefuse("doctor", env=env)
    assert (ran.code, ran.json["verdict"]) == (1, "broken")
    found = checks(ran)
    assert {name: check["verdict"] for name, check in found.items() if check["verdict"] != "fine"} == {
        "nmap": "broken",
        "port": "broken",
        "telemetry": "doubtful",
    }
    assert "apt install nmap" in found["nmap"]["mend"]
    assert "TRACEFUSE_SERVE_PORT" in found["port"]["mend"]
    assert "tracefuse sidecar" in found["telemetry"]["mend"]
    assert text.code == 1
    assert "BROKEN  nmap" in text.out
    assert "mend it: install it, for example `apt install nmap`" in text.out
    assert text.out.splitlines()[-1] == "Something is broken; 3 to look at."


def test_a_broken_configuration_is_told_whole_and_the_rest_is_still_looked_at(
    tmp_path: Path, env: dict[str, str]
) -> None:
    path = tmp_path / "tracefuse.toml"
    path.write_text("[policy]\nmax_addresses = 0\n[queue]\ntotal = 0\n", encoding="utf-8")
    path.chmod(0o666)
    nmap = script(tmp_path / "nmap", "echo 'Nmap version 7.95 ( https://nmap.org )'")
    del env["TRACEFUSE_SERVE_PORT"]
    ran = tracefuse("--config", str(path), "doctor", "--json", env={**env, "PATH": f"{tmp_path}:{env['PATH']}"})
    assert ran.code == 1
    found = checks(ran)
    assert len(found["configuration"]["message"].splitlines()) == 2
    assert found["nmap"]["message"].startswith(f"nmap 7.95 at {nmap}")
