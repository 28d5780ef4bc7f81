"""`tracefuse sidecar` with a real collector: started, killed, started again, ended, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.cli import COMMAND, environment, script, tracefuse
from support.collector import free_ports, get, reaped
from support.polling import eventually, until
from tracefuse.tools.config._settings import SidecarSettings
from tracefuse.tools.sidecar._plan import plan_sidecar
from tracefuse.tools.sidecar._sidecar import Sidecar, SidecarTiming
from tracefuse.tools.sidecar._watch import SidecarState

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def env(collector_binary: Path, tmp_path: Path) -> dict[str, str]:
    """A collector on free ports, and nothing of the caller's but PATH."""
    grpc, http, prometheus, own, health = free_ports(5)
    addresses = {"GRPC": grpc, "HTTP": http}
    return environment(
        tmp_path / "cache",
        **{f"OTELCOL_OTLP_{name}": f"127.0.0.1:{port}" for name, port in addresses.items()},
        OTELCOL_PROMETHEUS=f"127.0.0.1:{prometheus}",
        OTELCOL_SELF_PORT=str(own),
        OTELCOL_HEALTH=f"127.0.0.1:{health}",
        OTELCOL_STORAGE_DIR=str(tmp_path / "queue"),
        TRACEFUSE_OTELCOL=str(collector_binary),
    )


class Foreground:
    """A running `tracefuse sidecar --json`."""

    def __init__(self, process: subprocess.Popen[str], health: str) -> None:
        self.process = process
        self._health = health

    def next(self, state: str) -> dict[str, Any]:
        """The next change of state, which must be to `state`."""
        assert self.process.stdout is not None
        status = json.loads(self.process.stdout.readline())
        assert status["state"] == state, status
        return dict(status)

    def is_healthy(self) -> bool:
        return "Server available" in get(f"http://{self._health}/")


@contextmanager
def foreground(env: dict[str, str], *options: str) -> Iterator[Foreground]:
    command = [*COMMAND, "sidecar", "--json", *options]
    with (
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        reaped(process),
    ):
        yield Foreground(process, env["OTELCOL_HEALTH"])


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_collector_that_is_killed_is_started_again_and_ends_with_the_command(env: dict[str, str]) -> None:
    with foreground(env) as sidecar:
        first = sidecar.next("starting")
        assert sidecar.next("running")["pid"] == first["pid"]
        assert sidecar.is_healthy()
        os.kill(first["pid"], signal.SIGKILL)
        waiting = sidecar.next("waiting")
        assert waiting["problem"] == "it was ended by SIGKILL"
        assert 0.8 <= waiting["wait"] <= 1.2
        again = sidecar.next("running")
        assert again["pid"] != first["pid"]
        assert again["restarts"] == 1
        assert sidecar.is_healthy()
        sidecar.process.terminate()
        sidecar.next("stopped")
        assert sidecar.process.wait(15) == 0
        assert gone(again["pid"])
        assert sidecar.process.stderr is not None
        assert "Everything is ready" in sidecar.process.stderr.read()


def test_ctrl_c_ends_it_cleanly(env: dict[str, str]) -> None:
    with foreground(env) as sidecar:
        pid = sidecar.next("starting")["pid"]
        sidecar.process.send_signal(signal.SIGINT)
        assert sidecar.process.wait(15) == 0
        assert gone(pid)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux ties a child to its parent")
def test_nothing_is_left_behind_when_the_command_is_killed(env: dict[str, str]) -> None:
    with foreground(env) as sidecar:
        sidecar.next("starting")
        pid = sidecar.next("running")["pid"]
        sidecar.process.kill()
        sidecar.process.wait(10)
        eventually(lambda: gone(pid), "the collector to be gone")


def test_a_missing_collector_is_one_clear_line(tmp_path: Path) -> None:
    env = environment(tmp_path, PATH=str(tmp_path), HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    ran = tracefuse("sidecar", env=env)
    assert ran.code == 2
    assert ran.err.startswith("tracefuse: no collector was found; run `make collector`")
    assert ran.err.count("\n") == 1
    error = tracefuse("sidecar", "--check", "--json", env=env).json["error"]
    assert error["type"] == "no_collector"


def test_a_bad_configuration_is_told_in_the_collectors_own_words(env: dict[str, str]) -> None:
    for options in ((), ("--check",)):
        ran = tracefuse("sidecar", *options, env=env | {"OTELCOL_BACKEND": "tempo"})
        assert ran.code == 2
        assert 'references exporter "tempo" which is not configured' in ran.err
        assert ran.err.startswith("tracefuse: ")


def test_an_address_in_use_ends_it_after_some_tries_with_the_reason(env: dict[str, str]) -> None:
    with foreground(env) as first:
        first.next("starting")
        first.next("running")
        # Both try three times, with pauses: at once they take half as long.
        elsewhere = env | {"OTELCOL_HEALTH": f"127.0.0.1:{free_ports(1)[0]}"}
        with ThreadPoolExecutor(2) as pool:
            ran, twin = pool.map(lambda variables: tracefuse("sidecar", env=variables), (elsewhere, env))
    assert (ran.code, twin.code) == (1, 1)
    assert "address already in use" in ran.err.splitlines()[-1]
    assert f"answers health checks at {env['OTELCOL_HEALTH']}" in twin.err.splitlines()[-1]


def test_overlays_are_merged_over_the_shipped_configuration(env: dict[str, str], tmp_path: Path) -> None:
    (port,) = free_ports(1)
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    moved = {"receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}}}
    good.write_text(json.dumps(moved), encoding="utf-8")
    bad.write_text("service: {pipelines: {traces: {exporters: [nowhere]}}}\n", encoding="utf-8")
    checked = tracefuse("sidecar", "--check", "--json", "--config", str(good), env=env)
    assert checked.json["valid"]
    assert checked.json["configs"][1:] == [str(good)]
    refused = tracefuse("sidecar", "--check", "--config", str(good), "--config", str(bad), env=env)
    assert refused.code == 2
    assert 'references exporter "nowhere"' in refused.err
    with foreground(env, "--config", str(good)) as sidecar:
        sidecar.next("starting")
        sidecar.next("running")
        with pytest.raises(ConnectionError, match="answered 405"):
            get(f"http://127.0.0.1:{port}/v1/traces")


async def test_a_collector_that_hangs_is_replaced(env: dict[str, str]) -> None:
    timing = SidecarTiming(interval=0.05, answer=0.2, misses=2, grace=0.5)
    sidecar = Sidecar(plan_sidecar(SidecarSettings(), environ=env), timing=timing, output=lambda _: None)
    await sidecar.start()
    first = sidecar.status
    assert first.state is SidecarState.RUNNING
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)
    try:
        await until(lambda: sidecar.status.restarts == 1 and sidecar.status.state is SidecarState.RUNNING)
    finally:
        await sidecar.stop()
    assert gone(first.pid)
    assert sidecar.status.state is SidecarState.STOPPED


def test_a_program_that_is_no_collector_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    other = script(tmp_path / "otelcol", "echo 'Error: unknown command' >&2; exit 1")
    ran = tracefuse("sidecar", env=env | {"TRACEFUSE_SIDECAR_PATH": other})
    assert (ran.code, ran.err) == (2, f"tracefuse: {other} refuses its configuration: unknown command\n")
