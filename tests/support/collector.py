"""A real collector as a child process on free loopback ports, with the shipped configuration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from random import sample
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from support.otlp import OtlpReceiver

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "otel-collector.yaml"
BUILD = ROOT / "deploy/collector/build.sh"
OVERLAYS = ROOT / "deploy/collector/overlays"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class CollectorMissingError(Exception):
    """There is no collector and none can be built here; the message says how to get one."""


def find_collector() -> Path:
    """The collector that build.sh finds or builds (minutes, once per manifest and machine)."""
    done = subprocess.run([BUILD], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CollectorMissingError(done.stderr.strip() or f"build.sh ended with {done.returncode}")
    return Path(done.stdout.splitlines()[-1])


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different.

    From below those that the system takes for outgoing connections, or one of these might take it meanwhile.
    """
    with ExitStack() as sockets:
        return list(islice(_bindable(sockets), count))


def _bindable(sockets: ExitStack) -> Iterator[int]:
    """Ports at random, each bound until `sockets` is closed."""
    for port in sample(range(20_000, 32_000), 1000):
        with suppress(OSError):
            sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            yield port


def get(url: str, accept: str = "*/*") -> str:
    """The body of a loopback URL; ConnectionError for any answer but 200."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=5)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read().decode()
    if answer.status != HTTPStatus.OK:
        raise ConnectionError(f"{url} answered {answer.status}: {body[:500]}")
    return body


@dataclass(frozen=True, slots=True)
class Collector:
    """A running collector: where it listens, what it wrote, how it is stopped."""

    process: subprocess.Popen[bytes]
    directory: Path
    grpc: int
    http: int
    prometheus: int
    own: int
    health: int

    def metrics(self) -> str:
        """What Prometheus scrapes from the collector, as OpenMetrics."""
        return get(f"http://127.0.0.1:{self.prometheus}/metrics", OPENMETRICS)

    def own_metrics(self) -> str:
        """The collector's metrics about itself."""
        return get(f"http://127.0.0.1:{self.own}/metrics")

    def own_value(self, name: str, **labels: str) -> float:
        """The sum of the collector's own series of this name, of those with these labels."""
        lines = (line for line in self.own_metrics().splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(one in line for one in wanted))

    def log(self) -> str:
        """What it wrote about itself so far."""
        return (self.directory / "log").read_text(encoding="utf-8")

    def output(self) -> str:
        """What it printed so far: the debug overlay prints data."""
        return (self.directory / "output").read_text(encoding="utf-8")

    def stored(self, signal: str = "") -> bytes:
        """What lies on the disk in its queues, of all signals or of one: traces, metrics, logs."""
        files = sorted((self.directory / "queue").rglob(f"*{signal}"))
        return b"".join(path.read_bytes() for path in files if path.is_file())

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """This environment and nothing of the caller's: the defaults are part of what is tested."""
    return {"PATH": os.environ["PATH"], **environ}


def sending_to(receiver: OtlpReceiver) -> dict[str, str]:
    """The environment that makes a collector send traces and logs to `receiver`, and try again soon."""
    return {
        "OTELCOL_BACKEND": {"grpc": "otlp_grpc", "http/protobuf": "otlp_http"}[receiver.protocol],
        "OTELCOL_BACKEND_GRPC": f"127.0.0.1:{receiver.port}",
        "OTELCOL_BACKEND_HTTP": receiver.endpoint,
        "OTELCOL_BACKEND_INSECURE": "true",
        "OTELCOL_RETRY_MAX_INTERVAL": "1s",
    }


def configured(overlays: Sequence[str | Path] = ()) -> list[str]:
    """The arguments for the shipped configuration and these overlays, shipped ones by their name."""
    files = [CONFIGURATION, *(OVERLAYS / f"{one}.yaml" if isinstance(one, str) else one for one in overlays)]
    return [part for file in files for part in ("--config", str(file))]


@contextmanager
def running(
    binary: Path, directory: Path, environ: Mapping[str, str] | None = None, overlays: Sequence[str | Path] = ()
) -> Iterator[Collector]:
    """A collector that answers its health check; ended and reaped on the way out.

    It keeps every trace unless `environ` says otherwise: what is lost is then lost by mistake.
    """
    grpc, http, prometheus, own, health = free_ports(5)
    settings = {
        "OTELCOL_OTLP_GRPC": f"127.0.0.1:{grpc}",
        "OTELCOL_OTLP_HTTP": f"127.0.0.1:{http}",
        "OTELCOL_PROMETHEUS": f"127.0.0.1:{prometheus}",
        "OTELCOL_SELF_PORT": str(own),
        "OTELCOL_HEALTH": f"127.0.0.1:{health}",
        "OTELCOL_STORAGE_DIR": str(directory / "queue"),
        "OTELCOL_SAMPLE_PERCENT": "100",
    }
    with (directory / "log").open("ab") as log, (directory / "output").open("ab") as output:
        process = subprocess.Popen(
            [binary, *configured(overlays)],
            env=isolated(settings | dict(environ or {})),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
        )
    collector = Collector(process, directory, grpc, http, prometheus, own, health)
    with reaped(process):
        eventually(lambda: _healthy(collector), f"the collector's health check; its log:\n{collector.log()}")
        yield collector


def _healthy(collector: Collector) -> bool:
    assert collector.process.poll() is None, f"the collector ended:\n{collector.log()}"
    return "Server available" in get(f"http://127.0.0.1:{collector.health}/")


@contextmanager
def reaped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Terminate, wait, kill: whatever happens inside, the process is gone afterwards."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
