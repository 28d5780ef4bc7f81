"""`tracefuse breakers`: in the state file that scans leave, and in a running service."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from support.cli import COMMAND, environment, script, tracefuse
from support.components import nmap_needed
from support.polling import eventually
from support.service_process import serving

FAILING = 'case "$*" in --version) echo "Nmap version 7.93";; *) exit 1;; esac'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Scans that fail, once each, with a threshold of two."""
    return environment(
        tmp_path / "cache",
        TRACEFUSE_NMAP_PATH=script(tmp_path / "nmap", FAILING),
        TRACEFUSE_RETRY_ATTEMPTS="1",
        TRACEFUSE_BREAKER_FAILURE_THRESHOLD="2",
    )


def test_failures_of_single_scans_add_up_and_the_circuit_stays_open_for_the_next_process(env: dict[str, str]) -> None:
    codes = [tracefuse("scan", "127.0.0.1", env=env).code for _ in range(3)]
    assert codes == [1, 1, 3]
    (breaker,) = tracefuse("breakers", "list", "--json", env=env).json["breakers"]
    assert (breaker["name"], breaker["state"], breaker["stats"]["failed_calls"]) == ("nmap", "OPEN", 2)
    assert 0 < breaker["timing"]["retry_after"] <= 70


def test_an_operator_closes_it_in_the_file(env: dict[str, str]) -> None:
    for _ in range(2):
        tracefuse("scan", "127.0.0.1", env=env)
    assert "OPEN" in tracefuse("breakers", "list", env=env).out
    closed = tracefuse("breakers", "close", "nmap", env=env)
    assert closed.code == 0
    assert "CLOSED" in closed.out
    assert tracefuse("scan", "127.0.0.1", env=env).code == 1
    reasons = [entry["reason"] for entry in tracefuse("breakers", "history", "nmap", "--json", env=env).json["history"]]
    assert reasons[-1] == "forced_close"
    assert "forced_close" in tracefuse("breakers", "history", "nmap", env=env).out


def test_isolating_holds_until_released(env: dict[str, str]) -> None:
    tracefuse("scan", "127.0.0.1", env=env)
    assert tracefuse("breakers", "isolate", "nmap", env=env).code == 0
    assert tracefuse("scan", "127.0.0.1", env=env).code == 3
    assert tracefuse("breakers", "release", "nmap", env=env).code == 0
    assert tracefuse("scan", "127.0.0.1", env=env).code == 1


def test_what_there_is_not_is_said(env: dict[str, str]) -> None:
    assert tracefuse("breakers", "list", env=env).out == "no breaker yet: run a scan first\n"
    unknown = tracefuse("breakers", "open", "nosuch", "--json", env=env)
    assert unknown.code == 2
    assert unknown.json["error"]["type"] == "no_such_breaker"
    nobody = tracefuse("breakers", "list", "--url", "http://127.0.0.1:1", env=env)
    assert nobody.code == 2
    assert "no Tracefuse service answers there" in nobody.err


def test_a_state_folder_that_cannot_be_written_is_no_reason_not_to_scan(env: dict[str, str]) -> None:
    ran = tracefuse("scan", "127.0.0.1", env=env | {"TRACEFUSE_STATE_DIR": "/dev/null/state"})
    assert ran.code == 1
    assert "TRACEFUSE_STATE_DIR" in ran.err


def test_a_damaged_state_file_is_set_aside(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "state"
    folder.mkdir(parents=True)
    (folder / "breakers.sqlite3").write_bytes(b"this is no database" * 100)
    assert tracefuse("scan", "127.0.0.1", env=env).code == 1
    assert list(folder.glob("*.aside-*"))
    assert tracefuse("breakers", "list", "--json", env=env).json["breakers"][0]["stats"]["failed_calls"] == 1


@nmap_needed
def test_a_running_service_is_operated_at_once(tmp_path: Path) -> None:
    env = environment(tmp_path / "cache")
    with serving(env) as service:
        assert service.scan(extra_args="-p 1").status_code == 200
        opened = tracefuse("breakers", "open", "nmap", "--url", service.url, "--json", env=env)
        assert opened.json["state"] == "OPEN"
        refused = service.scan(extra_args="-p 1")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:tracefuse:circuit_open")
        assert int(refused.headers["retry-after"]) > 0
        tracefuse("breakers", "close", "nmap", "--url", service.url, env=env)
        assert service.scan(extra_args="-p 1").status_code == 200
        assert tracefuse("breakers", "open", "nosuch", "--url", service.url, env=env).code == 2


def test_watching_goes_on_until_interrupted(env: dict[str, str], tmp_path: Path) -> None:
    tracefuse("scan", "127.0.0.1", env=env)
    output = tmp_path / "lines"
    with output.open("wb") as stream:
        command = [*COMMAND, "breakers", "watch", "--json", "--interval", "0.1"]
        with subprocess.Popen(command, env=env, stdout=stream, stderr=subprocess.PIPE) as process:
            eventually(lambda: len(output.read_bytes().splitlines()) >= 2, "two lines")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"tracefuse: interrupted\n")
    assert json.loads(output.read_bytes().splitlines()[0])["breakers"][0]["name"] == "nmap"
