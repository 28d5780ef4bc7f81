"""`tracefuse serve` with a collector of its own: started before it, ended after its last flush, never in its way."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.cli import COMMAND, environment, tracefuse
from support.collector import free_ports, reaped, sending_to
from support.components import component
from support.otlp import OtlpReceiver
from support.polling import eventually

# The first test on a machine builds the collector, which takes minutes.
pytestmark = [pytest.mark.timeout(600), component("nmap")]


@pytest.fixture
def env(collector_binary: Path, tmp_path: Path) -> dict[str, str]:
    grpc, http, prometheus, own, health = free_ports(5)
    return environment(
        tmp_path / "cache",
        OTELCOL_OTLP_GRPC=f"127.0.0.1:{grpc}",
        OTELCOL_OTLP_HTTP=f"127.0.0.1:{http}",
        OTELCOL_PROMETHEUS=f"127.0.0.1:{prometheus}",
        OTELCOL_SELF_PORT=str(own),
        OTELCOL_HEALTH=f"127.0.0.1:{health}",
        OTELCOL_STORAGE_DIR=str(tmp_path / "queue"),
        OTELCOL_SAMPLE_PERCENT="100",
        TRACEFUSE_SIDECAR_ENABLED="true",
        TRACEFUSE_SIDECAR_PATH=str(collector_binary),
    )


@contextmanager
def serving(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*COMMAND, "serve", "--port", "0"]
    with (
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
        reaped(process),
    ):
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]


def collectors(env: dict[str, str]) -> list[int]:
    """The processes that run the collector of this test."""
    storage = f"OTELCOL_STORAGE_DIR={env['OTELCOL_STORAGE_DIR']}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0] == env["TRACEFUSE_SIDECAR_PATH"].encode() and storage in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def spans(receiver: OtlpReceiver) -> set[str]:
    return {
        span.name
        for path, request in receiver.requests
        if path == "/v1/traces"
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_what_the_service_flushes_last_still_arrives(env: dict[str, str]) -> None:
    with OtlpReceiver("http/protobuf") as receiver:
        # Nothing is exported before the end.
        late = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_BLRP_SCHEDULE_DELAY": "600000"}
        with serving(env | sending_to(receiver) | late) as (process, url):
            assert len(collectors(env)) == 1
            scanned = httpx.post(f"{url}/scans", json={"targets": ["127.0.0.1"], "extra_args": "-p 9"}, timeout=30)
            assert scanned.status_code == 200
            assert "nmap scan" not in spans(receiver)
            process.terminate()
            assert process.wait(30) == 0
        assert collectors(env) == []
        stored = b"".join(path.read_bytes() for path in Path(env["OTELCOL_STORAGE_DIR"]).iterdir() if path.is_file())
        assert "nmap scan" in spans(receiver) or b"nmap scan" in stored


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_collector_that_dies_does_not_touch_scans_and_comes_back(env: dict[str, str]) -> None:
    with serving(env) as (process, url):
        (first,) = collectors(env)
        os.kill(first, signal.SIGKILL)
        body = {"targets": ["127.0.0.1"], "extra_args": "-p 9"}
        assert httpx.post(f"{url}/scans", json=body, timeout=30).status_code == 200
        (second,) = eventually(lambda: [one for one in collectors(env) if one != first], "a new collector")
        process.kill()
        process.wait(10)
        eventually(lambda: second not in collectors(env), "the collector to go with the service")


def test_a_service_that_is_to_have_a_collector_says_when_there_is_none(env: dict[str, str]) -> None:
    ran = tracefuse("serve", "--port", "0", env=env | {"TRACEFUSE_SIDECAR_PATH": "/nowhere/otelcol"})
    assert ran.code == 2
    assert "TRACEFUSE_SIDECAR_PATH='/nowhere/otelcol' is no program" in ran.err
    bad = tracefuse("serve", "--port", "0", env=env | {"OTELCOL_BACKEND": "tempo"})
    assert bad.code == 2
    assert 'references exporter "tempo"' in bad.err
