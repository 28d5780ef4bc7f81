"""A running `tracefuse serve` takes new settings: by its file, by SIGHUP, and never half of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx

from support.cli import environment
from support.mcp_service import quick_nmap
from support.polling import eventually
from support.service_process import Service, serving


def refused(service: Service) -> str:
    """The rule by which a scan of 10.0.0.7 is refused; "" when it is not."""
    answer = service.scan("10.0.0.7")
    return "" if answer.is_success else str(answer.json().get("rule", answer.status_code))


def reloads(service: Service, result: str) -> float:
    name = f'tracefuse_config_reloads_total{{result="{result}"}}'
    return next((float(line.split()[-1]) for line in service.metrics().splitlines() if line.startswith(name)), 0.0)


def replace(path: Path, text: str) -> None:
    """As a careful editor does it."""
    other = path.with_suffix(".new")
    other.write_text(text, encoding="utf-8")
    other.rename(path)


def test_a_running_service_takes_new_settings(tmp_path: Path) -> None:
    path = tmp_path / "tracefuse.toml"
    nmap = f'[nmap]\npath = "{quick_nmap(tmp_path)}"\n'
    only_loopback = nmap + '[policy]\nnetworks = ["127.0.0.0/8"]\n'
    path.write_text(only_loopback, encoding="utf-8")
    env = environment(tmp_path / "cache", TRACEFUSE_CONFIG=str(path), TRACEFUSE_HEALTH_INTERVAL="0.2")
    with serving(env) as service:
        assert refused(service) == "target.network"
        replace(path, nmap)
        eventually(lambda: reloads(service, "applied") == 1, "the new file to be applied")
        assert refused(service) == ""
        replace(path, nmap + "[policy]\nmax_addresses = 0\n")
        eventually(lambda: reloads(service, "refused") == 1, "the bad file to be refused")
        assert refused(service) == ""
        eventually(lambda: "max_addresses='0'" in httpx.get(f"{service.url}/health").text, "the service to tell of it")
        replace(path, only_loopback + "[serve]\nport = 1\n")
        eventually(lambda: reloads(service, "applied") == 2, "the good file to be applied")
        assert refused(service) == "target.network"
        assert "tracefuse_config_version 3.0" in service.metrics()
        os.kill(service.process.pid, signal.SIGHUP)
        eventually(lambda: reloads(service, "unchanged") == 1, "the hangup to be answered")
        assert service.process.poll() is None
        service.process.terminate()
        assert service.process.wait(20) == 0
